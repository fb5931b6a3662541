#include "enrollment/reason_codes.h"

#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "support/vectors.h"

namespace vmattest::enrollment {
namespace {

TEST(EnrollmentReasonCodes, AreAllDocumentedInTheSameOrder) {
  std::istringstream lines(testing::Slurp(VMATTEST_ENROLLMENT_DOC));
  std::vector<std::string> documented;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("## ")) {
      inside = line == "## Reason codes";
    }
    if (inside && line.starts_with("| `")) {
      documented.push_back(line.substr(3, line.find('`', 3) - 3));
    }
  }
  EXPECT_EQ(documented, std::vector<std::string>(std::begin(reason::kAll),
                                                 std::end(reason::kAll)));
}

}  // namespace
}  // namespace vmattest::enrollment
