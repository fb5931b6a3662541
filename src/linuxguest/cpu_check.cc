#include "linuxguest/cpu_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kPagingOn = uint64_t{1} << 31;
constexpr uint64_t kWriteProtect = 1 << 16;
constexpr uint64_t kEntries = 512;
constexpr uint64_t kMostCpus = 8192;

class CpuChecker {
 public:
  CpuChecker(Kernel& kernel, const Modules& modules, CpuCheck& out)
      : kernel_(kernel),
        names_(AddressNames::Make(kernel, modules)),
        out_(out) {}

  absl::Status Check(size_t number, const memory::VcpuState& cpu) {
    name_ = fmt::format("cpu {}", number);
    if (cpu.cr0 && (*cpu.cr0 & kPagingOn) == 0) {
      out_.absent.push_back(name_ + " runs without paging");
      return absl::OkStatus();
    }
    Bits("cr0", cpu.cr0, kWriteProtect, "WP on");
    const absl::StatusOr<uint64_t> pinned =
        kernel_.Variable("cr4_pinned_bits", 8);
    if (pinned.ok()) {
      Bits("cr4", cpu.cr4, *pinned, "the bits that the kernel pinned");
    } else if (!absl::IsNotFound(pinned.status())) {
      return pinned.status();
    }
    Entry("lstar", cpu.lstar, {"entry_SYSCALL_64"}, false);
    Entry("cstar", cpu.cstar,
          {"entry_SYSCALL_compat", "entry_SYSCALL32_ignore", "ignore_sysret"},
          true);
    Entry("sysenter_eip", cpu.sysenter_eip, {"entry_SYSENTER_compat"}, true);
    RETURN_IF_ERROR(Idt(cpu.idtr));
    return Gdt(cpu.gdtr);
  }

 private:
  [[nodiscard]] std::string Near(uint64_t address) const {
    return names_.ok() ? names_->Describe(address)
                       : fmt::format("0x{:x}", address);
  }

  void Report(std::string code, std::string_view element, std::string expected,
              std::string found) {
    out_.findings.push_back({std::move(code), Severity::kCritical,
                             fmt::format("{} {}", name_, element),
                             std::move(expected), std::move(found)});
  }

  void Absent(std::string_view element) {
    out_.absent.push_back(fmt::format("{} {}", name_, element));
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

  void Entry(std::string_view element, const std::optional<uint64_t>& value,
             std::vector<std::string_view> symbols, bool may_be_zero) {
    if (!value) {
      Absent(element);
      return;
    }
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

  // The register holds another address of the same frame.
  absl::Status Idt(const std::optional<memory::VcpuState::Table>& table) {
    if (!table) {
      Absent("idtr");
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const uint64_t symbol,
                     kernel_.symbols().Require("idt_table"));
    ASSIGN_OR_RETURN(const uint64_t expected,
                     kernel_.reader().ToPhysical(symbol));
    const absl::StatusOr<uint64_t> found =
        kernel_.reader().ToPhysical(table->base);
    if (!found.ok() || *found != expected) {
      Report("cpu-table", "idtr", "idt_table",
             fmt::format("0x{:x}, {}", table->base, Near(table->base)));
    }
    return absl::OkStatus();
  }

  absl::Status Gdt(const std::optional<memory::VcpuState::Table>& table) {
    if (!table) {
      Absent("gdtr");
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const uint64_t page,
                     kernel_.symbols().Require("gdt_page"));
    ASSIGN_OR_RETURN(const uint64_t offsets,
                     kernel_.symbols().Require("__per_cpu_offset"));
    ASSIGN_OR_RETURN(const uint64_t cpus, kernel_.Variable("nr_cpu_ids", 4));
    const absl::StatusOr<uint64_t> found =
        kernel_.reader().ToPhysical(table->base);
    for (uint64_t i = 0; found.ok() && i < std::min(cpus, kMostCpus); ++i) {
      ASSIGN_OR_RETURN(const uint64_t offset,
                       kernel_.reader().Pointer(offsets + i * 8));
      const absl::StatusOr<uint64_t> expected =
          kernel_.reader().ToPhysical(offset + page);
      if (expected.ok() && *expected == *found) {
        return absl::OkStatus();
      }
    }
    Report("cpu-table", "gdtr", "a processor's gdt_page",
           fmt::format("0x{:x}", table->base));
    return absl::OkStatus();
  }

  Kernel& kernel_;
  const absl::StatusOr<AddressNames> names_;
  CpuCheck& out_;
  std::string name_;
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
