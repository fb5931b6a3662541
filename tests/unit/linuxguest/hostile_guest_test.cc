// What a guest can write into its own memory to mislead whoever looks.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "linuxguest/inspection.h"
#include "support/matchers.h"
#include "support/small_kernel.h"

namespace vmattest::linuxguest {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::SmallKernel;
using testing::StatusIs;
using Outcome = Discovery::Outcome;

class HostileGuestTest : public ::testing::Test {
 protected:
  Discovery Discover() {
    reader_.Forget();
    absl::StatusOr<Discovery> found = DiscoverKernel(reader_);
    EXPECT_THAT(found, IsOk());
    return found.ok() ? *std::move(found) : Discovery{};
  }
  Inspection Inspect() {
    Discovery found = Discover();
    EXPECT_EQ(found.outcome, Outcome::kFound);
    kernel_ = std::move(found.kernel);
    absl::StatusOr<Inspection> inspection = InspectKernel(*kernel_, {});
    EXPECT_THAT(inspection, IsOk());
    return inspection.ok() ? *std::move(inspection) : Inspection{};
  }
  static auto Inconsistency(std::string_view element, std::string_view what) {
    return AllOf(
        Field("code", &Finding::code, "guest-structures-inconsistent"),
        Field("element", &Finding::element, HasSubstr(std::string(element))),
        Field("found", &Finding::found, HasSubstr(std::string(what))));
  }
  void Number(std::string_view symbol, uint64_t offset, uint64_t value,
              size_t size = 8) {
    guest_.memory().Number(SmallKernel::Physical(symbol) + offset, value, size);
  }

  SmallKernel guest_;
  PhysicalReader reader_{guest_.memory(), Limits{}};
  std::unique_ptr<Kernel> kernel_;
};

TEST_F(HostileGuestTest, NoNoteIsNoLinux) {
  guest_.memory().Number(SmallKernel::kNote, 0);
  const Discovery found = Discover();
  EXPECT_EQ(found.outcome, Outcome::kNoLinux);
  EXPECT_THAT(found.reason, HasSubstr("no VMCOREINFO"));
}

TEST_F(HostileGuestTest, ForgedNotesAreToldFromTheKernels) {
  SmallKernel::WriteNote(guest_.memory(), 0x4000, SmallKernel::Note());
  SmallKernel::WriteNote(guest_.memory(), 0x5000, "OSRELEASE=6.1\nnonsense\n");
  const Discovery found = Discover();
  EXPECT_EQ(found.outcome, Outcome::kFound);
  EXPECT_EQ(found.kernel->info().page, SmallKernel::kNote);
  EXPECT_THAT(found.problems,
              ElementsAre(HasSubstr("at 0x5000"),
                          HasSubstr("vmcoreinfo_note leads to 0x100000")));
}

TEST_F(HostileGuestTest, NotesWithoutEndAreInconsistent) {
  for (uint64_t page = 0x1000; page < 0x20000; page += 0x1000) {
    SmallKernel::WriteNote(guest_.memory(), page, SmallKernel::Note());
  }
  EXPECT_EQ(Discover().outcome, Outcome::kInconsistent);
}

TEST_F(HostileGuestTest, NoteOfAnotherBuildIsInconsistent) {
  guest_.memory().Number(SmallKernel::Physical("__start_notes") + 16, 0, 1);
  guest_.memory().Number(SmallKernel::Physical("__start_notes") + 17, 0, 1);
  const Discovery found = Discover();
  EXPECT_EQ(found.outcome, Outcome::kInconsistent);
  EXPECT_THAT(found.problems, ElementsAre(HasSubstr("build id")));
}

TEST_F(HostileGuestTest, TablesThatDoNotMapThemselvesAreInconsistent) {
  // The image's last pages, swapper_pg_dir among them, lead elsewhere.
  guest_.memory().Number(SmallKernel::kRoot + 0x5000 + 0x1f0 * 8, 0x9000 | 3);
  const Discovery found = Discover();
  EXPECT_EQ(found.outcome, Outcome::kInconsistent);
  EXPECT_THAT(found.problems, ElementsAre(HasSubstr("maps itself at 0x9000")));
}

TEST_F(HostileGuestTest, SymbolTablesThatOverlongDecodeEnd) {
  Number("kallsyms_num_syms", 0, 0xffffffff, 4);
  EXPECT_THAT(Discover().problems, ElementsAre(HasSubstr("4294967295")));
  // A million names of two bytes each: behind the tables lies something else.
  Number("kallsyms_num_syms", 0, 1000000, 4);
  EXPECT_EQ(Discover().outcome, Outcome::kInconsistent);
  Number("kallsyms_num_syms", 0, 32, 4);
  for (uint64_t i = 0; i < 256; ++i) {  // each token as long as the table
    Number("kallsyms_token_index", i * 2, 2, 2);
  }
  for (uint64_t i = 0; i < 0x1000; ++i) {
    Number("kallsyms_token_table", i, 'a', 1);
  }
  EXPECT_THAT(Discover().problems, ElementsAre(HasSubstr("without end")));
}

TEST_F(HostileGuestTest, SymbolsElsewhereThanTheNoteSaysAreInconsistent) {
  Number("kallsyms_relative_base", 0, SmallKernel::kImage + 0x1000);
  EXPECT_THAT(Discover().problems, ElementsAre(HasSubstr("_stext is not")));
}

TEST_F(HostileGuestTest, BtfThatLiesAboutItsSizeIsInconsistent) {
  Number("__start_BTF", 12, 0xfffffff0, 4);
  EXPECT_THAT(Discover().problems, ElementsAre(HasSubstr("BTF")));
}

TEST_F(HostileGuestTest, TaskListThatLoopsEnds) {
  const uint64_t task = SmallKernel::kLinear + SmallKernel::kTask;
  guest_.memory().Number(SmallKernel::kTask + SmallKernel::kTasks,
                         task + SmallKernel::kTasks);
  EXPECT_THAT(Inspect().findings,
              Contains(Inconsistency("processes", "does not point back")));
}

TEST_F(HostileGuestTest, TaskListThatPointsAnywhereEnds) {
  for (const uint64_t wild :
       {uint64_t{0}, uint64_t{0x1234}, UINT64_MAX, UINT64_MAX - 7,
        uint64_t{0x8000000000000000}, SmallKernel::kLinear + (64 << 20)}) {
    guest_.memory().Number(SmallKernel::kTask + SmallKernel::kTasks, wild);
    EXPECT_THAT(Inspect().findings,
                Contains(Inconsistency("processes", "where no memory is")));
  }
}

TEST_F(HostileGuestTest, ModulesOfAbsurdSizeAreRefusedByName) {
  guest_.memory().Number(SmallKernel::kModule + 92, 0xffffffff, 4);
  EXPECT_THAT(Inspect().findings,
              Contains(Inconsistency("modules", "do not rise")));
  guest_.memory().Number(SmallKernel::kModule + 92, 0x1000, 4);
  guest_.memory().Number(SmallKernel::kModule + 0x208, 0xffffffff, 4);
  EXPECT_THAT(Inspect().findings,
              Contains(Inconsistency("modules", "4294967295 symbols")));
}

TEST_F(HostileGuestTest, MoreModulesThanMayBeEnd) {
  // A ring of 6000 list heads, correctly linked.
  const uint64_t ring = 0x20000;
  const auto at = [&](uint64_t i) {
    return SmallKernel::kLinear + ring + i * 16;
  };
  for (uint64_t i = 0; i < 6000; ++i) {
    guest_.memory().Number(
        ring + i * 16, i == 5999 ? SmallKernel::Address("modules") : at(i + 1));
    guest_.memory().Number(
        ring + i * 16 + 8,
        i == 0 ? SmallKernel::Address("modules") : at(i - 1));
  }
  Number("modules", 0, at(0));
  Number("modules", 8, at(5999));
  const Inspection seen = Inspect();
  EXPECT_THAT(seen.findings, Contains(Inconsistency("modules", "more than")));
}

TEST_F(HostileGuestTest, MapleTreesThatLoopEnd) {
  // A leaf's entry that is the leaf; an inner node that is its own child.
  const uint64_t node = SmallKernel::kLinear + SmallKernel::kMapleNode;
  guest_.memory().Number(SmallKernel::kMapleNode + 128 + 8, node | 0xa);
  EXPECT_THAT(Inspect().findings,
              Contains(Inconsistency("process 7", "contradicts itself")));
  guest_.memory().Number(SmallKernel::kTask + 0x100 + 24, node | 0x12);
  guest_.memory().Number(SmallKernel::kMapleNode + 128 + 8, node | 0x12);
  EXPECT_THAT(Inspect().findings, Contains(Inconsistency("process 7", "")));
}

TEST_F(HostileGuestTest, PageTablesThatLoopAreInconsistent) {
  // The slot before the image leads back to the top table.
  guest_.memory().Number(SmallKernel::kRoot + 400 * 8, SmallKernel::kRoot | 7);
  EXPECT_THAT(Inspect().findings,
              Contains(Inconsistency("kernel page tables", "is used at")));
}

TEST_F(HostileGuestTest, LimitsAreErrorsNotVerdicts) {
  Limits limits;
  limits.bytes = 4096;
  PhysicalReader poor(guest_.memory(), limits);
  EXPECT_THAT(DiscoverKernel(poor),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace vmattest::linuxguest
