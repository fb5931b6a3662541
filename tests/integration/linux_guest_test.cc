// Real Linux guests seen from outside: what is found, what attacks on their
// memory look like, and that ordinary life raises no alarm.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "baseline/record_difference.h"
#include "crypto/digest.h"
#include "linuxguest/inspection.h"
#include "linuxguest/module_image.h"
#include "linuxguest/regions.h"
#include "linuxguest/rodata_check.h"
#include "linuxguest/system_map.h"
#include "linuxguest/text_check.h"
#include "support/kernel_attacks.h"
#include "support/matchers.h"
#include "support/qemu_guest.h"
#include "support/vectors.h"
#include "worker/memory/symbol_index.h"

namespace vmattest::linuxguest {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::KernelAttack;
using testing::QemuGuest;
using ::testing::StartsWith;

using Difference = baseline::RecordDifference;

std::vector<evidence::StateRecord> ToState(const std::vector<Record>& records) {
  std::vector<evidence::StateRecord> state;
  for (const Record& record : records) {
    state.push_back({record.name, record.text});
  }
  return state;
}

std::vector<Difference> CompareRecords(const std::vector<Record>& before,
                                       const std::vector<Record>& after) {
  return baseline::CompareRecords(ToState(before), ToState(after));
}

std::string Shown(const Findings& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += fmt::format("{} {}: expected {}, found {}\n", finding.code,
                        finding.element, finding.expected, finding.found);
  }
  return text;
}

std::string Shown(const std::vector<Difference>& differences) {
  std::string text;
  for (const Difference& difference : differences) {
    text += fmt::format("{} {} {}: {} -> {}\n",
                        snapshot::ToString(difference.severity),
                        KindName(difference.kind), difference.name,
                        difference.before, difference.after);
  }
  return text;
}

auto IsFinding(std::string_view code, std::string_view element,
               std::string_view found) {
  return AllOf(
      Field("code", &Finding::code, std::string(code)),
      Field("element", &Finding::element, HasSubstr(std::string(element))),
      Field("found", &Finding::found, HasSubstr(std::string(found))));
}

// One look at a stopped guest.
class Look : public testing::KernelView {
 public:
  explicit Look(QemuGuest& guest)
      : KernelView(guest.memory(), guest.Vcpus().value()) {}
  Look(QemuGuest& guest, const std::vector<memory::VcpuState>& cpus)
      : KernelView(guest.memory(), cpus) {}
};

class LinuxGuestTest : public ::testing::TestWithParam<testing::GuestKernel> {
 protected:
  // One guest a kernel for all tests: what they change they put back.
  void SetUp() override {
    std::unique_ptr<QemuGuest>& guest = Guests()[GetParam().name];
    if (guest == nullptr) {
      absl::StatusOr<std::unique_ptr<QemuGuest>> booted =
          QemuGuest::Boot(GetParam());
      if (absl::IsNotFound(booted.status())) {
        GTEST_SKIP() << booted.status();
      }
      ASSERT_THAT(booted, IsOk());
      guest = *std::move(booted);
    }
    guest_ = guest.get();
  }
  static void TearDownTestSuite() { Guests().clear(); }

  std::string Run(std::string_view line) { return guest_->Run(line).value(); }
  void Stop() { ASSERT_THAT(guest_->Monitor("stop"), IsOk()); }
  void Continue() { ASSERT_THAT(guest_->Monitor("cont"), IsOk()); }

  QemuGuest* guest_ = nullptr;

 private:
  static std::map<std::string_view, std::unique_ptr<QemuGuest>>& Guests() {
    static std::map<std::string_view, std::unique_ptr<QemuGuest>> guests;
    return guests;
  }
};

TEST_P(LinuxGuestTest, SymbolsAreThoseTheGuestListsItself) {
  const std::string digest =
      Run("grep -v '\\[' /proc/kallsyms | sha256sum | cut -c 1-64");
  Stop();
  Look look(*guest_);
  const SymbolTable& symbols = look.kernel().symbols();
  EXPECT_GT(symbols.size(), 87000U);
  std::string listed;
  for (size_t i = 0; i < symbols.size(); ++i) {
    const Symbol symbol = symbols.at(i);
    listed += fmt::format("{:016x} {} {}\n", symbol.address, symbol.type,
                          symbol.name);
  }
  EXPECT_THAT(digest,
              StartsWith(ToHex(Hash(HashAlgorithm::kSha256, AsBytes(listed)))));
  Continue();
}

TEST_P(LinuxGuestTest, ModulesAndProcessesAreThoseTheGuestLists) {
  std::istringstream modules(Run("cut -d ' ' -f 1,6 /proc/modules"));
  std::istringstream processes(
      Run("cat /proc/[0-9]*/stat | cut -d ' ' -f 1,4"));
  Stop();
  Look look(*guest_);
  std::map<std::string, std::string> listed;
  for (std::string name, address; modules >> name >> address;) {
    listed[name] = address;
  }
  EXPECT_GE(listed.size(), 5U);
  EXPECT_EQ(look.inspection.modules.modules.size(), listed.size());
  for (const Module& module : look.inspection.modules.modules) {
    ASSERT_FALSE(module.parts.empty());
    EXPECT_EQ(fmt::format("0x{:016x}", module.parts[0].address),
              listed[module.name]);
  }
  std::map<int, int> parents;
  for (int pid = 0, parent = 0; processes >> pid >> parent;) {
    parents[pid] = parent;
  }
  size_t found = 0;
  for (const Process& process : look.inspection.processes.processes) {
    found += parents.count(process.pid) != 0 &&
             parents[process.pid] == process.parent;
  }
  EXPECT_GE(found + 3, parents.size()) << "cat and cut are gone since";
  EXPECT_GT(found, 40U);
  Continue();
}

TEST_P(LinuxGuestTest, HealthyGuestHasNoFindings) {
  Stop();
  Look look(*guest_);
  EXPECT_THAT(look.inspection.findings, IsEmpty())
      << Shown(look.inspection.findings);
  EXPECT_THAT(look.inspection.absent, Contains("cpu 0 lstar"))
      << "QEMU's monitor does not tell it";
  EXPECT_THAT(look.inspection.records,
              Contains(Field("name", &Record::name, "cpu/1/efer")));
  EXPECT_THAT(look.inspection.records,
              Contains(Record{"cpu/0/idtr", "idt_table"}));
  Continue();
}

TEST_P(LinuxGuestTest, SelectorsGiveNamedBytes) {
  Stop();
  Look look(*guest_);
  using Kind = Selector::Kind;
  const std::vector<Selector> wanted = {
      {Kind::kKernelText},
      {Kind::kKernelRodata},
      {Kind::kIdt},
      {Kind::kGdt},
      {Kind::kSyscallTable},
      {Kind::kModules, "virtio_*"},
      {Kind::kSymbols, "modprobe_pa?h"},
      {Kind::kSymbols, "no_such_*"},
      {Kind::kProcessExecutable, "/bin/busybox"}};
  const Resolution found =
      ResolveSelectors(look.kernel(), look.inspection.modules,
                       look.inspection.processes, wanted)
          .value();
  const auto named = [&](const char* name) {
    return Contains(Field("name", &Region::name, name));
  };
  EXPECT_THAT(found.regions, named("kernel/text"));
  EXPECT_THAT(found.regions, named("gdt/cpu1"));
  EXPECT_THAT(found.regions, named("module/virtio_net/text"));
  EXPECT_THAT(found.regions, named("symbol/modprobe_path"));
  EXPECT_THAT(found.regions, named("process/1/bin/busybox/1000"));
  EXPECT_THAT(found.unresolved, ElementsAre(HasSubstr("no_such_*")));
  EXPECT_THAT(found.problems, IsEmpty());
  for (const Region& region : found.regions) {
    uint64_t present = region.absent;
    for (const linuxguest::Run& run : region.runs) {
      present += run.size;
    }
    EXPECT_EQ(present, region.size) << region.name;
  }
  Continue();
}

TEST_P(LinuxGuestTest, PagesOfTextAndConstantsHaveNames) {
  Stop();
  Look look(*guest_);
  const std::vector<Selector> wanted = {{Selector::Kind::kKernelText},
                                        {Selector::Kind::kKernelRodata},
                                        {Selector::Kind::kModules}};
  const Resolution found =
      ResolveSelectors(look.kernel(), look.inspection.modules,
                       look.inspection.processes, wanted)
          .value();
  worker::MeaningReply reply;
  ASSERT_TRUE(worker::AddParts(found.regions, reply, *reply.add_regions()));
  const size_t bytes = reply.ByteSizeLong();
  worker::AddSymbols(look.kernel().symbols(), look.inspection.modules, reply);
  EXPECT_LE(reply.ByteSizeLong() - bytes, worker::kMaxIndexBytes);
  std::map<std::string, std::map<std::string, uint64_t>> names;
  std::map<std::string, std::set<uint64_t>> pages;
  for (const auto& part : reply.regions(0).parts()) {
    for (const auto& symbol : part.symbols()) {
      names[part.name()][symbol.name()] = part.address() + symbol.offset();
      pages[part.name()].insert(symbol.offset() / memory::kPageSize);
    }
  }
  for (const auto& [name, address] : names["kernel/text"]) {
    EXPECT_EQ(look.kernel().symbols().Address(name).value_or(address), address)
        << name;
  }
  EXPECT_EQ(names["kernel/rodata"]["sys_call_table"],
            look.Symbol("sys_call_table"));
  EXPECT_GT(names["module/virtio_net/text"].size(), 20U);
  const uint64_t text =
      (look.Symbol("_etext") - look.Symbol("_text")) / memory::kPageSize;
  EXPECT_GT(pages["kernel/text"].size(), text / 2);
  RecordProperty("index_bytes", static_cast<int>(reply.ByteSizeLong() - bytes));
  Continue();
}

TEST_P(LinuxGuestTest, OrdinaryLifeRaisesNoAlarm) {
  Run("grep -q . /etc/passwd || echo 'user:x:1000:1000::/:/bin/sh' "
      ">/etc/passwd");
  Stop();
  const Look before(*guest_);
  Continue();
  Run("echo 1 >/proc/sys/kernel/sched_schedstats");  // a static key
  Run("rmmod virtio_rng; sleep 100 & ls -R /sys >/dev/null");
  Stop();
  const Look after(*guest_);
  Continue();
  EXPECT_THAT(after.inspection.findings, IsEmpty())
      << Shown(after.inspection.findings);
  const std::vector<Difference> differences =
      CompareRecords(before.inspection.records, after.inspection.records);
  EXPECT_THAT(differences,
              Contains(Field("name", &Difference::name, "module/virtio_rng")));
  for (const Difference& difference : differences) {
    EXPECT_EQ(difference.kind, Difference::Kind::kExpected)
        << Shown(differences);
  }
  // Memory of a module's initialisation stays for a grace period.
  Run("insmod /lib/modules/virtio-rng.ko");
  Stop();
  const Look loading(*guest_);
  Continue();
  Run("sleep 1");
  Stop();
  const Look loaded(*guest_);
  Continue();
  const Findings standing =
      Persisting(loading.inspection.findings, loaded.inspection.findings);
  EXPECT_THAT(standing, IsEmpty()) << Shown(standing);
}

TEST_P(LinuxGuestTest, HookedSystemCallIsNamed) {
  Stop();
  Look look(*guest_);
  const Module& module = look.inspection.modules.modules.front();
  KernelAttack attack(guest_->memory());
  testing::HookSystemCall(attack, look, 62);
  const Look after(*guest_);
  EXPECT_THAT(after.inspection.findings,
              ElementsAre(IsFinding("syscall-hooked", "sys_call_table[62]",
                                    module.name + ":")))
      << Shown(after.inspection.findings);
  const std::vector<Difference> differences =
      CompareRecords(look.inspection.records, after.inspection.records);
  ASSERT_EQ(differences.size(), 1U) << Shown(differences);
  EXPECT_EQ(differences[0].name, "syscall/62");
  EXPECT_EQ(differences[0].before, "__x64_sys_kill");
  EXPECT_EQ(differences[0].severity, snapshot::Severity::kCritical);
  Continue();
}

TEST_P(LinuxGuestTest, HookedInterruptIsNamed) {
  Stop();
  Look look(*guest_);
  KernelAttack attack(guest_->memory());
  attack.Write(look.kernel(), look.Symbol("idt_table") + 14 * 16, {0x00, 0x10});
  const Look after(*guest_);
  const std::vector<Difference> differences =
      CompareRecords(look.inspection.records, after.inspection.records);
  ASSERT_EQ(differences.size(), 1U) << Shown(differences);
  EXPECT_EQ(differences[0].name, "idt/14");
  EXPECT_THAT(differences[0].before, HasSubstr("asm_exc_page_fault"));
  EXPECT_EQ(differences[0].kind, Difference::Kind::kCode);
  Continue();
}

TEST_P(LinuxGuestTest, HiddenModuleIsNamed) {
  Stop();
  Look look(*guest_);
  KernelAttack attack(guest_->memory());
  testing::HideModule(attack, look, "qemu_fw_cfg");
  const Look after(*guest_);
  EXPECT_THAT(
      after.inspection.findings,
      ElementsAre(IsFinding("module-hidden", "qemu_fw_cfg", "module_kset")))
      << Shown(after.inspection.findings);
  Continue();
}

TEST_P(LinuxGuestTest, NewExecutablePageThatAPointerLeadsToIsFound) {
  Stop();
  Look look(*guest_);
  const Module& module = look.inspection.modules.modules.front();
  KernelAttack attack(guest_->memory());
  testing::MakeDataExecutable(attack, look);
  const Look after(*guest_);
  EXPECT_THAT(after.inspection.findings,
              ElementsAre(IsFinding("code-writable", "", module.name),
                          IsFinding("code-unknown", "", module.name)))
      << Shown(after.inspection.findings);
  Continue();
}

TEST_P(LinuxGuestTest, WritableWayToTextIsNamedByBothAddresses) {
  Stop();
  Look look(*guest_);
  const Module& module = look.Module("virtio_net");
  const uint64_t places[] = {look.Symbol("commit_creds"),
                             module.parts.at(0).address};
  const std::string owners[] = {"kernel text", "module virtio_net"};
  for (size_t i = 0; i < 2; ++i) {
    KernelAttack attack(guest_->memory());
    const uint64_t alias = testing::MakeAliasWritable(attack, look, places[i]);
    const Findings found = Look(*guest_).inspection.findings;
    EXPECT_THAT(found, Each(IsFinding("code-aliased", "0x", owners[i])))
        << Shown(found);
    ASSERT_GE(found.size(), 1U);
    const std::string& run = found[0].element;
    const uint64_t begin = std::stoull(run, nullptr, 16);
    const uint64_t end =
        std::stoull(run.substr(run.find('-') + 1), nullptr, 16);
    EXPECT_TRUE(begin <= alias && alias < end) << Shown(found);
  }
  EXPECT_THAT(Look(*guest_).inspection.findings, IsEmpty());
  Continue();
}

TEST_P(LinuxGuestTest, RegistersThatLeadElsewhereAreFound) {
  Stop();
  const std::vector<memory::VcpuState> real = guest_->Vcpus().value();
  ASSERT_EQ(real.size(), 2U);
  Look look(*guest_, real);
  std::vector<memory::VcpuState> cpus = real;
  cpus[0].lstar = look.Symbol("entry_SYSCALL_64");
  cpus[1].lstar = look.Symbol("entry_SYSCALL_64") + 4;
  EXPECT_THAT(Look(*guest_, cpus).inspection.findings,
              ElementsAre(IsFinding("cpu-entry", "cpu 1 lstar",
                                    "entry_SYSCALL_64+0x4")));
  cpus = real;
  cpus[1].idtr->base = look.Symbol("idt_table") + 4096;
  EXPECT_THAT(Look(*guest_, cpus).inspection.findings,
              ElementsAre(IsFinding("cpu-table", "cpu 1 idtr", "")));
  cpus = real;
  cpus[0].cr0 = *real[0].cr0 & ~uint64_t{1 << 16};
  cpus[1].cr4 = *real[1].cr4 & ~uint64_t{1 << 20};  // SMEP
  EXPECT_THAT(Look(*guest_, cpus).inspection.findings,
              ElementsAre(IsFinding("cpu-protection-off", "cpu 0 cr0", ""),
                          IsFinding("cpu-protection-off", "cpu 1 cr4", "")));
  cpus = real;
  cpus[0].efer = *real[0].efer & ~uint64_t{1 << 11};  // NXE
  cpus[0].dr.emplace();
  (*cpus[0].dr)[0] = look.Symbol("__x64_sys_kill");
  (*cpus[0].dr)[7] = 0x402;
  cpus[1].gdtr->limit = 0xffff;
  EXPECT_THAT(
      Look(*guest_, cpus).inspection.findings,
      ElementsAre(IsFinding("cpu-protection-off", "cpu 0 efer", ""),
                  IsFinding("cpu-breakpoint", "cpu 0 dr7", "__x64_sys_kill"),
                  IsFinding("cpu-table", "cpu 1 gdtr limit", "0xffff")));
  Continue();
}

TEST_P(LinuxGuestTest, ForeignPageTablesAreFound) {
  Stop();
  Look look(*guest_);
  // Entry 511, where the kernel's image is, copied to slot 300 of init's.
  const auto init =
      std::find_if(look.inspection.processes.processes.begin(),
                   look.inspection.processes.processes.end(),
                   [](const Process& process) { return process.pid == 1; });
  const AddressSpace space = ReadAddressSpace(look.kernel(), *init).value();
  PhysicalReader reader(guest_->memory(), Limits{});
  const uint64_t image = reader.U64(space.paging.root + 511 * 8).value();
  const uint64_t slot = space.paging.root + 300 * 8;
  const uint64_t value = reader.U64(slot).value();
  ASSERT_THAT(guest_->memory().WriteAt(slot, testing::Word(image)), IsOk());
  const Look after(*guest_);
  ASSERT_THAT(guest_->memory().WriteAt(slot, testing::Word(value)), IsOk());
  EXPECT_THAT(after.inspection.findings,
              Contains(IsFinding("page-tables-differ", "process 1", "0x")))
      << Shown(after.inspection.findings);
  Continue();
}

TEST_P(LinuxGuestTest, ProcessMadeRootIsNamed) {
  Run("echo 'user:x:1000:1000::/:/bin/sh' >/etc/passwd");
  Run("su user -c 'exec sleep 1000' & sleep 1");
  Stop();
  Look look(*guest_);
  const auto victim =
      std::find_if(look.inspection.processes.processes.begin(),
                   look.inspection.processes.processes.end(),
                   [](const Process& process) { return process.uid == 1000; });
  ASSERT_NE(victim, look.inspection.processes.processes.end());
  EXPECT_EQ(victim->cap_effective, 0U);
  KernelAttack attack(guest_->memory());
  testing::MakeRoot(attack, look, victim->pid);
  const Look after(*guest_);
  const std::vector<Difference> differences =
      CompareRecords(look.inspection.records, after.inspection.records);
  ASSERT_EQ(differences.size(), 1U) << Shown(differences);
  EXPECT_EQ(differences[0].name, fmt::format("process/{}", victim->pid));
  EXPECT_EQ(differences[0].severity, snapshot::Severity::kCritical);
  EXPECT_THAT(differences[0].fields, ElementsAre("egid", "euid", "gid", "uid"));
  Continue();
}

TEST_P(LinuxGuestTest, ChangedModprobePathIsNamed) {
  Stop();
  Look look(*guest_);
  KernelAttack attack(guest_->memory());
  attack.Write(look.kernel(), look.Symbol("modprobe_path"),
               ToBytes(std::string_view("/tmp/x\0", 7)));
  const Look after(*guest_);
  const std::vector<Difference> differences =
      CompareRecords(look.inspection.records, after.inspection.records);
  ASSERT_EQ(differences.size(), 1U) << Shown(differences);
  EXPECT_EQ(differences[0].name, "helper/modprobe_path");
  EXPECT_EQ(differences[0].before, "/sbin/modprobe");
  EXPECT_EQ(differences[0].after, "/tmp/x");
  EXPECT_EQ(differences[0].severity, snapshot::Severity::kHigh);
  Continue();
}

TextCheck CheckText(QemuGuest& guest, Look& look) {
  const std::string file = testing::Slurp(guest.kernel_file());
  const KernelImage image = KernelImage::Parse(AsBytes(file)).value();
  const AddressNames names =
      AddressNames::Make(look.kernel(), look.inspection.modules).value();
  const CodeRanges ranges =
      ReadCodeRanges(look.kernel(), look.inspection.modules, names).value();
  return CheckKernelText(look.kernel(), names, ranges, image).value();
}

RodataCheck CheckRodata(QemuGuest& guest, Look& look) {
  const std::string file = testing::Slurp(guest.kernel_file());
  const KernelImage image = KernelImage::Parse(AsBytes(file)).value();
  const AddressNames names =
      AddressNames::Make(look.kernel(), look.inspection.modules).value();
  return CheckKernelRodata(look.kernel(), names, image).value();
}

// Of each module by its name.
std::map<std::string, TextCheck> CheckModules(QemuGuest& guest, Look& look) {
  const Modules& modules = look.inspection.modules;
  const AddressNames names = AddressNames::Make(look.kernel(), modules).value();
  const CodeRanges ranges =
      ReadCodeRanges(look.kernel(), modules, names).value();
  std::map<std::string, TextCheck> checks;
  for (const Module& module : modules.modules) {
    const std::string file = testing::Slurp(guest.module_file(module.name));
    absl::StatusOr<TextCheck> check = CheckModuleText(
        look.kernel(), modules, module, names, ranges, AsBytes(file));
    EXPECT_THAT(check, IsOk());
    if (check.ok()) {
      checks.emplace(module.name, *std::move(check));
    }
  }
  return checks;
}

TEST_P(LinuxGuestTest, CodeHashIsTheImagesInEveryBoot) {
  absl::StatusOr<std::unique_ptr<QemuGuest>> other =
      QemuGuest::Boot(GetParam());
  ASSERT_THAT(other, IsOk());
  Stop();
  ASSERT_THAT((*other)->Monitor("stop"), IsOk());
  Look here(*guest_);
  Look there(**other);
  const auto place = [](Look& look) {
    const VmcoreInfo& info = look.kernel().info();
    return std::pair(info.kernel_offset, info.phys_base);
  };
  EXPECT_NE(place(here), place(there)) << "KASLR";
  const TextCheck text = CheckText(*guest_, here);
  EXPECT_THAT(text.findings, IsEmpty()) << Shown(text.findings);
  EXPECT_GT(text.relocations, 200000U);
  EXPECT_GT(text.rewritten.at("return-thunk"), 40000U);
  EXPECT_EQ(ToHex(text.code_hash), ToHex(CheckText(**other, there).code_hash));
  const std::string file = testing::Slurp(guest_->kernel_file());
  const KernelImage image = KernelImage::Parse(AsBytes(file)).value();
  const KernelImage::Section& section = *image.Find(".text");
  EXPECT_EQ(ToHex(text.code_hash),
            ToHex(Hash(HashAlgorithm::kSha256,
                       image.At(section.address, section.size))));
  // The operator's symbols, here those of the other boot, are this one's.
  std::string listed;
  const SymbolTable& symbols = there.kernel().symbols();
  for (size_t i = 0; i < symbols.size(); ++i) {
    const Symbol symbol = symbols.at(i);
    listed +=
        fmt::format("{:x} {} {}\n", symbol.address - there.Symbol("_text"),
                    symbol.type, symbol.name);
  }
  const SystemMap map = SystemMap::Parse(listed, Limits{}).value();
  EXPECT_THAT(CheckSymbols(here.kernel(), map).value(), IsEmpty());
  std::map<std::string, TextCheck> other_modules = CheckModules(**other, there);
  std::map<std::string, Bytes> hashes;
  for (const auto& [name, check] : CheckModules(*guest_, here)) {
    EXPECT_THAT(check.findings, IsEmpty()) << name << Shown(check.findings);
    EXPECT_EQ(ToHex(check.code_hash), ToHex(other_modules[name].code_hash));
    hashes[name] = check.code_hash;
  }
  EXPECT_GE(hashes.size(), 7U);
  const Bytes whole = CodeHash(text.code_hash, hashes);
  hashes.erase(hashes.begin());
  EXPECT_NE(whole, CodeHash(text.code_hash, hashes));
  // What differs between the boots is what boots make.
  for (const Difference& difference :
       CompareRecords(here.inspection.records, there.inspection.records)) {
    EXPECT_EQ(difference.kind, Difference::Kind::kExpected)
        << difference.name << ": " << difference.before << " -> "
        << difference.after;
  }
  Continue();
}

TEST_P(LinuxGuestTest, ConstantsAreTheImagesInEveryBoot) {
  absl::StatusOr<std::unique_ptr<QemuGuest>> other =
      QemuGuest::Boot(GetParam());
  ASSERT_THAT(other, IsOk());
  Stop();
  ASSERT_THAT((*other)->Monitor("stop"), IsOk());
  Look here(*guest_);
  Look there(**other);
  const RodataCheck rodata = CheckRodata(*guest_, here);
  EXPECT_THAT(rodata.findings, IsEmpty()) << Shown(rodata.findings);
  EXPECT_EQ(ToHex(rodata.hash), ToHex(CheckRodata(**other, there).hash));
  const std::string file = testing::Slurp(guest_->kernel_file());
  const KernelImage image = KernelImage::Parse(AsBytes(file)).value();
  const uint64_t moved = here.Symbol("_text") - image.Find(".text")->address;
  EXPECT_EQ(ToHex(rodata.hash),
            ToHex(Hash(HashAlgorithm::kSha256,
                       image.Across(here.Symbol("__start_rodata") - moved,
                                    here.Symbol("__end_rodata") -
                                        here.Symbol("__start_rodata")))));
  Continue();
}

TEST_P(LinuxGuestTest, ChangedConstantIsNamed) {
  Stop();
  Look look(*guest_);
  const RodataCheck clean = CheckRodata(*guest_, look);
  {
    KernelAttack attack(guest_->memory());
    testing::HookSystemCall(attack, look, 62);
    Look hooked(*guest_);
    const RodataCheck found = CheckRodata(*guest_, hooked);
    EXPECT_THAT(
        found.findings,
        ElementsAre(IsFinding("rodata-modified", "sys_call_table+0x1f0, ", "")))
        << Shown(found.findings);
    EXPECT_NE(ToHex(found.hash), ToHex(clean.hash));
  }
  // What a kernel writes before it makes it read-only is not the image's.
  KernelAttack attack(guest_->memory());
  attack.Write(look.kernel(), look.Symbol("__start_ro_after_init"),
               testing::Word(7));
  Look after(*guest_);
  EXPECT_EQ(ToHex(CheckRodata(*guest_, after).hash), ToHex(clean.hash));
  Continue();
}

TEST_P(LinuxGuestTest, StaticKeysAndTracingLeaveTheCodeHash) {
  Stop();
  Look before(*guest_);
  const TextCheck clean = CheckText(*guest_, before);
  Continue();
  const std::string old = Run("cat /proc/sys/kernel/sched_schedstats");
  Run(old.substr(0, 1) == "0" ? "echo 1 >/proc/sys/kernel/sched_schedstats"
                              : "echo 0 >/proc/sys/kernel/sched_schedstats");
  Run("mount -t tracefs none /sys/kernel/tracing; "
      "echo 'vfs_*' >/sys/kernel/tracing/set_ftrace_filter; "
      "echo function >/sys/kernel/tracing/current_tracer");
  EXPECT_THAT(Run("cat /sys/kernel/tracing/current_tracer"),
              StartsWith("function"));
  Stop();
  Look after(*guest_);
  const TextCheck traced = CheckText(*guest_, after);
  Continue();
  Run("echo nop >/sys/kernel/tracing/current_tracer");
  EXPECT_NE(clean.rewritten, traced.rewritten);
  EXPECT_EQ(ToHex(clean.code_hash), ToHex(traced.code_hash));
  EXPECT_THAT(traced.findings, IsEmpty()) << Shown(traced.findings);
  EXPECT_THAT(after.inspection.findings, IsEmpty())
      << Shown(after.inspection.findings);
}

TEST_P(LinuxGuestTest, PatchedFunctionIsNamed) {
  Stop();
  Look look(*guest_);
  const TextCheck clean = CheckText(*guest_, look);
  // Over the first instructions, or instead of the call that ftrace owns.
  for (const uint64_t offset : {uint64_t{0}, uint64_t{9}}) {
    KernelAttack attack(guest_->memory());
    testing::PatchFunction(attack, look, "commit_creds", offset);
    Look patched(*guest_);
    const TextCheck found = CheckText(*guest_, patched);
    EXPECT_THAT(found.findings,
                ElementsAre(IsFinding("code-modified", "commit_creds", "")))
        << Shown(found.findings);
    EXPECT_NE(ToHex(found.code_hash), ToHex(clean.code_hash));
  }
  Continue();
}

TEST_P(LinuxGuestTest, PatchedModuleIsNamed) {
  Stop();
  Look look(*guest_);
  KernelAttack attack(guest_->memory());
  testing::PatchModule(attack, look, "virtio_net", "start_xmit");
  Look patched(*guest_);
  for (const auto& [name, check] : CheckModules(*guest_, patched)) {
    if (name == "virtio_net") {
      EXPECT_THAT(check.findings,
                  ElementsAre(IsFinding("code-modified",
                                        "virtio_net:start_xmit", "c3")))
          << Shown(check.findings);
    } else {
      EXPECT_THAT(check.findings, IsEmpty()) << name;
    }
  }
  Continue();
}

// The operations that a module gives the kernel: the first of them elsewhere.
TEST_P(LinuxGuestTest, PatchedConstantsOfAModuleAreNamed) {
  Stop();
  Look look(*guest_);
  const std::map<std::string, TextCheck> clean = CheckModules(*guest_, look);
  KernelAttack attack(guest_->memory());
  const auto operations =
      look.Module("virtio_net").symbols.Address("virtnet_netdev");
  ASSERT_TRUE(operations);
  attack.Write(look.kernel(), *operations, Bytes(8, 0x41));
  Look patched(*guest_);
  for (const auto& [name, check] : CheckModules(*guest_, patched)) {
    EXPECT_EQ(ToHex(check.code_hash), ToHex(clean.at(name).code_hash)) << name;
    if (name == "virtio_net") {
      EXPECT_THAT(check.findings,
                  ElementsAre(IsFinding("rodata-modified",
                                        "virtio_net:virtnet_netdev", "41")))
          << Shown(check.findings);
      EXPECT_NE(check.rodata_hash, clean.at(name).rodata_hash);
    } else {
      EXPECT_THAT(check.findings, IsEmpty()) << name;
      EXPECT_EQ(check.rodata_hash, clean.at(name).rodata_hash) << name;
    }
  }
  Continue();
}

TEST_P(LinuxGuestTest, CodeInjectedIntoAProcessIsFound) {
  // Through the kernel, as a debugger would: a page of its own for init.
  Run("printf 'x' | dd of=/proc/1/mem bs=1 seek=$((0x401800)) conv=notrunc");
  Stop();
  const Look after(*guest_);
  EXPECT_THAT(after.inspection.findings,
              ElementsAre(IsFinding("process-code-modified",
                                    "process 1 (init) /bin/busybox+0x1000",
                                    "private copy")))
      << Shown(after.inspection.findings);
  Continue();
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, LinuxGuestTest,
    ::testing::Values(testing::kDebian12Kernel, testing::kDebian13Kernel),
    [](const ::testing::TestParamInfo<testing::GuestKernel>& kernel) {
      return kernel.param.name == testing::kDebian12Kernel.name ? "Linux6_1"
                                                                : "Linux6_12";
    });

}  // namespace
}  // namespace vmattest::linuxguest
