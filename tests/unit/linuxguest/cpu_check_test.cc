#include "linuxguest/cpu_check.h"

#include <gmock/gmock.h>

#include <map>

#include "support/matchers.h"
#include "support/small_kernel.h"

namespace vmattest::linuxguest {
namespace {

using memory::VcpuState;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;
using testing::SmallKernel;
using ::testing::UnorderedElementsAre;

auto IsFinding(const char* code, const char* element, const char* found) {
  return AllOf(Field("code", &Finding::code, code),
               Field("severity", &Finding::severity, Severity::kCritical),
               Field("element", &Finding::element, element),
               Field("found", &Finding::found, HasSubstr(found)));
}

class CpuCheckTest : public ::testing::Test {
 protected:
  CpuCheck Check(const std::vector<VcpuState>& cpus) {
    reader_.Forget();
    absl::StatusOr<Discovery> found = DiscoverKernel(reader_);
    EXPECT_THAT(found, IsOk());
    if (!found.ok() || found->kernel == nullptr) {
      ADD_FAILURE() << "no kernel";
      return {};
    }
    const Modules modules = ReadModules(*found->kernel).value();
    return CheckCpus(*found->kernel, modules, cpus).value();
  }
  // One that `change` touched.
  template <class Fn>
  CpuCheck Changed(Fn change) {
    VcpuState cpu = SmallKernel::Vcpu();
    change(cpu);
    return Check({cpu});
  }
  template <class Fn>
  Findings FindingsOf(Fn change) {
    return Changed(change).findings;
  }
  static std::map<std::string, std::string> Texts(const CpuCheck& check) {
    std::map<std::string, std::string> texts;
    for (const Record& record : check.records) {
      EXPECT_TRUE(texts.emplace(record.name, record.text).second)
          << record.name << " is there twice";
    }
    return texts;
  }

  SmallKernel guest_;
  PhysicalReader reader_{guest_.memory(), Limits{}};
};

TEST_F(CpuCheckTest, RegistersOfAHealthyKernelAreRecordsByNames) {
  const CpuCheck check = Check({SmallKernel::Vcpu(), SmallKernel::Vcpu()});
  EXPECT_THAT(check.findings, IsEmpty());
  EXPECT_THAT(check.absent, IsEmpty());
  EXPECT_EQ(check.records.size(), 26U);
  std::map<std::string, std::string> texts = Texts(check);
  EXPECT_EQ(texts["cpu/0/lstar"], "entry_SYSCALL_64");
  EXPECT_EQ(texts["cpu/0/cstar"], "entry_SYSCALL_compat");
  EXPECT_EQ(texts["cpu/0/sysenter_cs"], "0x10");
  EXPECT_EQ(texts["cpu/0/sysenter_esp"], "the processor's entry area");
  EXPECT_EQ(texts["cpu/0/sysenter_eip"], "entry_SYSENTER_compat");
  EXPECT_EQ(texts["cpu/0/star"], "0x23001000000000");
  EXPECT_EQ(texts["cpu/0/fmask"], "0x257fd5");
  EXPECT_EQ(texts["cpu/0/efer"], "0xd01");
  EXPECT_EQ(texts["cpu/0/idtr"], "idt_table");
  EXPECT_EQ(texts["cpu/0/gdtr"], "gdt_page");
  EXPECT_EQ(texts["cpu/0/dr7"], "no breakpoint in the kernel");
  EXPECT_EQ(texts["cpu/1/cr0"], "0x80050033");
  EXPECT_EQ(texts["cpu/1/cr4"], "0x310820");
}

TEST_F(CpuCheckTest, WhatChangesFromMomentToMomentIsInNoRecord) {
  const CpuCheck calm = Check({SmallKernel::Vcpu()});
  const CpuCheck busy = Changed([](VcpuState& cpu) {
    *cpu.cr0 |= 1 << 3;
    cpu.cr3 = SmallKernel::kRoot | 5;
    *cpu.cr4 |= 1 << 2 | 1 << 7 | 1 << 8 | 1 << 13;
    *cpu.efer |= 1 << 12;
    cpu.idtr->limit = 0xffff;  // a hypervisor in the guest
    cpu.sysenter_esp = 0xfffffe7fffff1000;
    (*cpu.dr)[0] = 0x400123;  // a debugger's
    (*cpu.dr)[6] = 0xffff0ff1;
    (*cpu.dr)[7] = 0x401;
  });
  EXPECT_EQ(busy.records, calm.records);
  EXPECT_THAT(busy.findings, IsEmpty());
}

TEST_F(CpuCheckTest, WhatTheSourceDoesNotTellIsAbsentAndNotGood) {
  const CpuCheck nothing = Check({VcpuState()});
  EXPECT_THAT(nothing.findings, IsEmpty());
  EXPECT_THAT(nothing.records, IsEmpty());
  EXPECT_THAT(nothing.absent,
              UnorderedElementsAre("cpu 0 cr0", "cpu 0 cr4", "cpu 0 efer",
                                   "cpu 0 idtr", "cpu 0 gdtr", "cpu 0 star",
                                   "cpu 0 lstar", "cpu 0 cstar", "cpu 0 fmask",
                                   "cpu 0 sysenter_cs", "cpu 0 sysenter_esp",
                                   "cpu 0 sysenter_eip", "cpu 0 dr7"));
  const CpuCheck partly = Changed([](VcpuState& cpu) { cpu.star.reset(); });
  EXPECT_THAT(partly.absent, ElementsAre("cpu 0 star"));
  EXPECT_EQ(Texts(partly).count("cpu/0/star"), 0U);
}

TEST_F(CpuCheckTest, VcpuWithoutPagingIsToldAndNotJudged) {
  const CpuCheck check = Changed([](VcpuState& cpu) {
    cpu = {};
    cpu.cr0 = 0x60000010;
    cpu.lstar = 0;
  });
  EXPECT_THAT(check.findings, IsEmpty());
  EXPECT_THAT(check.absent, ElementsAre("cpu 0 runs without paging"));
  EXPECT_THAT(check.records, ElementsAre(Record{"cpu/0/cr0", "0x60000010"}));
}

TEST_F(CpuCheckTest, EntriesThatLeadElsewhereAreNamed) {
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { *cpu.lstar += 4; }),
              ElementsAre(IsFinding("cpu-entry", "cpu 0 lstar",
                                    "entry_SYSCALL_64+0x4")));
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { cpu.lstar = 0; }),
              ElementsAre(IsFinding("cpu-entry", "cpu 0 lstar", "0x0")));
  EXPECT_THAT(
      FindingsOf([](VcpuState& cpu) { cpu.cstar = SmallKernel::kModuleCode; }),
      ElementsAre(IsFinding("cpu-entry", "cpu 0 cstar", "small:text")));
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { *cpu.sysenter_eip += 1; }),
              ElementsAre(IsFinding("cpu-entry", "cpu 0 sysenter_eip",
                                    "entry_SYSENTER_compat+0x1")));
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) {
                cpu.sysenter_esp = SmallKernel::kLinear + 0x1000;
              }),
              ElementsAre(IsFinding("cpu-entry", "cpu 0 sysenter_esp",
                                    "0xffff888000001000")));
  EXPECT_EQ(
      Texts(Changed([](VcpuState& cpu) { *cpu.lstar += 4; }))["cpu/0/lstar"],
      "entry_SYSCALL_64+0x4");
}

TEST_F(CpuCheckTest, KernelsWithoutOldSystemCallsHaveNoSuchEntries) {
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) {
                cpu.cstar = cpu.sysenter_cs = 0;
                cpu.sysenter_esp = cpu.sysenter_eip = 0;
              }),
              IsEmpty());
}

TEST_F(CpuCheckTest, SegmentsOfSystemCallsAreTheKernels) {
  EXPECT_THAT(
      FindingsOf([](VcpuState& cpu) { cpu.star = 0x0023002300000000; }),
      ElementsAre(IsFinding("cpu-entry", "cpu 0 star", "0x23002300000000")));
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { cpu.sysenter_cs = 0x33; }),
              ElementsAre(IsFinding("cpu-entry", "cpu 0 sysenter_cs", "0x33")));
}

TEST_F(CpuCheckTest, EachFlagThatUserModeSetsMustBeMasked) {
  for (const int bit : {0, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 21}) {
    EXPECT_THAT(
        FindingsOf(
            [bit](VcpuState& cpu) { *cpu.fmask &= ~(uint64_t{1} << bit); }),
        ElementsAre(IsFinding("cpu-protection-off", "cpu 0 fmask", "0x")))
        << bit;
  }
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { *cpu.fmask |= 1 << 19; }),
              IsEmpty());
}

TEST_F(CpuCheckTest, ProtectionsThatAreOffAreNamed) {
  EXPECT_THAT(
      FindingsOf([](VcpuState& cpu) { *cpu.efer &= ~0x800ULL; }),
      ElementsAre(IsFinding("cpu-protection-off", "cpu 0 efer", "0x501")));
  EXPECT_THAT(
      FindingsOf([](VcpuState& cpu) { *cpu.efer &= ~1ULL; }),
      ElementsAre(IsFinding("cpu-protection-off", "cpu 0 efer", "0xd00")));
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { *cpu.cr0 &= ~0x10000ULL; }),
              ElementsAre(IsFinding("cpu-protection-off", "cpu 0 cr0", "")));
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { *cpu.cr4 &= ~0x100000ULL; }),
              ElementsAre(IsFinding("cpu-protection-off", "cpu 0 cr4", "")));
}

TEST_F(CpuCheckTest, TablesElsewhereOrOfAnotherSizeAreNamed) {
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { cpu.idtr->base += 0x1000; }),
              ElementsAre(IsFinding("cpu-table", "cpu 0 idtr", "modules")));
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { cpu.idtr->limit = 0x1ff; }),
              ElementsAre(IsFinding("cpu-table", "cpu 0 idtr limit", "0x1ff")));
  EXPECT_THAT(FindingsOf([](VcpuState& cpu) { cpu.gdtr->base += 0x1000; }),
              ElementsAre(IsFinding("cpu-table", "cpu 0 gdtr", "0x")));
  EXPECT_THAT(
      FindingsOf([](VcpuState& cpu) { cpu.gdtr->limit = 0xffff; }),
      ElementsAre(IsFinding("cpu-table", "cpu 0 gdtr limit", "0xffff")));
}

TEST_F(CpuCheckTest, BreakpointInTheKernelIsNamed) {
  const auto watch = [this](uint64_t control) {
    return Changed([control](VcpuState& cpu) {
      (*cpu.dr)[1] = SmallKernel::Address("__x64_sys_write") + 2;
      (*cpu.dr)[3] = SmallKernel::kLinear;
      (*cpu.dr)[7] = control;
    });
  };
  EXPECT_THAT(watch(0x400).findings, IsEmpty()) << "not enabled";
  for (const uint64_t enable : {0x4, 0x8}) {  // L1, G1
    const CpuCheck check = watch(0x400 | enable);
    EXPECT_THAT(check.findings,
                ElementsAre(IsFinding("cpu-breakpoint", "cpu 0 dr7",
                                      "dr1 on execution of __x64_sys_write"
                                      "+0x2")));
    EXPECT_EQ(Texts(check)["cpu/0/dr7"], check.findings.at(0).found);
  }
  EXPECT_THAT(watch(0x30000480).findings,
              ElementsAre(IsFinding("cpu-breakpoint", "cpu 0 dr7",
                                    "dr3 on accesses of 0xffff888000000000")));
  EXPECT_THAT(watch(0x2400).findings,
              ElementsAre(IsFinding("cpu-breakpoint", "cpu 0 dr7", "GD")));
}

// AMD's processors keep the lower half.
TEST_F(CpuCheckTest, HalfAnEntryIsHealthyOnlyWhereTheProcessorKeepsHalves) {
  const auto halve = [](VcpuState& cpu) {
    *cpu.sysenter_eip &= 0xffffffff;
    *cpu.sysenter_esp &= 0xffffffff;
  };
  EXPECT_THAT(FindingsOf(halve),
              UnorderedElementsAre(
                  IsFinding("cpu-entry", "cpu 0 sysenter_eip", "0x81000180"),
                  IsFinding("cpu-entry", "cpu 0 sysenter_esp", "0x3000")));
  guest_.memory().Number(SmallKernel::Physical("boot_cpu_data") + 4, 2, 4);
  const CpuCheck check = Changed(halve);
  EXPECT_THAT(check.findings, IsEmpty());
  EXPECT_EQ(Texts(check)["cpu/0/sysenter_eip"],
            "entry_SYSENTER_compat, 32 bits");
  EXPECT_THAT(
      FindingsOf([&](VcpuState& cpu) {
        halve(cpu);
        *cpu.sysenter_eip += 1;
      }),
      ElementsAre(IsFinding("cpu-entry", "cpu 0 sysenter_eip", "0x81000181")));
}

TEST_F(CpuCheckTest, WhatTheGuestGarbledHidesNoOtherRegister) {
  // The page of idt_table is mapped no more.
  guest_.memory().Number(SmallKernel::kRoot + 0x5000 + 0x11 * 8, 0);
  const CpuCheck check = Changed([](VcpuState& cpu) { *cpu.efer = 0x501; });
  EXPECT_THAT(check.findings,
              Contains(IsFinding("cpu-protection-off", "cpu 0 efer", "")));
  EXPECT_THAT(
      check.findings,
      Contains(
          AllOf(Field("code", &Finding::code, "guest-structures-inconsistent"),
                Field("element", &Finding::element, "cpu 0 idtr"))));
  EXPECT_EQ(Texts(check)["cpu/0/gdtr"], "gdt_page");
  EXPECT_EQ(Texts(check).count("cpu/0/idtr"), 0U);
}

}  // namespace
}  // namespace vmattest::linuxguest
