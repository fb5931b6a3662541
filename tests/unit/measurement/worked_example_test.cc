#include <filesystem>

#include "evidence/config_tree.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "measurement/leaf_path.h"
#include "support/vectors.h"
#include "unit/measurement/measure_text.h"

namespace vmattest::measurement {
namespace {

using ::testing::HasSubstr;

std::string Document() {
  return testing::Slurp(std::filesystem::path(VMATTEST_SOURCE_DIR) /
                        "docs/formats/config-measurement.md");
}

TEST(DocumentedExample, IsWhatTheCodeComputes) {
  const std::string document = Document();
  const size_t begin = document.find("    <domain type='kvm'>");
  ASSERT_NE(begin, std::string::npos);
  const size_t end = document.find('\n', begin);
  const auto measured =
      MeasureText(document.substr(begin + 4, end - begin - 4));
  ASSERT_TRUE(measured.ok()) << measured.status().ToString();
  ASSERT_EQ(measured->tree.leaves.size(), 6U);
  for (size_t i = 0; i < measured->tree.leaves.size(); ++i) {
    const ConfigLeaf& leaf = measured->tree.leaves[i];
    EXPECT_THAT(document, HasSubstr(fmt::format(
                              "{} {} {}\n  bytes {}\n  hash {}\n", leaf.path,
                              ToString(leaf.type), leaf.value,
                              ToHex(evidence::EncodeLeaf(leaf, {})),
                              ToHex(measured->tree.digests[i]))));
  }
  EXPECT_THAT(document, HasSubstr(fmt::format("the root `{}`",
                                              ToHex(measured->tree.root))));
}

TEST(DocumentedKeys, AreThoseOfTheCode) {
  const std::string document = Document();
  for (const KeyRule& rule : KeyRules()) {
    EXPECT_THAT(document,
                HasSubstr(fmt::format("| `{}` | `{}` |\n", rule.element,
                                      rule.components)));
  }
}

}  // namespace
}  // namespace vmattest::measurement
