#include <filesystem>
#include <regex>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "ledger/reason_codes.h"
#include "support/vectors.h"

namespace vmattest::ledger {
namespace {

TEST(Documentation, ListsEveryReasonForARefusal) {
  const std::string page = vmattest::testing::Slurp(
      std::filesystem::path(VMATTEST_SOURCE_DIR) / "docs/ledger.md");
  std::set<std::string> documented;
  const std::regex row("\\| `(ledger-[a-z-]+)` \\|");
  for (std::sregex_iterator it(page.begin(), page.end(), row), end; it != end;
       ++it) {
    documented.insert((*it)[1]);
  }
  const std::set<std::string> known(std::begin(reason::kAll),
                                    std::end(reason::kAll));
  EXPECT_EQ(documented, known);
}

}  // namespace
}  // namespace vmattest::ledger
