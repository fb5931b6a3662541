#include "linuxguest/difference.h"

#include <gmock/gmock.h>

namespace vmattest::linuxguest {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = Difference::Kind;

std::string ProcessText(std::string_view comm, uint32_t uid, uint64_t caps,
                        int parent = 1) {
  Process process;
  process.pid = 7;
  process.parent = parent;
  process.comm = comm;
  process.uid = process.euid = process.gid = process.egid = uid;
  process.cap_effective = process.cap_permitted = caps;
  return process.Canonical();
}

Difference Only(std::string_view name, const std::string& before,
                const std::string& after) {
  const std::vector<Record> old_records =
      before.empty() ? std::vector<Record>{}
                     : std::vector<Record>{{std::string(name), before}};
  const std::vector<Record> new_records =
      after.empty() ? std::vector<Record>{}
                    : std::vector<Record>{{std::string(name), after}};
  std::vector<Difference> found = CompareRecords(old_records, new_records);
  EXPECT_EQ(found.size(), 1U);
  return found.empty() ? Difference{} : found[0];
}

TEST(DifferenceTest, EqualRecordsDoNotDiffer) {
  const std::vector<Record> records = {{"a", "1"}, {"b", "2"}};
  EXPECT_THAT(CompareRecords(records, records), IsEmpty());
}

TEST(DifferenceTest, OrderedMergeFindsWhatCameAndWent) {
  const std::vector<Record> before = {{"a", "1"}, {"c", "3"}};
  const std::vector<Record> after = {{"b", "2"}, {"c", "4"}, {"d", "5"}};
  std::vector<std::string> seen;
  for (const Difference& difference : CompareRecords(before, after)) {
    seen.push_back(difference.name + difference.before + difference.after);
  }
  EXPECT_THAT(seen, ElementsAre("a1", "b2", "c34", "d5"));
}

TEST(DifferenceTest, HandlersAreCode) {
  for (const char* name : {"syscall/62", "idt/14"}) {
    EXPECT_EQ(Only(name, "a", "b").severity, Severity::kCritical);
    EXPECT_EQ(Only(name, "a", "b").kind, Kind::kCode);
    EXPECT_EQ(Only(name, "a", "").kind, Kind::kCode);
  }
}

TEST(DifferenceTest, HelpersAndDescriptorsAreData) {
  EXPECT_EQ(Only("helper/modprobe_path", "/sbin/modprobe", "/tmp/x").severity,
            Severity::kHigh);
  EXPECT_EQ(Only("gdt/cpu0/2", "dpl=0", "dpl=3").kind, Kind::kData);
}

TEST(DifferenceTest, ProcessesMayComeAndGo) {
  EXPECT_EQ(Only("process/7", "", ProcessText("sh", 0, ~0U)).kind,
            Kind::kExpected);
  EXPECT_EQ(Only("process/7", ProcessText("sh", 0, 0), "").severity,
            Severity::kInfo);
}

TEST(DifferenceTest, RightsThatGrewInPlaceAreCritical) {
  const Difference root =
      Only("process/7", ProcessText("sh", 1000, 0), ProcessText("sh", 0, 0));
  EXPECT_EQ(root.severity, Severity::kCritical);
  EXPECT_THAT(root.fields, ElementsAre("egid", "euid", "gid", "uid"));
  const Difference capable = Only("process/7", ProcessText("sh", 1000, 0x10),
                                  ProcessText("sh", 1000, 0x30));
  EXPECT_EQ(capable.severity, Severity::kCritical);
  EXPECT_EQ(Only("process/7", ProcessText("sh", 1000, 0x30),
                 ProcessText("sh", 1000, 0x10))
                .kind,
            Kind::kExpected)
      << "dropped";
  EXPECT_EQ(
      Only("process/7", ProcessText("sh", 1000, 0), ProcessText("sudo", 0, ~0U))
          .severity,
      Severity::kLow)
      << "another program";
}

TEST(DifferenceTest, ModulesMayComeAndGoButNotHide) {
  EXPECT_EQ(Only("module/x", "", "listed text=1").kind, Kind::kExpected);
  EXPECT_EQ(Only("module/x", "listed text=1", "hidden text=1").severity,
            Severity::kHigh);
  EXPECT_EQ(Only("module/x", "listed text=1", "listed text=2").severity,
            Severity::kMedium);
}

TEST(DifferenceTest, NamesOfProcessesCannotForgeFields) {
  EXPECT_EQ(ProcessText("a uid=0", 5, 0).find(" uid=0"), std::string::npos);
  EXPECT_NE(ProcessText("a%20b", 5, 0), ProcessText("a b", 5, 0));
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

}  // namespace
}  // namespace vmattest::linuxguest
