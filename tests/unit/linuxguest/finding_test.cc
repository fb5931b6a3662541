#include "linuxguest/finding.h"

#include <gmock/gmock.h>

#include "linuxguest/processes.h"

namespace vmattest::linuxguest {
namespace {

std::string ProcessText(std::string_view comm) {
  Process process;
  process.pid = 7;
  process.comm = comm;
  process.uid = process.euid = process.gid = process.egid = 5;
  return process.Canonical();
}

TEST(PersistingTest, KeepsWhatBothLooksHave) {
  const Finding lasting{"code-unknown", Severity::kCritical, "0x1", "", "a"};
  const Finding passing{"code-unknown", Severity::kCritical, "0x2", "", ""};
  Finding later = lasting;
  later.found = "b";
  const Findings standing = Persisting({lasting, passing}, {later});
  ASSERT_EQ(standing.size(), 1U);
  EXPECT_EQ(standing[0].found, "b");
}

TEST(ProcessTextTest, NamesOfProcessesCannotForgeFields) {
  EXPECT_EQ(ProcessText("a uid=0").find(" uid=0"), std::string::npos);
  EXPECT_NE(ProcessText("a%20b"), ProcessText("a b"));
}

}  // namespace
}  // namespace vmattest::linuxguest
