#include "baseline/record_difference.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace vmattest::baseline {
namespace {

using evidence::StateRecord;
using snapshot::Severity;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = RecordDifference::Kind;

// As linuxguest::Process::Canonical writes it.
std::string ProcessText(std::string_view comm, uint32_t uid, uint64_t caps,
                        int parent = 1, uint64_t start = 0) {
  return fmt::format(
      "pid=7 parent={} comm={} uid={} euid={} gid={} egid={} "
      "cap_effective={:x} "
      "cap_permitted={:x} kernel_thread=0 start={}",
      parent, comm, uid, uid, uid, uid, caps, caps, start);
}

RecordDifference Only(std::string_view name, const std::string& before,
                      const std::string& after) {
  const std::vector<StateRecord> old_records =
      before.empty() ? std::vector<StateRecord>{}
                     : std::vector<StateRecord>{{std::string(name), before}};
  const std::vector<StateRecord> new_records =
      after.empty() ? std::vector<StateRecord>{}
                    : std::vector<StateRecord>{{std::string(name), after}};
  std::vector<RecordDifference> found =
      CompareRecords(old_records, new_records);
  EXPECT_EQ(found.size(), 1U);
  return found.empty() ? RecordDifference{} : found[0];
}

TEST(RecordDifferenceTest, EqualRecordsDoNotDiffer) {
  const std::vector<StateRecord> records = {{"a", "1"}, {"b", "2"}};
  EXPECT_THAT(CompareRecords(records, records), IsEmpty());
}

TEST(RecordDifferenceTest, OrderedMergeFindsWhatCameAndWent) {
  const std::vector<StateRecord> before = {{"a", "1"}, {"c", "3"}};
  const std::vector<StateRecord> after = {{"b", "2"}, {"c", "4"}, {"d", "5"}};
  std::vector<std::string> seen;
  for (const RecordDifference& difference : CompareRecords(before, after)) {
    seen.push_back(difference.name + difference.before + difference.after);
  }
  EXPECT_THAT(seen, ElementsAre("a1", "b2", "c34", "d5"));
}

TEST(RecordDifferenceTest, HandlersAreCode) {
  for (const char* name : {"syscall/62", "idt/14"}) {
    EXPECT_EQ(Only(name, "a", "b").severity, Severity::kCritical);
    EXPECT_EQ(Only(name, "a", "b").kind, Kind::kCode);
    EXPECT_EQ(Only(name, "a", "").kind, Kind::kCode);
  }
}

TEST(RecordDifferenceTest, HelpersAndDescriptorsAreData) {
  EXPECT_EQ(Only("helper/modprobe_path", "/sbin/modprobe", "/tmp/x").severity,
            Severity::kHigh);
  EXPECT_EQ(Only("gdt/cpu0/2", "dpl=0", "dpl=3").kind, Kind::kData);
}

TEST(RecordDifferenceTest, RegistersThatLeadToCodeAreCode) {
  for (const char* name :
       {"cpu/0/lstar", "cpu/1/cstar", "cpu/12/sysenter_eip", "cpu/0/idtr"}) {
    EXPECT_EQ(Only(name, "a", "b").severity, Severity::kCritical);
    EXPECT_EQ(Only(name, "a", "b").kind, Kind::kCode);
  }
  EXPECT_EQ(Only("cpu/0/efer", "0xd01", "0x501").severity, Severity::kHigh);
  EXPECT_EQ(Only("cpu/0/efer", "0xd01", "0x501").kind, Kind::kData);
}

TEST(RecordDifferenceTest, RegistersThatNobodyTellsAreUnmeasuredAndNotGood) {
  const std::vector<StateRecord> before = {{"cpu/0/cr0", "a"},
                                           {"cpu/0/lstar", "b"},
                                           {"cpu/1/cr0", "a"},
                                           {"cpu/1/lstar", "b"},
                                           {"gdt/cpu0/2", "c"}};
  const auto shown = [&](const std::vector<StateRecord>& old_records,
                         const std::vector<StateRecord>& new_records) {
    std::vector<std::string> all;
    for (const RecordDifference& one :
         CompareRecords(old_records, new_records)) {
      all.push_back(fmt::format("{} {} {}", one.name, KindName(one.kind),
                                snapshot::ToString(one.severity)));
    }
    return all;
  };
  EXPECT_THAT(shown(before, {{"gdt/cpu0/2", "c"}}),
              ElementsAre("cpu unmeasured high"))
      << "a snapshot that is not point-in-time";
  EXPECT_THAT(shown(before, {{"cpu/0/cr0", "a"},
                             {"cpu/1/cr0", "a"},
                             {"cpu/1/lstar", "b"},
                             {"gdt/cpu0/2", "c"}}),
              ElementsAre("cpu/0/lstar unmeasured high"));
  EXPECT_THAT(
      shown(before,
            {{"cpu/0/cr0", "a"}, {"cpu/0/lstar", "b"}, {"gdt/cpu0/2", "c"}}),
      ElementsAre("cpu/1 expected info"))
      << "a vCPU that the host took away";
  EXPECT_THAT(
      shown({{"gdt/cpu0/2", "c"}}, before),
      ElementsAre("cpu/0/cr0 expected info", "cpu/0/lstar expected info",
                  "cpu/1/cr0 expected info", "cpu/1/lstar expected info"))
      << "a baseline of before";
}

TEST(RecordDifferenceTest, ProcessesMayComeAndGo) {
  EXPECT_EQ(Only("process/7", "", ProcessText("sh", 0, ~0U)).kind,
            Kind::kExpected);
  EXPECT_EQ(Only("process/7", ProcessText("sh", 0, 0), "").severity,
            Severity::kInfo);
}

TEST(RecordDifferenceTest, RightsThatGrewInPlaceAreCritical) {
  const RecordDifference root =
      Only("process/7", ProcessText("sh", 1000, 0), ProcessText("sh", 0, 0));
  EXPECT_EQ(root.severity, Severity::kCritical);
  EXPECT_THAT(root.fields, ElementsAre("egid", "euid", "gid", "uid"));
  const RecordDifference capable =
      Only("process/7", ProcessText("sh", 1000, 0x10),
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

TEST(RecordDifferenceTest, PidOfAnotherProcessIsNoRise) {
  const std::string before = ProcessText("sh", 1000, 0, 1, 50);
  const RecordDifference reused =
      Only("process/7", before, ProcessText("sh", 0, ~0U, 1, 60));
  EXPECT_EQ(reused.kind, Kind::kExpected);
  EXPECT_EQ(reused.severity, Severity::kInfo);
  EXPECT_THAT(
      CompareRecords(std::vector<StateRecord>{{"process/7", before}},
                     std::vector<StateRecord>{
                         {"process/7", ProcessText("sh", 1000, 0, 1, 60)}}),
      IsEmpty())
      << "as after each reboot";
  const std::string older = before.substr(0, before.find(" start="));
  EXPECT_EQ(Only("process/7", older, ProcessText("sh", 0, 0)).severity,
            Severity::kCritical)
      << "of a snapshot that did not tell";
}

TEST(RecordDifferenceTest, ModulesMayComeAndGoButNotHide) {
  EXPECT_EQ(Only("module/x", "", "listed text=1").kind, Kind::kExpected);
  EXPECT_EQ(Only("module/x", "listed text=1", "hidden text=1").severity,
            Severity::kHigh);
  EXPECT_EQ(Only("module/x", "listed text=1", "listed text=2").severity,
            Severity::kMedium);
}

}  // namespace
}  // namespace vmattest::baseline
