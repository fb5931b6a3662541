#include "linuxguest/regions.h"

#include <fmt/format.h>

#include <algorithm>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kIdtBytes = 4096;
constexpr uint64_t kGdtBytes = 128;
constexpr uint64_t kMostCpus = 8192;
constexpr uint64_t kMostTableBytes = 8192;
constexpr uint64_t kMostSymbolBytes = 64 << 20;
constexpr size_t kMostRegions = 1 << 17;
constexpr uint64_t kMostRegionBytes = uint64_t{1} << 40;

bool IsGuestsDoing(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

class Resolver {
 public:
  Resolver(Kernel& kernel, const Modules& modules, const Processes& processes,
           Resolution& out)
      : kernel_(kernel), modules_(modules), processes_(processes), out_(out) {}

  absl::Status Resolve(const Selector& selector) {
    using Kind = Selector::Kind;
    switch (selector.kind) {
      case Kind::kKernelText:
        return Between("kernel/text", Content::kCode, "_text", "_etext");
      case Kind::kKernelRodata:
        return Between("kernel/rodata", Content::kReadOnly, "__start_rodata",
                       "__end_rodata");
      case Kind::kIdt:
        return Table("idt", "idt_table", kIdtBytes);
      case Kind::kSyscallTable:
        return Table("syscall_table", "sys_call_table", kMostTableBytes);
      case Kind::kGdt:
        return Gdts();
      case Kind::kModules:
        return OfModules(selector.pattern);
      case Kind::kSymbols:
        return Symbols(selector.pattern);
      case Kind::kProcessExecutable:
        return OfProcesses(selector.pattern, false);
      case Kind::kProcessAnonymous:
        return OfProcesses(selector.pattern, true);
    }
    return absl::InvalidArgumentError("no such selector");
  }

 private:
  void Unresolved(std::string_view what, std::string_view why) {
    out_.unresolved.push_back(fmt::format("{}: {}", what, why));
  }

  absl::Status Add(VirtualReader& reader, std::string name, Content content,
                   uint64_t address, uint64_t size) {
    if (out_.regions.size() >= kMostRegions || size > kMostRegionBytes ||
        address + size < address) {
      out_.problems.push_back(
          fmt::format("{}: more than may be selected", name));
      return absl::OkStatus();
    }
    Region region{std::move(name), content, address, size, {}, 0};
    for (uint64_t at = address; at < address + size;) {
      const uint64_t part = std::min(memory::kPageSize - at % memory::kPageSize,
                                     address + size - at);
      RETURN_IF_ERROR(reader.physical().Spend(0));
      RETURN_IF_ERROR(AddPage(reader, at, part, region));
      at += part;
    }
    out_.regions.push_back(std::move(region));
    return absl::OkStatus();
  }

  static absl::Status AddPage(VirtualReader& reader, uint64_t at, uint64_t size,
                              Region& region) {
    const absl::StatusOr<uint64_t> physical = reader.ToPhysical(at);
    if (!physical.ok() && !IsGuestsDoing(physical.status())) {
      return physical.status();
    }
    if (!physical.ok() || !reader.physical().IsRam(*physical, size)) {
      region.absent += size;
    } else if (!region.runs.empty() &&
               region.runs.back().address + region.runs.back().size == at &&
               region.runs.back().physical + region.runs.back().size ==
                   *physical) {
      region.runs.back().size += size;
    } else {
      region.runs.push_back({at, *physical, size});
    }
    return absl::OkStatus();
  }

  absl::Status Between(const char* name, Content content, const char* begin,
                       const char* end) {
    const std::optional<uint64_t> from = kernel_.symbols().Address(begin);
    const std::optional<uint64_t> to = kernel_.symbols().Address(end);
    if (!from || !to || *from >= *to) {
      Unresolved(name, fmt::format("no symbols {} and {}", begin, end));
      return absl::OkStatus();
    }
    return Add(kernel_.reader(), name, content, *from, *to - *from);
  }

  absl::Status Table(const char* name, const char* symbol, uint64_t most) {
    const std::optional<uint64_t> from = kernel_.symbols().Address(symbol);
    if (!from) {
      Unresolved(name, fmt::format("no symbol {}", symbol));
      return absl::OkStatus();
    }
    const uint64_t next = kernel_.symbols().Next(*from).value_or(*from + most);
    return Add(kernel_.reader(), name, Content::kReadOnlyAfterInit, *from,
               std::min(next - *from, most));
  }

  absl::Status Gdts() {
    const std::optional<uint64_t> page = kernel_.symbols().Address("gdt_page");
    const std::optional<uint64_t> offsets =
        kernel_.symbols().Address("__per_cpu_offset");
    const absl::StatusOr<uint64_t> cpus = kernel_.Variable("nr_cpu_ids", 4);
    if (!page || !offsets || !cpus.ok()) {
      Unresolved("gdt", "no symbols gdt_page, __per_cpu_offset, nr_cpu_ids");
      return absl::OkStatus();
    }
    for (uint64_t cpu = 0; cpu < std::min(*cpus, kMostCpus); ++cpu) {
      ASSIGN_OR_RETURN(const uint64_t offset,
                       kernel_.reader().Pointer(*offsets + cpu * 8));
      RETURN_IF_ERROR(Add(kernel_.reader(), fmt::format("gdt/cpu{}", cpu),
                          Content::kReadOnlyAfterInit, offset + *page,
                          kGdtBytes));
    }
    return absl::OkStatus();
  }

  absl::Status OfModules(std::string_view pattern) {
    for (const Module& module : modules_.modules) {
      if (!GlobMatches(pattern, module.name)) {
        continue;
      }
      for (const Part& part : module.parts) {
        if (part.content == Content::kData) {
          continue;
        }
        RETURN_IF_ERROR(Add(
            kernel_.reader(),
            fmt::format("module/{}/{}", module.name, ContentName(part.content)),
            part.content, part.address, part.size));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Symbols(std::string_view pattern) {
    const std::vector<Symbol> found = kernel_.symbols().Matching(pattern);
    if (found.empty()) {
      Unresolved(fmt::format("symbols {}", pattern), "no such symbol");
    }
    for (const Symbol& symbol : found) {
      const uint64_t next =
          kernel_.symbols().Next(symbol.address).value_or(symbol.address);
      RETURN_IF_ERROR(Add(kernel_.reader(),
                          fmt::format("symbol/{}", symbol.name),
                          ContentOf(symbol), symbol.address,
                          std::min(next - symbol.address, kMostSymbolBytes)));
    }
    return absl::OkStatus();
  }

  [[nodiscard]] bool IsBetween(uint64_t address, const char* begin,
                               const char* end) const {
    const std::optional<uint64_t> from = kernel_.symbols().Address(begin);
    const std::optional<uint64_t> to = kernel_.symbols().Address(end);
    return from && to && address >= *from && address < *to;
  }

  [[nodiscard]] Content ContentOf(const Symbol& symbol) const {
    if (symbol.type == 't' || symbol.type == 'T' ||
        IsBetween(symbol.address, "_text", "_etext")) {
      return Content::kCode;
    }
    if (IsBetween(symbol.address, "__start_ro_after_init",
                  "__end_ro_after_init")) {
      return Content::kReadOnlyAfterInit;
    }
    return IsBetween(symbol.address, "__start_rodata", "__end_rodata")
               ? Content::kReadOnly
               : Content::kData;
  }

  absl::Status OfProcesses(std::string_view pattern, bool anonymous) {
    for (const Process& process : processes_.processes) {
      if (process.mm == 0) {
        continue;
      }
      const absl::StatusOr<AddressSpace> space =
          ReadAddressSpace(kernel_, process);
      if (!space.ok()) {
        if (!IsGuestsDoing(space.status())) {
          return space.status();
        }
        out_.problems.push_back(
            fmt::format("process {}: {}", process.pid,
                        std::string(space.status().message())));
        continue;
      }
      for (const std::string& problem : space->problems) {
        out_.problems.push_back(
            fmt::format("process {}: {}", process.pid, problem));
      }
      if (GlobMatches(pattern, space->executable)) {
        RETURN_IF_ERROR(Mappings(process, *space, anonymous));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Mappings(const Process& process, const AddressSpace& space,
                        bool anonymous) {
    VirtualReader reader(kernel_.reader().physical(), space.paging);
    for (const ProcessMapping& mapping : space.mappings) {
      if (!mapping.executable || (anonymous && !mapping.file.empty())) {
        continue;
      }
      // A file's bytes are named by their place in it, for they are put
      // elsewhere each time.
      const std::string name =
          mapping.file.empty()
              ? fmt::format("process/{}/anonymous/{:x}", process.pid,
                            mapping.begin)
              : fmt::format("process/{}{}/{:x}", process.pid, mapping.file,
                            mapping.file_page * memory::kPageSize);
      RETURN_IF_ERROR(Add(reader, name, Content::kCode, mapping.begin,
                          mapping.end - mapping.begin));
    }
    return absl::OkStatus();
  }

  Kernel& kernel_;
  const Modules& modules_;
  const Processes& processes_;
  Resolution& out_;
};

}  // namespace

absl::StatusOr<Resolution> ResolveSelectors(Kernel& kernel,
                                            const Modules& modules,
                                            const Processes& processes,
                                            std::span<const Selector> wanted) {
  Resolution out;
  Resolver resolver(kernel, modules, processes, out);
  for (const Selector& selector : wanted) {
    const auto first = static_cast<ptrdiff_t>(out.regions.size());
    RETURN_IF_ERROR(resolver.Resolve(selector));
    std::stable_sort(
        out.regions.begin() + first, out.regions.end(),
        [](const Region& a, const Region& b) { return a.address < b.address; });
  }
  return out;
}

}  // namespace vmattest::linuxguest
