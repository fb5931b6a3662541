#include "baseline/difference.h"

#include <gmock/gmock.h>

#include <optional>
#include <tuple>
#include <utility>

#include "fmt/format.h"
#include "support/made_snapshot.h"
#include "support/matchers.h"

namespace vmattest::baseline {
namespace {

using snapshot::Severity;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// Kernel text of 20 pages, read-only data of 5, settings of 1.
MadeSnapshot Kernel() {
  MadeSnapshot made;
  auto& region = made.AddRegion("kernel", 26, 0x1000000, "critical");
  region.parts = {{.name = "kernel/text",
                   .content = "text",
                   .address = 0xffffffff81000000,
                   .size = 20 * 4096,
                   .first_page = 0,
                   .pages = 20},
                  {.name = "kernel/rodata",
                   .content = "rodata",
                   .address = 0xffffffff82000000,
                   .size = 5 * 4096,
                   .first_page = 20,
                   .pages = 5},
                  {.name = "symbol/modprobe_path",
                   .content = "data",
                   .address = 0xffffffff82a00100,
                   .size = 256,
                   .first_page = 25,
                   .pages = 1}};
  made.statement.code_hash = DigestBytes(32, 7);
  made.statement.kernel_release = "6.1.0-13-amd64";
  made.statement.kernel_build_id = Bytes(20, 9);
  made.statement.semantics = "linux";
  made.pages.records = {{"syscall/62", "__x64_sys_kill"},
                        {"module/virtio", "listed text=1"}};
  made.Seal();
  return made;
}

std::vector<Difference> Compare(const MadeSnapshot& before,
                                const MadeSnapshot& now) {
  const auto baseline = before.Load();
  const Applied applied =
      ApplyDelta(*baseline, now.statement, DeltaOf(*baseline, now));
  EXPECT_FALSE(applied.refused);
  return CompareSnapshot(*baseline, now.statement, applied);
}

TEST(CompareSnapshotTest, NothingChangedIsNothing) {
  EXPECT_THAT(Compare(Kernel(), Kernel()), IsEmpty());
}

TEST(CompareSnapshotTest, TextThatTheCodeHashProvesIsTheKernelsOwnChange) {
  MadeSnapshot now = Kernel();
  now.ChangePage(0, 3);
  now.ChangePage(0, 4);
  now.Seal();
  const auto same = Compare(Kernel(), now);
  ASSERT_THAT(same, SizeIs(1));
  EXPECT_EQ(same[0].kind, Kind::kSelfModified);
  EXPECT_EQ(same[0].severity, Severity::kInfo);
  EXPECT_EQ(same[0].extent, 2U);
  EXPECT_EQ(same[0].element, "kernel: kernel/text+0x3000");
  now.statement.code_hash = DigestBytes(32, 8);
  auto other = Compare(Kernel(), now);
  SortByGravity(other);
  ASSERT_THAT(other, SizeIs(2));
  EXPECT_EQ(other[0].code, "code-hash");
  EXPECT_EQ(other[1].kind, Kind::kCode);
  EXPECT_EQ(other[1].severity, Severity::kCritical);
}

TEST(CompareSnapshotTest, NamesDataByItsSymbol) {
  MadeSnapshot now = Kernel();
  now.ChangePage(0, 25);
  now.ChangePage(0, 22);
  now.Seal();
  const auto found = Compare(Kernel(), now);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].element, "kernel: kernel/rodata+0x2000");
  EXPECT_EQ(found[0].kind, Kind::kConstant);
  EXPECT_EQ(found[1].element, "kernel: symbol/modprobe_path+0x0");
  EXPECT_EQ(found[1].kind, Kind::kData);
  EXPECT_EQ(found[1].severity, Severity::kCritical);
}

// Kernel() as a guest with symbol tables has it.
MadeSnapshot WithSymbols() {
  MadeSnapshot made = Kernel();
  auto& parts = made.pages.regions[0].parts;
  parts[0].symbols = {
      {0, "_text"}, {0x2f00, "ksys_read"}, {0x3400, "vfs_read"}};
  parts[1].symbols = {{0x1800, "sys_call_table"}};
  made.Seal();
  return made;
}

TEST(CompareSnapshotTest, NamesPagesByWhatTheBaselineSaysTheyHold) {
  MadeSnapshot now = WithSymbols();
  now.ChangePage(0, 3);
  now.ChangePage(0, 22);
  now.Seal();
  // What a host says now is not asked.
  now.pages.regions[0].parts[0].symbols = {{0, "harmless"}};
  const auto found = Compare(WithSymbols(), now);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].element,
            "kernel: kernel/text+0x3000 (ksys_read+0x100, vfs_read)");
  EXPECT_EQ(found[1].element,
            "kernel: kernel/rodata+0x2000 (sys_call_table+0x800)");
}

TEST(CompareSnapshotTest, NamesJudgeNothing) {
  MadeSnapshot now = Kernel();
  now.ChangePage(0, 3);
  now.ChangePage(0, 22);
  now.Seal();
  const auto without = Compare(Kernel(), now);
  const auto with = Compare(WithSymbols(), now);
  ASSERT_EQ(with.size(), without.size());
  for (size_t i = 0; i < with.size(); ++i) {
    EXPECT_EQ(with[i].code, without[i].code);
    EXPECT_EQ(with[i].kind, without[i].kind);
    EXPECT_EQ(with[i].severity, without[i].severity);
    EXPECT_EQ(with[i].extent, without[i].extent);
    EXPECT_EQ(with[i].group, without[i].group);
  }
}

TEST(CompareSnapshotTest, PhysicalPagesAreNamedByAddress) {
  MadeSnapshot before;
  before.AddRegion("ram", 100, 0x100000, "low");
  before.Seal();
  MadeSnapshot now = before;
  now.ChangePage(0, 16);
  now.ChangePage(0, 17);
  now.ChangePage(0, 50);
  now.Seal();
  const auto found = Compare(before, now);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].element, "ram: physical 0x110000");
  EXPECT_EQ(found[0].extent, 2U);
  EXPECT_EQ(found[1].element, "ram: physical 0x132000");
}

TEST(CompareSnapshotTest, ManyDifferencesOfARegionAreCounted) {
  MadeSnapshot before;
  before.AddRegion("ram", 1000);
  before.Seal();
  MadeSnapshot now = before;
  for (uint64_t page = 0; page < 1000; page += 2) {
    now.ChangePage(0, page, 5'000 + page);
  }
  now.Seal();
  const auto found = Compare(before, now);
  ASSERT_THAT(found, SizeIs(kMostNamed + 1));
  EXPECT_EQ(found.back().extent, 500 - kMostNamed);
}

// Kernel() with records of its code and constants.
MadeSnapshot WithRecords(const std::string& code, const std::string& rodata) {
  MadeSnapshot made = Kernel();
  made.pages.records = {{"code/kernel", code},
                        {"code/rodata", rodata},
                        {"module/virtio", "listed text=1"},
                        {"syscall/62", "__x64_sys_kill"}};
  made.Seal();
  return made;
}

// KASLR put it elsewhere; of its pages those up to `last` are others.
MadeSnapshot Rebooted(MadeSnapshot made, uint64_t last) {
  for (auto& part : made.pages.regions[0].parts) {
    part.address += 0x1200000;
  }
  made.pages.regions[0].ranges = {{0x2000000, 0x2000000 + 26 * 4096}};
  for (uint64_t page = 0; page <= last; ++page) {
    made.ChangePage(0, page, 9'000 + page);
  }
  made.Seal();
  return made;
}

constexpr uint64_t kLastOfRodata = 24;
constexpr uint64_t kSettings = 25;

TEST(CompareSnapshotTest, AfterARebootTheHashesTellOfTextAndConstants) {
  const auto same = Compare(WithRecords("ab", "cd"),
                            Rebooted(WithRecords("ab", "cd"), kLastOfRodata));
  ASSERT_THAT(same, SizeIs(2));
  for (const Difference& difference : same) {
    EXPECT_EQ(difference.kind, Kind::kPerBoot) << difference.element;
    EXPECT_EQ(difference.severity, Severity::kInfo);
  }
  const std::string none = "unavailable: no-image";
  auto unproved = Compare(WithRecords(none, none),
                          Rebooted(WithRecords(none, none), kLastOfRodata));
  ASSERT_THAT(unproved, SizeIs(2));
  EXPECT_EQ(unproved[0].element, "kernel: kernel/text");
  EXPECT_EQ(unproved[0].found, "loaded anew, and no code hash of both");
  EXPECT_EQ(unproved[1].element, "kernel: kernel/rodata");
  EXPECT_EQ(unproved[1].found, "loaded anew, and no code/rodata of both");
  for (const Difference& difference : unproved) {
    EXPECT_EQ(difference.kind, Kind::kUnmeasured) << difference.element;
    EXPECT_EQ(difference.severity, Severity::kCritical);
  }
}

TEST(CompareSnapshotTest, ARebootIsNoExcuseForOtherConstants) {
  auto other = Compare(WithRecords("ab", "cd"),
                       Rebooted(WithRecords("ab", "ce"), kLastOfRodata));
  SortByGravity(other);
  ASSERT_THAT(other, SizeIs(3));
  EXPECT_EQ(other[0].element, "kernel: kernel/rodata");
  EXPECT_EQ(other[0].kind, Kind::kConstant);
  EXPECT_EQ(other[0].severity, Severity::kCritical);
  EXPECT_EQ(other[0].found, "5 pages changed, and code/rodata is another");
  EXPECT_EQ(other[1].code, "code-hash");
  EXPECT_EQ(other[1].element, "code/rodata");
  EXPECT_EQ(other[1].severity, Severity::kCritical);
  EXPECT_EQ(other[2].kind, Kind::kPerBoot) << "the text";
}

TEST(CompareSnapshotTest, ConstantsThatNobodyHashedBeforeAreNotExcused) {
  MadeSnapshot old = WithRecords("ab", "cd");
  old.pages.records.erase(old.pages.records.begin() + 1);
  old.Seal();
  auto found = Compare(old, Rebooted(WithRecords("ab", "cd"), kLastOfRodata));
  SortByGravity(found);
  EXPECT_EQ(found[0].element, "kernel: kernel/rodata");
  EXPECT_EQ(found[0].kind, Kind::kUnmeasured);
}

TEST(CompareSnapshotTest, ARebootIsNoExcuseForSettings) {
  auto found = Compare(WithRecords("ab", "cd"),
                       Rebooted(WithRecords("ab", "cd"), kSettings));
  SortByGravity(found);
  ASSERT_THAT(found, SizeIs(3));
  EXPECT_EQ(found[0].element, "kernel: symbol/modprobe_path+0x0");
  EXPECT_EQ(found[0].kind, Kind::kData);
  EXPECT_EQ(found[0].severity, Severity::kCritical);
  EXPECT_EQ(found[1].severity, Severity::kInfo);
}

// A region of symbols alone, each of one page, with `content`.
std::vector<Difference> CompareRebootedSymbol(const std::string& content,
                                              const std::string& rodata) {
  const auto make = [&](uint64_t address) {
    MadeSnapshot made;
    auto& region = made.AddRegion("symbols", 1, address & 0xffffff, "high");
    region.parts = {{.name = "symbol/it",
                     .content = content,
                     .address = address,
                     .size = 64,
                     .first_page = 0,
                     .pages = 1}};
    made.pages.records = {{"code/kernel", "ab"}, {"code/rodata", rodata}};
    made.statement.semantics = "linux";
    made.Seal();
    return made;
  };
  MadeSnapshot now = make(0xffffffff93a00000);
  now.ChangePage(0, 0);
  now.Seal();
  return Compare(make(0xffffffff82600000), now);
}

TEST(CompareSnapshotTest, SymbolsAfterARebootAreJudgedByWhereTheyLie) {
  for (const auto& [content, rodata, kind] :
       std::vector<std::tuple<std::string, std::string, Kind>>{
           {"text", "cd", Kind::kPerBoot},
           {"rodata", "cd", Kind::kPerBoot},
           {"rodata", "unavailable: no file", Kind::kUnmeasured},
           {"ro_after_init", "unavailable: no file", Kind::kPerBoot},
           {"data", "cd", Kind::kData}}) {
    const auto found = CompareRebootedSymbol(content, rodata);
    ASSERT_THAT(found, SizeIs(1)) << content;
    EXPECT_EQ(found[0].kind, kind) << content << " " << found[0].element;
    EXPECT_EQ(found[0].severity == Severity::kInfo, kind == Kind::kPerBoot);
  }
}

TEST(CompareSnapshotTest, WhatIsOfAnotherKindNowIsComparedByteByByte) {
  MadeSnapshot before = WithRecords("ab", "cd");
  before.pages.regions[0].parts[2].content = "data";
  before.Seal();
  MadeSnapshot now = Rebooted(WithRecords("ab", "cd"), kSettings);
  now.pages.regions[0].parts[2].content = "ro_after_init";
  auto found = Compare(before, now);
  SortByGravity(found);
  EXPECT_EQ(found[0].element, "kernel: symbol/modprobe_path+0x0");
  EXPECT_EQ(found[0].severity, Severity::kCritical);
}

TEST(CompareSnapshotTest, WithoutRecordsOfCodeTheOneCodeHashTellsOfText) {
  MadeSnapshot now = Rebooted(Kernel(), 19);
  for (const Difference& difference : Compare(Kernel(), now)) {
    EXPECT_EQ(difference.kind, Kind::kPerBoot) << difference.element;
  }
  now.statement.code_hash.clear();
  now.statement.code_hash_state = "no-image";
  auto unproved = Compare(Kernel(), now);
  SortByGravity(unproved);
  EXPECT_EQ(unproved[0].kind, Kind::kUnmeasured);
  EXPECT_EQ(unproved[0].severity, Severity::kCritical);
  EXPECT_EQ(unproved[0].element, "kernel: kernel/text");
  EXPECT_EQ(unproved[1].found, "no-image");
}

TEST(CompareSnapshotTest, ModulesMayComeAndTheirPartsMove) {
  MadeSnapshot now = Kernel();
  auto& region = now.pages.regions[0];
  region.ranges.push_back({0x5000000, 0x5001000});
  const DigestBytes digest = MadeSnapshot::DigestOf(77);
  region.digests.insert(region.digests.end(), digest.begin(), digest.end());
  region.parts.push_back({.name = "module/fresh/text",
                          .content = "text",
                          .address = 0xffffffffc0000000,
                          .size = 4096,
                          .first_page = 26,
                          .pages = 1});
  now.ChangePage(0, 25);
  now.Seal();
  auto found = Compare(Kernel(), now);
  SortByGravity(found);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].element, "kernel: symbol/modprobe_path+0x0");
  EXPECT_EQ(found[1].element, "kernel: module/fresh/text");
  EXPECT_EQ(found[1].kind, Kind::kExpected);
}

// A module of two pages, whose code hash is `code`; the kernel's is known.
MadeSnapshot WithModule(const std::string& code) {
  MadeSnapshot made;
  auto& region = made.AddRegion("modules", 2, 0x1000000, "high");
  region.parts = {{.name = "module/virtio/text",
                   .content = "text",
                   .address = 0xffffffffc0000000,
                   .size = 2 * 4096,
                   .first_page = 0,
                   .pages = 2}};
  made.statement.semantics = "linux";
  made.statement.code_hash = DigestBytes(32, 7);
  made.pages.records = {{"code/kernel", "ab"},
                        {"code/module/virtio", code},
                        {"module/virtio", "listed text=1"}};
  made.Seal();
  return made;
}

TEST(CompareSnapshotTest, ModuleTextIsJudgedByTheModulesCodeHash) {
  const std::string none = "unavailable: no file of that name";
  const auto changed = [](const std::string& code) {
    MadeSnapshot now = WithModule(code);
    now.ChangePage(0, 1);
    now.Seal();
    return now;
  };
  const auto same = Compare(WithModule("cd"), changed("cd"));
  ASSERT_THAT(same, SizeIs(1));
  EXPECT_EQ(same[0].kind, Kind::kSelfModified);
  const auto other = Compare(WithModule("cd"), changed("ce"));
  ASSERT_THAT(other, SizeIs(2));
  EXPECT_EQ(other[0].kind, Kind::kCode);
  EXPECT_EQ(other[0].element, "modules: module/virtio/text+0x1000");
  EXPECT_EQ(other[1].code, "code-hash");
  EXPECT_EQ(other[1].element, "code/module/virtio");
  EXPECT_EQ(other[1].severity, Severity::kCritical);
  const auto unknown = Compare(WithModule(none), changed(none));
  ASSERT_THAT(unknown, SizeIs(1));
  EXPECT_EQ(unknown[0].kind, Kind::kCode) << "nobody knows better";
}

TEST(CompareSnapshotTest, AfterARebootOnlyItsCodeHashTellsOfAModulesText) {
  const auto moved = [](const std::string& code) {
    MadeSnapshot now = WithModule(code);
    now.pages.regions[0].parts[0].address += 0x7000;
    now.pages.regions[0].ranges = {{0x3000000, 0x3000000 + 2 * 4096}};
    now.ChangePage(0, 0);
    now.ChangePage(0, 1);
    now.Seal();
    return now;
  };
  const auto proved = Compare(WithModule("cd"), moved("cd"));
  for (const Difference& one : proved) {
    EXPECT_EQ(one.severity, Severity::kInfo) << one.element;
  }
  const std::string none = "unavailable: no file of that name";
  const auto unknown = Compare(WithModule(none), moved(none));
  ASSERT_THAT(unknown, SizeIs(1));
  EXPECT_EQ(unknown[0].kind, Kind::kUnmeasured);
  EXPECT_EQ(unknown[0].severity, Severity::kHigh);
  const auto lost = Compare(WithModule("cd"), moved(none));
  ASSERT_THAT(lost, SizeIs(2));
  EXPECT_EQ(lost[1].code, "memory-unavailable");
  EXPECT_EQ(lost[1].kind, Kind::kUnmeasured);
}

// Its text of two pages and its read-only data of one, where they lie now.
MadeSnapshot WithModuleAt(uint64_t address, const std::string& code) {
  MadeSnapshot made = WithModule(code);
  auto& region = made.pages.regions[0];
  region.parts[0].address = address;
  region.parts.push_back({.name = "module/virtio/rodata",
                          .content = "rodata",
                          .address = address + 0x2000,
                          .size = 4096,
                          .first_page = 2,
                          .pages = 1});
  region.ranges = {{address & 0xffffff, (address & 0xffffff) + 3 * 4096}};
  const DigestBytes digest = MadeSnapshot::DigestOf(address);
  region.digests.insert(region.digests.end(), digest.begin(), digest.end());
  made.Seal();
  return made;
}

// No part of the kernel is in the region that could tell of a reboot.
TEST(CompareSnapshotTest, AModuleLoadedAnewIsExcusedByItsCodeHashAlone) {
  constexpr uint64_t kFirst = 0xffffffffc0100000;
  constexpr uint64_t kSecond = 0xffffffffc0700000;
  const auto loaded_again = [&](const std::string& code) {
    MadeSnapshot now = WithModuleAt(kSecond, code);
    now.ChangePage(0, 0);
    now.Seal();
    return now;
  };
  const auto same = Compare(WithModuleAt(kFirst, "cd"), loaded_again("cd"));
  ASSERT_THAT(same, SizeIs(2));
  for (const Difference& one : same) {
    EXPECT_EQ(one.kind, Kind::kPerBoot) << one.element;
    EXPECT_EQ(one.severity, Severity::kInfo);
  }
  // Another file of the name, and one that nobody knows.
  const std::string none = "unavailable: no file of that name";
  for (const std::string& code : {std::string("ce"), none}) {
    const std::string before = code == none ? none : "cd";
    auto other = Compare(WithModuleAt(kFirst, before), loaded_again(code));
    ASSERT_THAT(other, SizeIs(code == none ? 2 : 3)) << code;
    for (const char* part : {"text", "rodata"}) {
      const auto found =
          std::find_if(other.begin(), other.end(), [&](const Difference& one) {
            return one.element == std::string("modules: module/virtio/") + part;
          });
      ASSERT_NE(found, other.end()) << part;
      EXPECT_EQ(found->kind, Kind::kUnmeasured) << part;
      EXPECT_EQ(found->severity, Severity::kHigh) << part;
    }
  }
  // Where it was, it is compared byte by byte.
  MadeSnapshot patched = WithModuleAt(kFirst, "cd");
  patched.ChangePage(0, 2);
  patched.Seal();
  const auto found = Compare(WithModuleAt(kFirst, "cd"), patched);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].kind, Kind::kConstant);
  EXPECT_EQ(found[0].severity, Severity::kHigh);
}

// A reboot may put a module where it was, and the kernel elsewhere.
TEST(CompareSnapshotTest, AModuleOfAnotherBootIsThatWhereverItLies) {
  constexpr uint64_t kAddress = 0xffffffffc0100000;
  const auto booted = [&](uint64_t kernel, const std::string& code) {
    MadeSnapshot made = WithModuleAt(kAddress, code);
    made.pages.regions[0].parts[1].name = "module/virtio/ro_after_init";
    made.pages.regions[0].parts[1].content = "ro_after_init";
    auto& text = made.AddRegion("text", 2, kernel & 0xffffffff, "critical");
    text.parts = {{.name = "kernel/text",
                   .content = "text",
                   .address = kernel,
                   .size = 2 * 4096,
                   .first_page = 0,
                   .pages = 2}};
    made.Seal();
    return made;
  };
  const auto severity = [&](uint64_t kernel, const std::string& code) {
    MadeSnapshot now = booted(kernel, code);
    now.ChangePage(0, 2);
    now.Seal();
    const auto found = Compare(booted(0xffffffff81000000, "cd"), now);
    const auto part =
        std::find_if(found.begin(), found.end(), [](const Difference& one) {
          return one.element.rfind("modules: module/virtio/ro_after_init", 0) ==
                 0;
        });
    return part == found.end()
               ? "nothing"
               : fmt::format("{} {}", snapshot::ToString(part->severity),
                             ToString(part->kind));
  };
  EXPECT_EQ(severity(0xffffffff9a000000, "cd"), "info per-boot");
  EXPECT_EQ(severity(0xffffffff9a000000, "ce"), "high unmeasured");
  EXPECT_EQ(severity(0xffffffff81000000, "cd"), "high constant")
      << "the same boot";
}

evidence::Boot BootOf(uint8_t listener, uint64_t resets) {
  return {Bytes(evidence::kBootListenerSize, listener), resets};
}

// A kernel and a module, whose constants `code` tells, at `kernel` and always
// there.
MadeSnapshot BootedAt(uint64_t kernel, const std::string& code,
                      std::optional<evidence::Boot> boot) {
  MadeSnapshot made = WithModuleAt(0xffffffffc0100000, code);
  made.pages.regions[0].parts[1].name = "module/virtio/ro_after_init";
  made.pages.regions[0].parts[1].content = "ro_after_init";
  auto& text = made.AddRegion("text", 4, kernel & 0xffffffff, "critical");
  text.parts = {{.name = "kernel/text",
                 .content = "text",
                 .address = kernel,
                 .size = 2 * 4096,
                 .first_page = 0,
                 .pages = 2},
                {.name = "kernel/rodata",
                 .content = "rodata",
                 .address = kernel + 0x200000,
                 .size = 4096,
                 .first_page = 2,
                 .pages = 1},
                {.name = "idt",
                 .content = "ro_after_init",
                 .address = kernel + 0x300000,
                 .size = 4096,
                 .first_page = 3,
                 .pages = 1}};
  made.pages.records.push_back({"code/rodata", "ef"});
  std::sort(made.pages.records.begin(), made.pages.records.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  made.statement.boot = std::move(boot);
  made.Seal();
  return made;
}

constexpr uint64_t kHere = 0xffffffff81000000;
constexpr uint64_t kElsewhere = 0xffffffff9a000000;

// "element: kind" of what hurts after pages of all parts became others.
std::vector<std::string> Alarms(std::optional<evidence::Boot> before,
                                std::optional<evidence::Boot> after,
                                uint64_t kernel = kHere,
                                const std::string& code = "cd") {
  MadeSnapshot now = BootedAt(kernel, code, std::move(after));
  now.ChangePage(0, 2);
  for (const uint64_t page : {0, 2, 3}) {
    now.ChangePage(1, page);
  }
  now.Seal();
  std::vector<std::string> alarms;
  for (const Difference& one :
       Compare(BootedAt(kHere, "cd", std::move(before)), now)) {
    if (one.severity != Severity::kInfo) {
      alarms.push_back(fmt::format("{}: {}", one.element, ToString(one.kind)));
    }
  }
  return alarms;
}

TEST(CompareSnapshotTest, AfterACountedResetTheSamePlaceIsAnotherBoot) {
  EXPECT_THAT(Alarms(BootOf(1, 4), BootOf(1, 5)), IsEmpty());
  EXPECT_THAT(Alarms(BootOf(1, 5), BootOf(1, 4)), IsEmpty())
      << "the baseline is of the later one";
  // What hashes do not prove is no more excused than after any other reboot.
  EXPECT_THAT(Alarms(BootOf(1, 4), BootOf(1, 5), kHere, "ce"),
              UnorderedElementsAre("code/module/virtio: code",
                                   "modules: module/virtio/ro_after_init: "
                                   "unmeasured"));
}

TEST(CompareSnapshotTest, WithoutAResetTheSamePlaceIsTheSameBoot) {
  const auto same_boot = UnorderedElementsAre(
      "modules: module/virtio/ro_after_init+0x0: constant",
      "text: kernel/rodata+0x0: constant", "text: idt+0x0: constant");
  EXPECT_THAT(Alarms(BootOf(1, 5), BootOf(1, 5)), same_boot);
  // The daemon was started anew, lost libvirt, or does not listen: two counts
  // of two listeners tell nothing.
  EXPECT_THAT(Alarms(BootOf(1, 5), BootOf(2, 0)), same_boot);
  EXPECT_THAT(Alarms(BootOf(1, 5), std::nullopt), same_boot);
  EXPECT_THAT(Alarms(std::nullopt, BootOf(1, 5)), same_boot);
}

TEST(CompareSnapshotTest, AKernelThatMovedIsAnotherBootWhateverWasCounted) {
  EXPECT_THAT(Alarms(std::nullopt, std::nullopt, kElsewhere), IsEmpty());
  EXPECT_THAT(Alarms(BootOf(1, 5), BootOf(2, 0), kElsewhere), IsEmpty());
  EXPECT_THAT(Alarms(BootOf(1, 5), BootOf(1, 5), kElsewhere), IsEmpty())
      << "one kernel may start the next";
}

// What the kernel writes into its tables is in no hash, wherever the module
// lies; constants that are others are told.
TEST(CompareSnapshotTest, AModulesReadOnlyDataAreJudgedByTheirOwnHash) {
  constexpr uint64_t kFirst = 0xffffffffc0100000;
  constexpr uint64_t kSecond = 0xffffffffc0700000;
  const auto loaded = [&](uint64_t address, const std::string& rodata) {
    MadeSnapshot made = WithModuleAt(address, "cd");
    made.pages.records = {{"code/kernel", "ab"},
                          {"code/module/virtio", "cd"},
                          {"code/module/virtio/rodata", rodata},
                          {"module/virtio", "listed text=1"}};
    made.Seal();
    return made;
  };
  for (const uint64_t address : {kFirst, kSecond}) {
    MadeSnapshot same = loaded(address, "ef");
    same.ChangePage(0, 2);
    same.Seal();
    for (const Difference& one : Compare(loaded(kFirst, "ef"), same)) {
      EXPECT_EQ(one.severity, Severity::kInfo) << one.element;
    }
    MadeSnapshot other = loaded(address, "ee");
    other.ChangePage(0, 2);
    other.Seal();
    auto found = Compare(loaded(kFirst, "ef"), other);
    SortByGravity(found);
    ASSERT_GE(found.size(), 2U);
    EXPECT_EQ(found[0].code, "code-hash");
    EXPECT_EQ(found[0].element, "code/module/virtio/rodata");
    EXPECT_THAT(found[1].element, ::testing::HasSubstr("module/virtio/rodata"));
    EXPECT_EQ(found[1].kind, Kind::kConstant);
    EXPECT_EQ(found[1].severity, Severity::kHigh);
  }
}

TEST(CompareSnapshotTest, AnotherModuleIsNoOtherCodeHash) {
  MadeSnapshot now = WithModule("cd");
  now.statement.code_hash = DigestBytes(32, 8);
  now.pages.records.push_back({"code/module/fresh", "ef"});
  now.Seal();
  const auto found = Compare(WithModule("cd"), now);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].kind, Kind::kExpected);
  EXPECT_EQ(found[0].element, "code/module/fresh");
  now.pages.records[0].text = "ac";
  now.Seal();
  auto other = Compare(WithModule("cd"), now);
  SortByGravity(other);
  EXPECT_EQ(other[0].code, "code-hash");
  EXPECT_EQ(other[0].element, "code/kernel");
  EXPECT_EQ(other[0].severity, Severity::kCritical);
}

TEST(CompareSnapshotTest, RecordsAreNamedByEntryAndField) {
  MadeSnapshot now = Kernel();
  now.pages.records[1].text = "0xffffffffc0001000";
  now.Seal();
  const auto found = Compare(Kernel(), now);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].element, "syscall/62");
  EXPECT_EQ(found[0].code, "record-changed");
  EXPECT_EQ(found[0].severity, Severity::kCritical);
  EXPECT_EQ(found[0].group, "records/syscall");
  EXPECT_EQ(found[0].found, "0xffffffffc0001000");
}

TEST(CompareSnapshotTest, S21_RegistersThatNobodyToldThisTimeAreNoPass) {
  MadeSnapshot before = Kernel();
  before.pages.records.push_back({"cpu/0/lstar", "entry_SYSCALL_64"});
  before.pages.records.push_back({"cpu/0/star", "0x23001000000000"});
  before.Seal();
  const auto lost = Compare(before, Kernel());
  ASSERT_THAT(lost, SizeIs(1));
  EXPECT_EQ(lost[0].code, "memory-unavailable");
  EXPECT_EQ(lost[0].kind, Kind::kUnmeasured);
  EXPECT_EQ(lost[0].severity, Severity::kHigh);
  EXPECT_EQ(lost[0].element, "cpu");
  const auto came = Compare(Kernel(), before);
  ASSERT_THAT(came, SizeIs(2));
  EXPECT_EQ(came[0].kind, Kind::kExpected);
  EXPECT_EQ(came[1].kind, Kind::kExpected);
}

TEST(CompareSnapshotTest, FindingsAreTakenOverUnlessAccepted) {
  MadeSnapshot now = Kernel();
  now.statement.findings = {
      {"syscall-hooked", "critical", "syscall/62", "a", "b"},
      {"process-code-writable", "medium", "process/7/jit", "", "rwx"}};
  EXPECT_THAT(Compare(Kernel(), now), SizeIs(2));
  Baseline accepting = Kernel().ToBaseline();
  accepting.accepted = {{"process-code-writable", "process/7/jit"}};
  const auto loaded = LoadedBaseline::Load(
      accepting, wire::EncodeSnapshotPages(Kernel().pages));
  const auto found = CompareSnapshot(
      **loaded, now.statement,
      ApplyDelta(**loaded, now.statement, DeltaOf(**loaded, now)));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].element, "syscall-hooked syscall/62");
  EXPECT_EQ(found[0].severity, Severity::kCritical);
}

TEST(CompareSnapshotTest, WhatCannotBeLookedAtIsNoPass) {
  MadeSnapshot now = Kernel();
  now.pages.records.clear();
  now.Seal();
  now.statement.regions[0] = {.name = "kernel",
                              .severity = "critical",
                              .unavailable = "guest-structures-inconsistent"};
  now.statement.semantics = "guest-structures-inconsistent";
  auto found = Compare(Kernel(), now);
  SortByGravity(found);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].code, "memory-unavailable");
  EXPECT_EQ(found[0].severity, Severity::kCritical);
  EXPECT_EQ(found[1].element, "records");
}

TEST(CompareSnapshotTest, AnotherKernelIsSaid) {
  MadeSnapshot now = Kernel();
  now.statement.kernel_release = "6.12.0";
  const auto found = Compare(Kernel(), now);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, "kernel-changed");
  EXPECT_THAT(found[0].found, HasSubstr("6.12.0"));
}

}  // namespace
}  // namespace vmattest::baseline
