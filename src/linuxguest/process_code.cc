#include "linuxguest/process_code.h"

#include <fmt/format.h>

#include <optional>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kAnonymous = 1;  // PAGE_MAPPING_ANON, in page.mapping
constexpr size_t kMostFindings = 256;

bool IsGuestsDoing(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

// The array of struct page, by frame number.
struct PageArray {
  uint64_t base = 0;
  uint64_t stride = 0;
  uint64_t mapping = 0;

  static std::optional<PageArray> Find(Kernel& kernel) {
    const absl::StatusOr<uint64_t> base = kernel.Variable("vmemmap_base", 8);
    const absl::StatusOr<uint64_t> stride = kernel.btf().Size("page");
    const absl::StatusOr<Field> mapping =
        kernel.btf().Member("page", "mapping");
    if (!base.ok() || !stride.ok() || !mapping.ok()) {
      return std::nullopt;
    }
    return PageArray{*base, *stride, mapping->offset};
  }
};

class Checker {
 public:
  Checker(Kernel& kernel, Findings& out)
      : kernel_(kernel), pages_(PageArray::Find(kernel)), out_(out) {}

  absl::Status Check(const Process& process) {
    const absl::StatusOr<AddressSpace> space =
        ReadAddressSpace(kernel_, process);
    const std::string name =
        fmt::format("process {} ({})", process.pid, process.comm);
    if (!space.ok()) {
      if (!IsGuestsDoing(space.status())) {
        return space.status();
      }
      Add(Inconsistent(name, std::string(space.status().message())));
      return absl::OkStatus();
    }
    for (const std::string& problem : space->problems) {
      Add(Inconsistent(name, problem));
    }
    VirtualReader reader(kernel_.reader().physical(), space->paging);
    for (const ProcessMapping& mapping : space->mappings) {
      if (!mapping.executable) {
        continue;
      }
      if (mapping.writable) {
        Add({"process-code-writable", Severity::kMedium,
             fmt::format("{} 0x{:x}-0x{:x}", name, mapping.begin, mapping.end),
             "no mapping that is writable and executable",
             mapping.file.empty() ? "anonymous memory" : mapping.file});
      }
      if (pages_ && !mapping.file.empty() && !mapping.shared) {
        RETURN_IF_ERROR(CheckPages(reader, mapping, name));
      }
    }
    return absl::OkStatus();
  }

 private:
  void Add(Finding finding) {
    if (out_.size() < kMostFindings) {
      out_.push_back(std::move(finding));
    }
  }

  absl::Status CheckPages(VirtualReader& reader, const ProcessMapping& mapping,
                          const std::string& name) {
    for (uint64_t at = mapping.begin; at < mapping.end;
         at += memory::kPageSize) {
      RETURN_IF_ERROR(reader.physical().Spend(0));
      const absl::StatusOr<uint64_t> physical = reader.ToPhysical(at);
      if (!physical.ok()) {
        if (!IsGuestsDoing(physical.status())) {
          return physical.status();
        }
        continue;  // not touched yet
      }
      const absl::StatusOr<uint64_t> owner = kernel_.reader().Pointer(
          pages_->base + *physical / memory::kPageSize * pages_->stride +
          pages_->mapping);
      if (!owner.ok() && !IsGuestsDoing(owner.status())) {
        return owner.status();
      }
      if (owner.ok() && (*owner & kAnonymous) != 0) {
        Add({"process-code-modified", Severity::kHigh,
             fmt::format(
                 "{} {}+0x{:x}", name, mapping.file,
                 mapping.file_page * memory::kPageSize + (at - mapping.begin)),
             "the page of the file", "a private copy of it"});
      }
    }
    return absl::OkStatus();
  }

  Kernel& kernel_;
  const std::optional<PageArray> pages_;
  Findings& out_;
};

}  // namespace

absl::StatusOr<Findings> CheckProcessCode(Kernel& kernel,
                                          const Processes& processes) {
  Findings out;
  Checker checker(kernel, out);
  for (const Process& process : processes.processes) {
    if (process.mm != 0) {
      RETURN_IF_ERROR(checker.Check(process));
    }
  }
  return out;
}

}  // namespace vmattest::linuxguest
