#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "linuxguest/code_ranges.h"

namespace vmattest::linuxguest {
namespace {

constexpr size_t kMostFindings = 256;
constexpr size_t kMostAliases = 64;
constexpr size_t kMostTextPages = 1 << 18;

std::string Run(uint64_t address, uint64_t size) {
  return fmt::format("0x{:x}-0x{:x}", address, address + size);
}

// The frames that sealed ranges lie in, and which of their addresses lead
// there.
class TextFrames {
 public:
  absl::Status Add(VirtualReader& reader, const CodeRange& range) {
    if (range.physical) {
      Append(*range.physical, range.address, range.size);
      return absl::OkStatus();
    }
    for (uint64_t at = range.address; at - range.address < range.size;
         at += memory::kPageSize) {
      if (++pages_ > kMostTextPages) {
        complete_ = false;
        return absl::OkStatus();
      }
      const absl::StatusOr<Mapping> mapping =
          Translate(reader.physical(), reader.paging(), at);
      if (mapping.ok()) {
        Append(mapping->physical + (at - mapping->address), at,
               memory::kPageSize);
      } else if (!absl::IsNotFound(mapping.status()) &&
                 !absl::IsDataLoss(mapping.status())) {
        return mapping.status();
      }
    }
    return absl::OkStatus();
  }

  // A frame of two ranges counts for the first.
  void Finish() {
    std::stable_sort(
        all_.begin(), all_.end(),
        [](const auto& a, const auto& b) { return a.begin < b.begin; });
    for (const Frames& one : all_) {
      const uint64_t begin =
          frames_.empty() ? one.begin : std::max(one.begin, frames_.back().end);
      if (begin < one.end) {
        frames_.push_back({begin, one.end});
        addresses_.push_back(one.address + (begin - one.begin));
      }
    }
    all_.clear();
  }

  [[nodiscard]] std::span<const memory::AddressRange> frames() const {
    return frames_;
  }
  [[nodiscard]] uint64_t address(size_t i) const { return addresses_[i]; }
  [[nodiscard]] bool complete() const { return complete_; }

 private:
  struct Frames {
    uint64_t begin;
    uint64_t end;
    uint64_t address;
  };

  void Append(uint64_t physical, uint64_t address, uint64_t size) {
    if (!all_.empty() && all_.back().end == physical &&
        all_.back().address + (all_.back().end - all_.back().begin) ==
            address) {
      all_.back().end += size;
    } else if (physical + size > physical) {
      all_.push_back({physical, physical + size, address});
    }
  }

  std::vector<Frames> all_;
  std::vector<memory::AddressRange> frames_;  // disjoint, rising
  std::vector<uint64_t> addresses_;           // of each of them
  size_t pages_ = 0;
  bool complete_ = true;
};

class Checker {
 public:
  Checker(const CodeRanges& ranges, const AddressNames& names,
          const TextFrames& text)
      : ranges_(ranges), names_(names), text_(text) {}

  absl::Status Check(const Mapping& mapping) {
    if (mapping.access.writable) {
      CheckAliases(mapping);
    }
    if (mapping.access.executable) {
      CheckCode(mapping);
    }
    return absl::OkStatus();
  }

  Findings Take() {
    std::move(aliases_.begin(), aliases_.end(), std::back_inserter(findings_));
    return std::move(findings_);
  }

 private:
  void CheckCode(const Mapping& mapping) {
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
  }

  // Text that is writable where it runs is `code-writable`, and no alias. What
  // a module calls its text and cannot run may be another's.
  void CheckAliases(const Mapping& mapping) {
    const std::span<const memory::AddressRange> frames = text_.frames();
    const uint64_t end = mapping.physical + mapping.size;
    auto at = std::upper_bound(
        frames.begin(), frames.end(), mapping.physical,
        [](uint64_t address, const memory::AddressRange& frame) {
          return address < frame.end;
        });
    for (; at != frames.end() && at->begin < end &&
           aliases_.size() < kMostAliases;
         ++at) {
      const uint64_t begin = std::max(at->begin, mapping.physical);
      const uint64_t size = std::min(at->end, end) - begin;
      const uint64_t alias = mapping.address + (begin - mapping.physical);
      const uint64_t text =
          text_.address(static_cast<size_t>(at - frames.begin())) +
          (begin - at->begin);
      if (alias != text || !mapping.access.executable) {
        aliases_.push_back(
            {"code-aliased", Severity::kCritical, Run(alias, size),
             "no writable page that is text elsewhere",
             fmt::format("{} at 0x{:x} ({}), physical 0x{:x}", Owner(text),
                         text, names_.Describe(text), begin)});
      }
    }
  }

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
  const TextFrames& text_;
  Findings findings_;
  Findings aliases_;
};

}  // namespace

absl::StatusOr<Findings> CheckExecutablePages(Kernel& kernel,
                                              const CodeRanges& ranges,
                                              const AddressNames& names) {
  VirtualReader& reader = kernel.reader();
  TextFrames text;
  for (const CodeRange& range : ranges.ranges) {
    if (range.sealed) {
      RETURN_IF_ERROR(text.Add(reader, range));
    }
  }
  text.Finish();
  Checker checker(ranges, names, text);
  const uint64_t half = ~uint64_t{0} << (reader.paging().levels * 9 + 11);
  ASSIGN_OR_RETURN(
      const WalkFacts facts,
      WalkCode(reader.physical(), reader.paging(), half, UINT64_MAX,
               text.frames(), [&checker](const Mapping& mapping) {
                 return checker.Check(mapping);
               }));
  Findings findings = checker.Take();
  if (!text.complete()) {
    findings.push_back(
        Inconsistent("code ranges", "more text of modules than is looked at"));
  }
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
