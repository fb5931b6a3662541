#include <fmt/format.h>

#include <algorithm>

#include "linuxguest/code_ranges.h"

namespace vmattest::linuxguest {
namespace {

constexpr size_t kMostFindings = 256;

std::string Run(uint64_t address, uint64_t size) {
  return fmt::format("0x{:x}-0x{:x}", address, address + size);
}

class Checker {
 public:
  Checker(const CodeRanges& ranges, const AddressNames& names)
      : ranges_(ranges), names_(names) {}

  absl::Status Check(const Mapping& mapping) {
    if (mapping.access.writable) {
      Report("code-writable", mapping.address, mapping.size,
             "no page that is writable and executable", Owner(mapping.address));
    }
    for (uint64_t at = mapping.address; at - mapping.address < mapping.size;) {
      const uint64_t left = mapping.size - (at - mapping.address);
      const CodeRange* range = ranges_.Holding(at);
      const uint64_t part = PartSize(at, left, range);
      if (range == nullptr) {
        Report("code-unknown", at, part,
               "code of the kernel, a module, BPF, ftrace or kprobes",
               names_.Describe(at));
      } else if (range->physical) {
        CheckFrame(at, part, mapping.physical + (at - mapping.address),
                   *range->physical + (at - range->address));
      }
      at += part;
    }
    return absl::OkStatus();
  }

  Findings Take() { return std::move(findings_); }

 private:
  // Up to where whose code it is may change.
  [[nodiscard]] uint64_t PartSize(uint64_t at, uint64_t left,
                                  const CodeRange* range) const {
    if (range != nullptr) {
      return std::min(left, range->address + range->size - at);
    }
    const auto next = std::upper_bound(
        ranges_.ranges.begin(), ranges_.ranges.end(), at,
        [](uint64_t value, const CodeRange& r) { return value < r.address; });
    return next == ranges_.ranges.end() ? left
                                        : std::min(left, next->address - at);
  }

  [[nodiscard]] std::string Owner(uint64_t at) const {
    const CodeRange* range = ranges_.Holding(at);
    return range == nullptr ? names_.Describe(at) : range->owner;
  }

  void CheckFrame(uint64_t at, uint64_t size, uint64_t found,
                  uint64_t expected) {
    if (found != expected) {
      Report(
          "code-elsewhere", at, size,
          fmt::format("{} at physical 0x{:x}", names_.Describe(at), expected),
          fmt::format("physical 0x{:x}", found));
    }
  }

  void Report(std::string code, uint64_t at, uint64_t size,
              std::string expected, std::string found) {
    if (findings_.size() < kMostFindings) {
      findings_.push_back({std::move(code), Severity::kCritical, Run(at, size),
                           std::move(expected), std::move(found)});
    }
  }

  const CodeRanges& ranges_;
  const AddressNames& names_;
  Findings findings_;
};

}  // namespace

absl::StatusOr<Findings> CheckExecutablePages(Kernel& kernel,
                                              const CodeRanges& ranges,
                                              const AddressNames& names) {
  VirtualReader& reader = kernel.reader();
  Checker checker(ranges, names);
  const uint64_t half = ~uint64_t{0} << (reader.paging().levels * 9 + 11);
  ASSIGN_OR_RETURN(
      const WalkFacts facts,
      WalkExecutable(reader.physical(), reader.paging(), half, UINT64_MAX,
                     [&checker](const Mapping& mapping) {
                       return checker.Check(mapping);
                     }));
  Findings findings = checker.Take();
  for (const std::string& problem : facts.problems) {
    findings.push_back(Inconsistent("kernel page tables", problem));
  }
  if (!facts.complete) {
    findings.push_back(
        Inconsistent("kernel page tables", "more tables than are looked at"));
  }
  for (const std::string& problem : ranges.problems) {
    findings.push_back(Inconsistent("code ranges", problem));
  }
  return findings;
}

}  // namespace vmattest::linuxguest
