#include <cstdlib>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/run_command.h"

namespace vmattest::worker {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::RunCommand;
using vmattest::testing::StatusIs;

TEST(WorkerProgram, TellsWhatItIs) {
  EXPECT_THAT(*RunCommand({VMATTEST_HEADER_WORKER, "--version"}),
              HasSubstr("vmattest-header-worker 0"));
  EXPECT_THAT(*RunCommand({VMATTEST_HEADER_WORKER, "--help"}),
              HasSubstr("Only vmattestd starts it"));
}

TEST(WorkerProgram, StartedByHandItExitsWithUsage) {
  const std::string program = VMATTEST_HEADER_WORKER;
  for (const char* arguments : {"", " --unknown"}) {
    const std::string command =
        program + arguments + " 3<&-; test $? = 2 && echo usage";
    EXPECT_THAT(RunCommand({"sh", "-c", command}), IsOk());
  }
  const std::string command = program + " 3<&-";
  EXPECT_THAT(RunCommand({"sh", "-c", command}),
              StatusIs(absl::StatusCode::kInternal,
                       HasSubstr("only vmattestd starts this program")));
}

}  // namespace
}  // namespace vmattest::worker
