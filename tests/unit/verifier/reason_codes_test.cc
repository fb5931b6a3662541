#include "verifier/reason_codes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/vectors.h"
#include "verifier/context.h"

namespace vmattest::verifier {
namespace {

// The codes of the table rows "| `code` | meaning | what to do |".
std::vector<std::string> DocumentedCodes() {
  std::istringstream lines(testing::Slurp(VMATTEST_EVIDENCE_DOC));
  std::vector<std::string> codes;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("## ")) {
      inside = line == "## Reason codes";
    }
    if (inside && line.starts_with("| `")) {
      codes.push_back(line.substr(3, line.find('`', 3) - 3));
    }
  }
  return codes;
}

TEST(ReasonCodes, AreAllDocumentedInTheSameOrder) {
  EXPECT_EQ(DocumentedCodes(),
            std::vector<std::string>(std::begin(reason::kAll),
                                     std::end(reason::kAll)));
}

TEST(ReasonCodes, AreKebabCaseAndUnique) {
  std::set<std::string_view> seen;
  for (const std::string_view code : reason::kAll) {
    EXPECT_TRUE(seen.insert(code).second) << code;
    EXPECT_THAT(std::string(code),
                ::testing::MatchesRegex("[a-z0-9]+(-[a-z0-9]+)*"));
  }
}

TEST(CheckResult, S39_IsAFailureUnlessItSaysThatItPassed) {
  EXPECT_FALSE(CheckResult().passed());
  EXPECT_FALSE(CheckResult::Fail({}).passed());
  EXPECT_TRUE(CheckResult::Pass().passed());
}

}  // namespace
}  // namespace vmattest::verifier
