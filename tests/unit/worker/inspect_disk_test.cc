#include <fcntl.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inspection/worker/worker_pool.h"
#include "support/matchers.h"
#include "support/run_command.h"
#include "support/temp_dir.h"

namespace vmattest::inspection {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::RunCommand;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

constexpr uint64_t kSize = 8U << 20;

class InspectDiskTest : public ::testing::Test {
 protected:
  InspectDiskTest() {
    options_.program = VMATTEST_WORKER;
    call_.deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    request_.mutable_inspect_disk()->set_size(kSize);
    request_.mutable_inspect_disk()->set_algorithm(v1::HASH_ALGORITHM_SHA256);
    request_.mutable_inspect_disk()->set_inventory(true);
    request_.mutable_inspect_disk()->set_guest_digest(true);
  }
  absl::StatusOr<internal::WorkerReply> Inspect(
      const std::filesystem::path& path) {
    std::vector<UniqueFd> image;
    image.emplace_back(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    WorkerPool pool(options_);
    return pool.Run(request_, std::move(image), call_);
  }

  TempDir dir_;
  WorkerPoolOptions options_;
  WorkerCall call_;
  internal::WorkerRequest request_;
};

TEST_F(InspectDiskTest, S25_FileSystemIsReadInsideTheSandbox) {
  const auto path = dir_.Write("disk.raw", "");
  std::filesystem::resize_file(path, kSize);
  ASSERT_THAT(RunCommand({"mkfs.ext4", "-q", "-F", path.string()}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto reply, Inspect(path));
  EXPECT_EQ(reply.disk().size(), kSize);
  EXPECT_EQ(reply.disk().guest_digest().size(), 32U);
  std::string leaves;
  for (const v1::ConfigLeaf& leaf : reply.disk().leaves()) {
    leaves += leaf.path() + "=" + leaf.value() + "\n";
  }
  EXPECT_THAT(leaves, HasSubstr("ext4"));
}

TEST_F(InspectDiskTest, GarbageIsALeafAndNoCrash) {
  const auto path = dir_.Write("disk.raw", std::string(kSize, '\xa5'));
  EXPECT_THAT(Inspect(path), IsOk());
}

TEST_F(InspectDiskTest, UnknownAlgorithmIsRefused) {
  request_.mutable_inspect_disk()->clear_algorithm();
  EXPECT_THAT(Inspect(dir_.Write("disk.raw", "x")),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::inspection
