#include "linuxguest/kernel.h"

#include <fmt/format.h>

#include <algorithm>

#include "linuxguest/elf_notes.h"
#include "linuxguest/kallsyms.h"

namespace vmattest::linuxguest {
namespace {

constexpr std::string_view kNoNote =
    "no VMCOREINFO in memory: no Linux of 6.0 or later has started";

// The root that the note names must map itself where the note says.
absl::StatusOr<VirtualReader> OpenTables(PhysicalReader& physical,
                                         const VmcoreInfo& info) {
  const uint64_t address = *info.Symbol("swapper_pg_dir");
  const Paging paging{info.ImagePhysical(address), info.five_levels ? 5 : 4};
  VirtualReader reader(physical, paging);
  ASSIGN_OR_RETURN_WITH(const uint64_t root, reader.ToPhysical(address),
                        "swapper_pg_dir");
  if (root != paging.root) {
    return absl::DataLossError(
        fmt::format("swapper_pg_dir maps itself at 0x{:x}, not at 0x{:x}", root,
                    paging.root));
  }
  return reader;
}

absl::Status CheckNotePointer(VirtualReader& reader, const VmcoreInfo& info,
                              const SymbolTable& symbols) {
  ASSIGN_OR_RETURN(const uint64_t variable, symbols.Require("vmcoreinfo_note"));
  ASSIGN_OR_RETURN_WITH(const uint64_t note, reader.Pointer(variable),
                        "vmcoreinfo_note");
  ASSIGN_OR_RETURN_WITH(const uint64_t page, reader.ToPhysical(note),
                        "vmcoreinfo_note");
  if (page != info.page) {
    return absl::DataLossError(
        fmt::format("vmcoreinfo_note leads to 0x{:x}, another note", page));
  }
  return absl::OkStatus();
}

absl::Status CheckBuildId(VirtualReader& reader, const VmcoreInfo& info,
                          const SymbolTable& symbols) {
  ASSIGN_OR_RETURN(const uint64_t begin, symbols.Require("__start_notes"));
  ASSIGN_OR_RETURN(const uint64_t end, symbols.Require("__stop_notes"));
  if (end < begin || end - begin > memory::kPageSize) {
    return absl::DataLossError("__start_notes and __stop_notes do not fit");
  }
  ASSIGN_OR_RETURN_WITH(const Bytes notes, reader.Read(begin, end - begin),
                        "notes");
  const std::optional<std::string> found = BuildIdAmong(notes);
  if (!found) {
    return absl::DataLossError("no build id among the kernel's notes");
  }
  if (*found != info.build_id) {
    return absl::DataLossError(
        fmt::format("build id {} in VMCOREINFO, {} in the kernel's notes",
                    info.build_id, *found));
  }
  return absl::OkStatus();
}

absl::StatusOr<Btf> ReadBtf(VirtualReader& reader, const SymbolTable& symbols) {
  ASSIGN_OR_RETURN(const uint64_t begin, symbols.Require("__start_BTF"));
  ASSIGN_OR_RETURN(const uint64_t end, symbols.Require("__stop_BTF"));
  if (end < begin || end - begin > reader.physical().limits().btf_bytes) {
    return absl::DataLossError("__start_BTF and __stop_BTF do not fit");
  }
  ASSIGN_OR_RETURN_WITH(Bytes section, reader.Read(begin, end - begin), "BTF");
  return Btf::Parse(std::move(section));
}

absl::StatusOr<std::unique_ptr<Kernel>> Open(PhysicalReader& physical,
                                             const VmcoreInfo& info) {
  ASSIGN_OR_RETURN(VirtualReader reader, OpenTables(physical, info));
  ASSIGN_OR_RETURN(SymbolTable symbols, ReadKallsyms(reader, info));
  RETURN_IF_ERROR(CheckNotePointer(reader, info, symbols));
  RETURN_IF_ERROR(CheckBuildId(reader, info, symbols));
  ASSIGN_OR_RETURN(Btf btf, ReadBtf(reader, symbols));
  return std::make_unique<Kernel>(std::move(reader), info, std::move(symbols),
                                  std::move(btf));
}

// The guest's doing, not ours: told, and the next note is tried.
bool IsGuestsDoing(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

Discovery Inconsistent(std::string reason, std::vector<std::string> problems) {
  Discovery discovery;
  discovery.outcome = Discovery::Outcome::kInconsistent;
  discovery.reason = std::move(reason);
  discovery.problems = std::move(problems);
  return discovery;
}

}  // namespace

absl::StatusOr<uint64_t> Kernel::Get(uint64_t address,
                                     std::string_view structure,
                                     std::string_view path) {
  ASSIGN_OR_RETURN(const Field field, btf_.Member(structure, path));
  if (field.size == 0) {
    return absl::DataLossError(
        fmt::format("BTF: {}.{} has no size", structure, path));
  }
  return reader_.Number(address + field.offset,
                        std::min<uint64_t>(field.size, 8));
}

absl::StatusOr<uint64_t> Kernel::Variable(std::string_view symbol,
                                          size_t size) {
  ASSIGN_OR_RETURN(const uint64_t address, symbols_.Require(symbol));
  return reader_.Number(address, size);
}

absl::StatusOr<Discovery> DiscoverKernel(PhysicalReader& reader) {
  ASSIGN_OR_RETURN(VmcoreInfoNotes found,
                   FindVmcoreInfo(reader.memory(), reader.limits()));
  Discovery discovery;
  discovery.problems = std::move(found.malformed);
  if (found.notes.empty() && discovery.problems.empty()) {
    discovery.reason = kNoNote;
    return discovery;
  }
  for (const VmcoreInfo& info : found.notes) {
    absl::StatusOr<std::unique_ptr<Kernel>> kernel = Open(reader, info);
    if (!kernel.ok()) {
      if (!IsGuestsDoing(kernel.status())) {
        return kernel.status();
      }
      discovery.problems.push_back(
          fmt::format("VMCOREINFO of {} at 0x{:x}: {}", info.release, info.page,
                      std::string(kernel.status().message())));
      continue;
    }
    if (discovery.kernel != nullptr) {
      return Inconsistent(
          fmt::format("two kernels agree with themselves: {} and {}",
                      discovery.kernel->info().release, info.release),
          std::move(discovery.problems));
    }
    discovery.kernel = *std::move(kernel);
  }
  if (found.more) {
    return Inconsistent("more VMCOREINFO notes than are looked at",
                        std::move(discovery.problems));
  }
  if (discovery.kernel == nullptr) {
    return Inconsistent("no VMCOREINFO agrees with the memory around it",
                        std::move(discovery.problems));
  }
  discovery.outcome = Discovery::Outcome::kFound;
  return discovery;
}

}  // namespace vmattest::linuxguest
