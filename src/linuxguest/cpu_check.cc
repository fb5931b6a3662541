#include "linuxguest/cpu_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <initializer_list>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kPagingOn = uint64_t{1} << 31;
constexpr uint64_t kWriteProtect = 1 << 16;
constexpr uint64_t kEntries = 512;
constexpr uint64_t kMostCpus = 8192;

// Bits that tell of a moment, not of the kernel: a task's floating point unit
// (TS); its own right to read clocks and counters, flushes of global pages, a
// hypervisor in the guest (TSD, PCE, PGE, VMXE); one on AMD (SVME).
constexpr uint64_t kCr0OfMoment = 1 << 3;
constexpr uint64_t kCr4OfMoment = 1 << 2 | 1 << 7 | 1 << 8 | 1 << 13;
constexpr uint64_t kEferOfMoment = 1 << 12;

constexpr uint64_t kSystemCalls = 1 << 0;  // EFER.SCE
constexpr uint64_t kNoExecute = 1 << 11;   // EFER.NXE

// arch/x86/include/asm/segment.h: __KERNEL_CS, __USER32_CS
constexpr uint64_t kKernelCs = 0x10;
constexpr uint64_t kUser32Cs = 0x23;
// All flags that user mode can set (since 5.14). Without TF, IF, DF, NT, AC
// the first instructions of the kernel are user mode's to bend.
constexpr uint64_t kMaskedFlags = 0x257fd5;

constexpr uint16_t kIdtLimit = 256 * 16 - 1;
constexpr uint16_t kGdtLimit = 16 * 8 - 1;
// What a hypervisor in the guest leaves on Intel (SDM volume 3,
// section 28.5.2); no vector leads past the kernel's own limit.
constexpr uint16_t kLimitAfterExit = 0xffff;

// CPU_ENTRY_AREA_PGD of arch/x86/include/asm/pgtable_64_types.h, 512 GiB.
constexpr uint64_t kEntryArea = 0xfffffe0000000000;
constexpr uint64_t kEntryAreaBytes = uint64_t{1} << 39;

constexpr uint64_t kKernelHalf = uint64_t{1} << 63;
constexpr size_t kBreakpoints = 4;
constexpr uint64_t kGeneralDetect = 1 << 13;  // DR7.GD

constexpr uint64_t kIntel = 0;  // X86_VENDOR_INTEL of asm/processor.h

bool IsLow(uint64_t address) { return address >> 32 == 0; }

class CpuChecker {
 public:
  CpuChecker(Kernel& kernel, const Modules& modules, CpuCheck& out)
      : kernel_(kernel),
        names_(AddressNames::Make(kernel, modules)),
        out_(out) {}

  absl::Status Check(size_t number, const memory::VcpuState& cpu) {
    number_ = number;
    Value("cr0", cpu.cr0, kCr0OfMoment);
    if (cpu.cr0 && (*cpu.cr0 & kPagingOn) == 0) {
      out_.absent.push_back(fmt::format("cpu {} runs without paging", number_));
      return absl::OkStatus();
    }
    Bits("cr0", cpu.cr0, kWriteProtect, "WP on");
    RETURN_IF_ERROR(Judged("cr4", Pinned(cpu.cr4)));
    Bits("efer", cpu.efer, kSystemCalls | kNoExecute, "SCE and NXE on");
    Value("efer", cpu.efer, kEferOfMoment);
    Bits("fmask", cpu.fmask, kMaskedFlags, "every flag of user mode masked");
    Value("fmask", cpu.fmask);
    Segments("star", cpu.star, {kUser32Cs << 48 | kKernelCs << 32},
             "__USER32_CS and __KERNEL_CS");
    Entry("lstar", cpu.lstar, {"entry_SYSCALL_64"}, false);
    Entry("cstar", cpu.cstar,
          {"entry_SYSCALL_compat", "entry_SYSCALL32_ignore", "ignore_sysret"},
          true);
    RETURN_IF_ERROR(SysEnter(cpu));
    Breakpoints(cpu.dr);
    RETURN_IF_ERROR(Judged("idtr", Idt(cpu.idtr)));
    return Judged("gdtr", Gdt(cpu.gdtr));
  }

 private:
  [[nodiscard]] std::string Near(uint64_t address) const {
    return names_.ok() ? names_->Describe(address)
                       : fmt::format("0x{:x}", address);
  }

  void Report(std::string code, std::string_view element, std::string expected,
              std::string found) {
    out_.findings.push_back({std::move(code), Severity::kCritical,
                             fmt::format("cpu {} {}", number_, element),
                             std::move(expected), std::move(found)});
  }

  // What the guest made impossible hides no other register.
  absl::Status Judged(std::string_view element, const absl::Status& status) {
    if (absl::IsNotFound(status) || absl::IsDataLoss(status)) {
      out_.findings.push_back(
          Inconsistent(fmt::format("cpu {} {}", number_, element),
                       std::string(status.message())));
      return absl::OkStatus();
    }
    return status;
  }

  void Tell(std::string_view element, std::string text) {
    out_.records.push_back(
        {fmt::format("cpu/{}/{}", number_, element), std::move(text)});
  }

  void Absent(std::string_view element) {
    out_.absent.push_back(fmt::format("cpu {} {}", number_, element));
  }

  void Value(std::string_view element, const std::optional<uint64_t>& value,
             uint64_t of_moment = 0) {
    if (value) {
      Tell(element, fmt::format("0x{:x}", *value & ~of_moment));
    }
  }

  // An address outside the kernel is another in each boot; it has a finding.
  void Address(std::string_view element, uint64_t value) {
    Tell(element, value == 0 ? "none" : Near(value));
  }

  void Bits(std::string_view element, const std::optional<uint64_t>& value,
            uint64_t wanted, std::string expected) {
    if (!value) {
      Absent(element);
    } else if ((*value & wanted) != wanted) {
      Report("cpu-protection-off", element,
             fmt::format("{} (0x{:x})", expected, wanted),
             fmt::format("0x{:x}", *value));
    }
  }

  absl::Status Pinned(const std::optional<uint64_t>& cr4) {
    Value("cr4", cr4, kCr4OfMoment);
    const absl::StatusOr<uint64_t> pinned =
        kernel_.Variable("cr4_pinned_bits", 8);
    if (pinned.ok()) {
      Bits("cr4", cr4, *pinned, "the bits that the kernel pinned");
    } else if (!absl::IsNotFound(pinned.status())) {
      return pinned.status();
    }
    return absl::OkStatus();
  }

  void Segments(std::string_view element, const std::optional<uint64_t>& value,
                std::initializer_list<uint64_t> wanted, std::string expected) {
    Value(element, value);
    if (!value) {
      Absent(element);
    } else if (std::find(wanted.begin(), wanted.end(), *value) ==
               wanted.end()) {
      Report("cpu-entry", element,
             fmt::format("{} (0x{:x})", expected, *wanted.begin()),
             fmt::format("0x{:x}", *value));
    }
  }

  void Entry(std::string_view element, const std::optional<uint64_t>& value,
             std::vector<std::string_view> symbols, bool may_be_zero) {
    if (!value) {
      Absent(element);
      return;
    }
    Address(element, *value);
    if (may_be_zero && *value == 0) {
      return;
    }
    const bool known =
        std::any_of(symbols.begin(), symbols.end(), [&](std::string_view name) {
          return kernel_.symbols().Address(name) == value;
        });
    if (!known) {
      Report("cpu-entry", element, std::string(symbols[0]), Near(*value));
    }
  }

  // AMD's processors keep 32 bits of SYSENTER_ESP and _EIP, and do not run
  // SYSENTER in 64-bit mode.
  absl::StatusOr<bool> HasShortSysEnter() {
    const std::optional<uint64_t> data =
        kernel_.symbols().Address("boot_cpu_data");
    if (!data) {
      return false;
    }
    const absl::StatusOr<uint64_t> vendor =
        kernel_.Get(*data, "cpuinfo_x86", "x86_vendor");
    if (!vendor.ok() && !absl::IsNotFound(vendor.status()) &&
        !absl::IsDataLoss(vendor.status())) {
      return vendor.status();
    }
    return vendor.ok() && *vendor != kIntel;
  }

  absl::Status SysEnter(const memory::VcpuState& cpu) {
    Segments("sysenter_cs", cpu.sysenter_cs, {kKernelCs, 0},
             "__KERNEL_CS or none");
    const bool low = (cpu.sysenter_esp && *cpu.sysenter_esp != 0 &&
                      IsLow(*cpu.sysenter_esp)) ||
                     (cpu.sysenter_eip && *cpu.sysenter_eip != 0 &&
                      IsLow(*cpu.sysenter_eip));
    bool is_short = false;
    if (low) {
      ASSIGN_OR_RETURN(is_short, HasShortSysEnter());
    }
    SysEnterStack(cpu.sysenter_esp, is_short);
    const std::optional<uint64_t> entry =
        kernel_.symbols().Address("entry_SYSENTER_compat");
    if (is_short && entry && cpu.sysenter_eip == (*entry & 0xffffffff)) {
      Tell("sysenter_eip", "entry_SYSENTER_compat, 32 bits");
    } else {
      Entry("sysenter_eip", cpu.sysenter_eip, {"entry_SYSENTER_compat"}, true);
    }
    return absl::OkStatus();
  }

  // Where the kernel puts it is drawn anew in each boot.
  void SysEnterStack(const std::optional<uint64_t>& value, bool is_short) {
    constexpr std::string_view kElement = "sysenter_esp";
    if (!value) {
      Absent(kElement);
    } else if (*value != 0 && *value - kEntryArea < kEntryAreaBytes) {
      Tell(kElement, "the processor's entry area");
    } else if (*value != 0 && is_short && IsLow(*value)) {
      Tell(kElement, "32 bits");
    } else {
      Address(kElement, *value);
      if (*value != 0) {
        Report("cpu-entry", kElement, "the processor's entry area",
               Near(*value));
      }
    }
  }

  // Those of user mode are a debugger's.
  void Breakpoints(const std::optional<std::array<uint64_t, 8>>& registers) {
    if (!registers) {
      Absent("dr7");
      return;
    }
    static constexpr std::array<std::string_view, 4> kOn = {
        "execution", "writes", "ports", "accesses"};
    const uint64_t control = (*registers)[7];
    std::vector<std::string> found;
    for (size_t i = 0; i < kBreakpoints; ++i) {
      const uint64_t address = (*registers)[i];
      if ((control >> (2 * i) & 3) != 0 && (address & kKernelHalf) != 0) {
        found.push_back(fmt::format("dr{} on {} of {}", i,
                                    kOn[control >> (16 + 4 * i) & 3],
                                    Near(address)));
      }
    }
    if ((control & kGeneralDetect) != 0) {
      found.emplace_back("GD");
    }
    constexpr std::string_view kNone = "no breakpoint in the kernel";
    std::string text(kNone);
    if (!found.empty()) {
      text = fmt::format("{}", fmt::join(found, ", "));
      Report("cpu-breakpoint", "dr7", std::string(kNone), text);
    }
    Tell("dr7", std::move(text));
  }

  void Limit(std::string_view element, uint16_t found,
             std::initializer_list<uint16_t> wanted) {
    if (std::find(wanted.begin(), wanted.end(), found) == wanted.end()) {
      Report("cpu-table", fmt::format("{} limit", element),
             fmt::format("0x{:x}", *wanted.begin()),
             fmt::format("0x{:x}", found));
    }
  }

  // The register holds another address of the same frame.
  absl::Status Idt(const std::optional<memory::VcpuState::Table>& table) {
    if (!table) {
      Absent("idtr");
      return absl::OkStatus();
    }
    Limit("idtr", table->limit, {kIdtLimit, kLimitAfterExit});
    ASSIGN_OR_RETURN(const uint64_t symbol,
                     kernel_.symbols().Require("idt_table"));
    ASSIGN_OR_RETURN(const uint64_t expected,
                     kernel_.reader().ToPhysical(symbol));
    const absl::StatusOr<uint64_t> found =
        kernel_.reader().ToPhysical(table->base);
    const bool known = found.ok() && *found == expected;
    if (!known) {
      Report("cpu-table", "idtr", "idt_table",
             fmt::format("0x{:x}, {}", table->base, Near(table->base)));
    }
    Tell("idtr", known ? "idt_table" : Near(table->base));
    return absl::OkStatus();
  }

  absl::StatusOr<bool> IsGdtPage(uint64_t address) {
    ASSIGN_OR_RETURN(const uint64_t page,
                     kernel_.symbols().Require("gdt_page"));
    ASSIGN_OR_RETURN(const uint64_t offsets,
                     kernel_.symbols().Require("__per_cpu_offset"));
    ASSIGN_OR_RETURN(const uint64_t cpus, kernel_.Variable("nr_cpu_ids", 4));
    const absl::StatusOr<uint64_t> found = kernel_.reader().ToPhysical(address);
    for (uint64_t i = 0; found.ok() && i < std::min(cpus, kMostCpus); ++i) {
      ASSIGN_OR_RETURN(const uint64_t offset,
                       kernel_.reader().Pointer(offsets + i * 8));
      const absl::StatusOr<uint64_t> expected =
          kernel_.reader().ToPhysical(offset + page);
      if (expected.ok() && *expected == *found) {
        return true;
      }
    }
    return false;
  }

  absl::Status Gdt(const std::optional<memory::VcpuState::Table>& table) {
    if (!table) {
      Absent("gdtr");
      return absl::OkStatus();
    }
    Limit("gdtr", table->limit, {kGdtLimit});
    ASSIGN_OR_RETURN(const bool known, IsGdtPage(table->base));
    if (!known) {
      Report("cpu-table", "gdtr", "a processor's gdt_page",
             fmt::format("0x{:x}", table->base));
    }
    Tell("gdtr", known ? "gdt_page" : Near(table->base));
    return absl::OkStatus();
  }

  Kernel& kernel_;
  const absl::StatusOr<AddressNames> names_;
  CpuCheck& out_;
  size_t number_ = 0;
};

class HalfChecker {
 public:
  HalfChecker(Kernel& kernel, Findings& out) : kernel_(kernel), out_(out) {}

  absl::Status Prepare() {
    RETURN_IF_ERROR(kernel_.reader().physical().Read(
        kernel_.reader().paging().root, swapper_));
    return absl::OkStatus();
  }

  // True if they agree; differences go to the findings.
  absl::StatusOr<bool> Check(uint64_t root, const std::string& element) {
    std::array<uint8_t, memory::kPageSize> table{};
    const absl::Status read = kernel_.reader().physical().Read(root, table);
    if (absl::IsNotFound(read)) {
      out_.push_back(Inconsistent(
          element,
          fmt::format("a page-table root at 0x{:x}, where no RAM is", root)));
      return false;
    }
    RETURN_IF_ERROR(read);
    for (uint64_t i = kEntries / 2; i < kEntries; ++i) {
      if (Entry(table, i) == Entry(swapper_, i)) {
        continue;
      }
      ASSIGN_OR_RETURN(const bool harmless, NothingRuns(root, i));
      if (!harmless || i != LdtSlot()) {
        out_.push_back({"page-tables-differ", Severity::kCritical, element,
                        fmt::format("entry {} of swapper_pg_dir: 0x{:x}", i,
                                    Entry(swapper_, i)),
                        fmt::format("0x{:x}", Entry(table, i))});
        return false;
      }
    }
    return true;
  }

 private:
  static constexpr uint64_t kAccessedDirty = 0x60;

  static uint64_t Entry(ByteView table, uint64_t index) {
    return LittleEndian(table, index * 8, 8) & ~kAccessedDirty;
  }

  // LDT_PGD_ENTRY of arch/x86/include/asm/pgtable_64_types.h
  [[nodiscard]] uint64_t LdtSlot() const {
    return kernel_.reader().paging().levels == 5 ? kEntries - 112
                                                 : kEntries - 240;
  }

  absl::StatusOr<bool> NothingRuns(uint64_t root, uint64_t index) {
    const Paging paging{root, kernel_.reader().paging().levels};
    const int shift = 12 + 9 * (paging.levels - 1);
    const uint64_t begin = (~uint64_t{0} << (shift + 9)) | (index << shift);
    bool any = false;
    ASSIGN_OR_RETURN([[maybe_unused]] const WalkFacts facts,
                     WalkExecutable(kernel_.reader().physical(), paging, begin,
                                    begin + ((uint64_t{1} << shift) - 1),
                                    [&any](const Mapping&) {
                                      any = true;
                                      return absl::OkStatus();
                                    }));
    return !any;
  }

  Kernel& kernel_;
  Findings& out_;
  std::array<uint8_t, memory::kPageSize> swapper_{};
};

}  // namespace

absl::StatusOr<CpuCheck> CheckCpus(Kernel& kernel, const Modules& modules,
                                   std::span<const memory::VcpuState> cpus) {
  CpuCheck out;
  CpuChecker checker(kernel, modules, out);
  for (size_t i = 0; i < cpus.size(); ++i) {
    RETURN_IF_ERROR(checker.Check(i, cpus[i]));
  }
  return out;
}

absl::StatusOr<Findings> CheckKernelHalves(
    Kernel& kernel, std::span<const memory::VcpuState> cpus,
    std::span<const Process> processes) {
  Findings out;
  HalfChecker checker(kernel, out);
  RETURN_IF_ERROR(checker.Prepare());
  for (size_t i = 0; i < cpus.size(); ++i) {
    if (!cpus[i].cr3 || (cpus[i].cr0 && (*cpus[i].cr0 & kPagingOn) == 0)) {
      continue;
    }
    const uint64_t root = PagingOf(*cpus[i].cr3, 0).root;
    const std::string element = fmt::format("cpu {} cr3", i);
    // In user mode under isolation: the kernel's root is the page before.
    const size_t before = out.size();
    ASSIGN_OR_RETURN(const bool agrees, checker.Check(root, element));
    if (!agrees && (root & memory::kPageSize) != 0) {
      Findings first(out.begin() + static_cast<ptrdiff_t>(before), out.end());
      out.resize(before);
      ASSIGN_OR_RETURN(const bool kernel_root,
                       checker.Check(root & ~memory::kPageSize, element));
      if (!kernel_root) {
        out.resize(before);
        out.insert(out.end(), first.begin(), first.end());
      }
    }
  }
  for (const Process& process : processes) {
    if (process.mm == 0) {
      continue;
    }
    const absl::StatusOr<uint64_t> tables =
        kernel.Get(process.mm, "mm_struct", "pgd");
    const absl::StatusOr<uint64_t> root =
        tables.ok() ? kernel.reader().ToPhysical(*tables) : tables;
    const std::string element =
        fmt::format("process {} ({})", process.pid, process.comm);
    if (!root.ok()) {
      out.push_back(Inconsistent(element, "no page tables"));
      continue;
    }
    ASSIGN_OR_RETURN([[maybe_unused]] const bool agrees,
                     checker.Check(*root, element));
  }
  return out;
}

}  // namespace vmattest::linuxguest
