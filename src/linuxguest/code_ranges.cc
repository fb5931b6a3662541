#include "linuxguest/code_ranges.h"

#include <fmt/format.h>

#include <algorithm>

#include "linuxguest/list_walk.h"

namespace vmattest::linuxguest {
namespace {

constexpr size_t kMostRanges = 1 << 16;
constexpr uint64_t kPackBytes = 2 << 20;  // a pack is at most a large page
constexpr uint64_t kMostBytes = 64 << 20;

uint64_t PageUp(uint64_t size) {
  return (size + memory::kPageSize - 1) & ~(memory::kPageSize - 1);
}

bool IsGuestsDoing(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

class Collector {
 public:
  Collector(Kernel& kernel, CodeRanges& out) : kernel_(kernel), out_(out) {}

  void Add(uint64_t address, uint64_t size, std::string owner,
           std::optional<uint64_t> physical = std::nullopt,
           bool sealed = false) {
    size = PageUp(size + address % memory::kPageSize);
    address -= address % memory::kPageSize;
    if (size > kMostBytes || address + size < address) {
      out_.problems.push_back(fmt::format("{} has {} bytes", owner, size));
      return;
    }
    out_.ranges.push_back({address, size, std::move(owner), physical, sealed});
  }

  // Calls `add` with each entry of the list at `symbol`, whose entries lie in a
  // `structure` as `member`. A kernel without it has none.
  template <class Fn>
  absl::Status EachOf(std::string_view symbol, std::string_view structure,
                      std::string_view member, Fn add) {
    const std::optional<uint64_t> head = kernel_.symbols().Address(symbol);
    const absl::StatusOr<Field> field = kernel_.btf().Member(structure, member);
    if (!head || !field.ok()) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const ListEntries entries,
                     WalkList(kernel_.reader(), *head, kMostRanges));
    if (!entries.problem.empty()) {
      out_.problems.push_back(fmt::format("{} {}", symbol, entries.problem));
    }
    for (const uint64_t at : entries.addresses) {
      const absl::Status added = add(at - field->offset);
      if (IsGuestsDoing(added)) {
        out_.problems.push_back(
            fmt::format("{}: {}", symbol, std::string(added.message())));
      } else if (!added.ok()) {
        return added;
      }
    }
    return absl::OkStatus();
  }

  absl::Status BpfPacks() {
    return EachOf("pack_list", "bpf_prog_pack", "list",
                  [this](uint64_t pack) -> absl::Status {
                    ASSIGN_OR_RETURN(const uint64_t address,
                                     kernel_.Get(pack, "bpf_prog_pack", "ptr"));
                    Add(address, kPackBytes, "BPF pack");
                    return absl::OkStatus();
                  });
  }

  absl::Status BpfImages() {
    return EachOf("bpf_kallsyms", "bpf_ksym", "lnode",
                  [this](uint64_t symbol) -> absl::Status {
                    ASSIGN_OR_RETURN(const uint64_t begin,
                                     kernel_.Get(symbol, "bpf_ksym", "start"));
                    ASSIGN_OR_RETURN(const uint64_t end,
                                     kernel_.Get(symbol, "bpf_ksym", "end"));
                    Add(begin, end - begin, "BPF image");
                    return absl::OkStatus();
                  });
  }

  absl::Status FtraceTrampolines() {
    return EachOf(
        "ftrace_ops_trampoline_list", "ftrace_ops", "list",
        [this](uint64_t ops) -> absl::Status {
          ASSIGN_OR_RETURN(const uint64_t address,
                           kernel_.Get(ops, "ftrace_ops", "trampoline"));
          ASSIGN_OR_RETURN(const uint64_t size,
                           kernel_.Get(ops, "ftrace_ops", "trampoline_size"));
          if (address != 0) {
            Add(address, size, "ftrace trampoline");
          }
          return absl::OkStatus();
        });
  }

  // Pages of instruction slots; the cache begins with a mutex.
  absl::Status KprobeSlots(std::string_view cache) {
    const std::optional<uint64_t> address = kernel_.symbols().Address(cache);
    const absl::StatusOr<Field> pages =
        kernel_.btf().Member("kprobe_insn_cache", "pages");
    const absl::StatusOr<Field> list =
        kernel_.btf().Member("kprobe_insn_page", "list");
    if (!address || !pages.ok() || !list.ok()) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(
        const ListEntries entries,
        WalkList(kernel_.reader(), *address + pages->offset, kMostRanges));
    if (!entries.problem.empty()) {
      out_.problems.push_back(fmt::format("{} {}", cache, entries.problem));
    }
    for (const uint64_t at : entries.addresses) {
      const absl::StatusOr<uint64_t> slots =
          kernel_.Get(at - list->offset, "kprobe_insn_page", "insns");
      if (slots.ok()) {
        Add(*slots, memory::kPageSize, "kprobe slots");
      } else if (!IsGuestsDoing(slots.status())) {
        return slots.status();
      }
    }
    return absl::OkStatus();
  }

  // The linear map of the trampoline that starts other processors.
  absl::Status RealMode() {
    const SymbolTable& symbols = kernel_.symbols();
    const std::optional<uint64_t> begin = symbols.Address("real_mode_blob");
    const std::optional<uint64_t> end = symbols.Address("real_mode_blob_end");
    const absl::StatusOr<uint64_t> base =
        kernel_.Variable("real_mode_header", 8);
    if (begin && end && base.ok() && *base != 0) {
      Add(*base, *end - *begin, "real mode trampoline");
    }
    return absl::OkStatus();
  }

 private:
  Kernel& kernel_;
  CodeRanges& out_;
};

}  // namespace

const CodeRange* CodeRanges::Holding(uint64_t address) const {
  auto after = std::upper_bound(
      ranges.begin(), ranges.end(), address,
      [](uint64_t at, const CodeRange& range) { return at < range.address; });
  while (after != ranges.begin()) {
    --after;
    if (address - after->address < after->size) {
      return &*after;
    }
    if (address - after->address > kMostBytes) {
      break;
    }
  }
  return nullptr;
}

absl::StatusOr<CodeRanges> ReadCodeRanges(Kernel& kernel,
                                          const Modules& modules,
                                          const AddressNames& names) {
  CodeRanges out;
  Collector collector(kernel, out);
  collector.Add(names.text_begin(), names.text_end() - names.text_begin(),
                "kernel text", kernel.info().ImagePhysical(names.text_begin()),
                true);
  for (const Module& module : modules.modules) {
    if (module.init_text.address != 0 && module.init_text.size != 0) {
      collector.Add(module.init_text.address, module.init_text.size,
                    "module " + module.name);
    }
    for (const Part& part : module.parts) {
      if (part.content == Content::kCode) {
        collector.Add(part.address, part.size, "module " + module.name,
                      std::nullopt, module.live);
      }
    }
  }
  RETURN_IF_ERROR(collector.BpfPacks());
  RETURN_IF_ERROR(collector.BpfImages());
  RETURN_IF_ERROR(collector.FtraceTrampolines());
  RETURN_IF_ERROR(collector.KprobeSlots("kprobe_insn_slots"));
  RETURN_IF_ERROR(collector.KprobeSlots("kprobe_optinsn_slots"));
  RETURN_IF_ERROR(collector.RealMode());
  std::stable_sort(out.ranges.begin(), out.ranges.end(),
                   [](const CodeRange& a, const CodeRange& b) {
                     return a.address < b.address;
                   });
  return out;
}

}  // namespace vmattest::linuxguest
