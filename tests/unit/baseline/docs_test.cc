#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "baseline/reason_codes.h"

namespace vmattest::baseline {
namespace {

using ::testing::HasSubstr;

TEST(BaselineDocs, ExplainEveryReasonCode) {
  std::stringstream page;
  page << std::ifstream(VMATTEST_SOURCE_DIR "/docs/memory.md").rdbuf();
  for (const std::string_view code : reason::kAll) {
    EXPECT_THAT(page.str(), HasSubstr("`" + std::string(code) + "`"));
  }
}

}  // namespace
}  // namespace vmattest::baseline
