#include "support/small_kernel.h"

#include <gmock/gmock.h>

#include "linuxguest/address_names.h"
#include "linuxguest/inspection.h"
#include "linuxguest/regions.h"
#include "support/matchers.h"

namespace vmattest::linuxguest {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::SmallKernel;
using testing::StatusIs;

class SmallKernelTest : public ::testing::Test {
 protected:
  const Findings& Judge() const { return inspection_.findings; }
  void Inspect() {
    absl::StatusOr<Discovery> found = DiscoverKernel(reader_);
    ASSERT_THAT(found, IsOk());
    ASSERT_EQ(found->outcome, Discovery::Outcome::kFound)
        << ::testing::PrintToString(found->problems);
    kernel_ = std::move(found->kernel);
    const memory::VcpuState cpu = SmallKernel::Vcpu();
    absl::StatusOr<Inspection> inspection = InspectKernel(*kernel_, {&cpu, 1});
    ASSERT_THAT(inspection, IsOk());
    inspection_ = *std::move(inspection);
  }

  SmallKernel guest_;
  PhysicalReader reader_{guest_.memory(), Limits{}};
  std::unique_ptr<Kernel> kernel_;
  Inspection inspection_;
};

TEST_F(SmallKernelTest, IsUnderstoodWhole) {
  Inspect();
  EXPECT_THAT(Judge(), IsEmpty());
  const auto record = [](const char* name, const char* text) {
    return Contains(Record{name, text});
  };
  EXPECT_THAT(inspection_.records, record("syscall/1", "__x64_sys_write"));
  EXPECT_THAT(
      inspection_.records,
      record("idt/14", "asm_exc_page_fault selector=10 type=e dpl=0 ist=0"));
  EXPECT_THAT(inspection_.records,
              record("module/small", "listed text=4096 data=4096"));
  EXPECT_THAT(inspection_.records,
              record("helper/modprobe_path", "/sbin/modprobe"));
  EXPECT_THAT(inspection_.records, record("cpu/0/lstar", "entry_SYSCALL_64"));
  ASSERT_EQ(inspection_.processes.processes.size(), 2U);
  EXPECT_EQ(inspection_.processes.processes[1].comm, "worker");
  EXPECT_EQ(inspection_.processes.processes[1].start, 1007U);
  const AddressSpace space =
      ReadAddressSpace(*kernel_, inspection_.processes.processes[1]).value();
  ASSERT_EQ(space.mappings.size(), 1U);
  EXPECT_EQ(space.mappings[0].end, 0x402000U);
  EXPECT_TRUE(space.mappings[0].executable);
}

TEST_F(SmallKernelTest, AddressesHaveNames) {
  Inspect();
  const AddressNames names =
      AddressNames::Make(*kernel_, inspection_.modules).value();
  EXPECT_EQ(names.Describe(SmallKernel::Address("__x64_sys_read") + 5),
            "__x64_sys_read+0x5");
  EXPECT_EQ(names.Describe(SmallKernel::kImage), "_text");
  EXPECT_EQ(names.Describe(SmallKernel::kModuleCode + 0x12),
            "small:small_init+0x2");
  EXPECT_EQ(names.Describe(SmallKernel::kModuleCode), "small:text");
  EXPECT_EQ(names.Describe(0x1234), "0x1234");
}

TEST_F(SmallKernelTest, SelectorsNameTheirBytes) {
  Inspect();
  const std::vector<Selector> wanted = {
      {Selector::Kind::kSymbols, "modprobe_*"},
      {Selector::Kind::kModules, "sma?l"},
      {Selector::Kind::kProcessAnonymous, "*"}};
  const Resolution found = ResolveSelectors(*kernel_, inspection_.modules,
                                            inspection_.processes, wanted)
                               .value();
  ASSERT_EQ(found.regions.size(), 3U);
  EXPECT_EQ(found.regions[0].name, "symbol/modprobe_path");
  EXPECT_THAT(found.regions[0].runs,
              ElementsAre(linuxguest::Run{
                  SmallKernel::Address("modprobe_path"),
                  SmallKernel::Physical("modprobe_path"), 0x100}));
  EXPECT_EQ(found.regions[1].name, "module/small/text");
  EXPECT_EQ(found.regions[2].name, "process/7/anonymous/400000");
  EXPECT_EQ(found.regions[2].absent, 0x2000U) << "never touched";
}

TEST_F(SmallKernelTest, SymbolsAreToldApartByWhereTheyLie) {
  Inspect();
  for (const auto& [symbol, content] :
       std::vector<std::pair<std::string, Content>>{
           {"__x64_sys_read", Content::kCode},
           {"sys_call_table", Content::kReadOnly},
           {"__start_ro_after_init", Content::kReadOnlyAfterInit},
           {"__end_ro_after_init", Content::kReadOnly},
           {"__end_rodata", Content::kData},
           {"modprobe_path", Content::kData}}) {
    const Selector wanted{Selector::Kind::kSymbols, symbol};
    const Resolution found =
        ResolveSelectors(*kernel_, inspection_.modules, inspection_.processes,
                         {&wanted, 1})
            .value();
    ASSERT_EQ(found.regions.size(), 1U) << symbol;
    EXPECT_EQ(found.regions[0].content, content) << symbol;
  }
}

TEST_F(SmallKernelTest, UnknownMembersAreNotFound) {
  Inspect();
  EXPECT_THAT(kernel_->btf().Member("task_struct", "no_such"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(kernel_->btf().Member("no_such", "x"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(kernel_->btf().Member("cred", "euid.val")->offset, 8U);
}

TEST_F(SmallKernelTest, S22_NewExecutablePageIsFound) {
  // The module's data page, which nothing but bit 63 kept from running.
  guest_.memory().Number(SmallKernel::kRoot + 0x6008,
                         (SmallKernel::kModuleTables + 0x1000) | 3);
  Inspect();
  EXPECT_THAT(Judge(),
              ElementsAre(Field("code", &Finding::code, "code-writable"),
                          Field("code", &Finding::code, "code-unknown")));
}

TEST_F(SmallKernelTest, S22_WritableAliasOfKernelTextIsNamedByBothAddresses) {
  // The linear map's page of the text, which nothing but bit 1 kept from being
  // written.
  guest_.memory().Number(
      SmallKernel::kLinearTables + (SmallKernel::kImagePhysical >> 12) * 8,
      SmallKernel::kImagePhysical | 3 | uint64_t{1} << 63);
  Inspect();
  ASSERT_EQ(Judge().size(), 1U);
  EXPECT_EQ(Judge()[0].code, "code-aliased");
  EXPECT_EQ(Judge()[0].severity, Severity::kCritical);
  EXPECT_EQ(Judge()[0].element, "0xffff888000200000-0xffff888000201000");
  EXPECT_EQ(Judge()[0].found,
            "kernel text at 0xffffffff81000000 (_text), physical 0x200000");
}

TEST_F(SmallKernelTest, S22_WritableAliasOfAModuleInALargePageIsNamed) {
  // 2 MiB from 0, somewhere else in the kernel half: the module's page, 0x130
  // pages in.
  guest_.memory().Number(SmallKernel::kRoot + 0x4000 + 5 * 8,
                         0x83 | uint64_t{1} << 63);
  Inspect();
  ASSERT_EQ(Judge().size(), 1U);
  EXPECT_EQ(Judge()[0].code, "code-aliased");
  EXPECT_EQ(Judge()[0].element, "0xffff888000b30000-0xffff888000b31000");
  EXPECT_EQ(Judge()[0].found,
            "module small at 0xffffffffc0000000 (small:text), "
            "physical 0x130000");
}

TEST_F(SmallKernelTest, S22_ExecutableWritableAliasIsAllOfThat) {
  guest_.memory().Number(
      SmallKernel::kLinearTables + (SmallKernel::kModuleTables >> 12) * 8,
      SmallKernel::kModuleTables | 3);
  Inspect();
  EXPECT_THAT(Judge(),
              ElementsAre(Field("code", &Finding::code, "code-writable"),
                          Field("code", &Finding::code, "code-unknown"),
                          Field("code", &Finding::code, "code-aliased")));
}

TEST_F(SmallKernelTest, S22_TextThatIsWritableWhereItRunsIsNoAlias) {
  guest_.memory().Number(SmallKernel::kRoot + 0x5000,
                         SmallKernel::kImagePhysical | 3);
  Inspect();
  EXPECT_THAT(Judge(),
              ElementsAre(Field("code", &Finding::code, "code-writable")));
}

TEST_F(SmallKernelTest, S22_WritableTextThatCannotRunIsAnAlias) {
  guest_.memory().Number(SmallKernel::kRoot + 0x6000,
                         SmallKernel::kModuleTables | 3 | uint64_t{1} << 63);
  Inspect();
  EXPECT_THAT(Judge(),
              ElementsAre(Field("code", &Finding::code, "code-aliased")));
}

TEST_F(SmallKernelTest, S22_TextOfAModuleThatStartsMayStillBeWritten) {
  guest_.memory().Number(SmallKernel::kModule, 1, 4);  // coming
  guest_.memory().Number(
      SmallKernel::kLinearTables + (SmallKernel::kModuleTables >> 12) * 8,
      SmallKernel::kModuleTables | 3 | uint64_t{1} << 63);
  Inspect();
  EXPECT_THAT(Judge(), IsEmpty());
}

TEST_F(SmallKernelTest, S22_AliasesAreBounded) {
  // Each of 512 pages of a table is the text.
  guest_.memory().Number(SmallKernel::kRoot + 0x4000 + 5 * 8,
                         (SmallKernel::kRoot + 0xa000) | 7);
  for (uint64_t i = 0; i < 512; ++i) {
    guest_.memory().Number(SmallKernel::kRoot + 0xa000 + i * 8,
                           SmallKernel::kImagePhysical | 3 | uint64_t{1} << 63);
  }
  Inspect();
  EXPECT_EQ(Judge().size(), 64U);
}

TEST_F(SmallKernelTest, S22_TextAtAForeignFrameIsFound) {
  guest_.memory().Number(SmallKernel::kRoot + 0x5000, 0x1000 | 1);
  Inspect();
  EXPECT_THAT(Judge(),
              ElementsAre(Field("code", &Finding::code, "code-elsewhere")));
}

}  // namespace
}  // namespace vmattest::linuxguest
