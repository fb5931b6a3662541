#include "snapshot/selection.h"

#include <algorithm>
#include <set>

#include "crypto/digest.h"
#include "fmt/format.h"

namespace vmattest::snapshot {
namespace {

using memory::AddressRange;
using memory::kPageSize;

constexpr std::string_view kSampleTag = "vmattest/sample/v1";

void Append(const AddressRange& range, std::vector<AddressRange>& ranges) {
  if (range.begin >= range.end) {
    return;
  }
  if (!ranges.empty() && ranges.back().end == range.begin) {
    ranges.back().end = range.end;
  } else {
    ranges.push_back(range);
  }
}

bool Covers(const std::vector<AddressRange>& ram, const AddressRange& range) {
  return std::any_of(ram.begin(), ram.end(), [&](const AddressRange& one) {
    return one.begin <= range.begin && range.end <= one.end;
  });
}

uint64_t Bytes(const std::vector<AddressRange>& ranges) {
  uint64_t bytes = 0;
  for (const AddressRange& range : ranges) {
    bytes += range.end - range.begin;
  }
  return bytes;
}

// Uniform numbers below `bound`, out of SHA-256 over a seed and a counter.
class Dice {
 public:
  explicit Dice(DigestBytes seed) : seed_(std::move(seed)) {}

  uint64_t Below(uint64_t bound) {
    const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t value = Next();
    while (value >= limit) {
      value = Next();
    }
    return value % bound;
  }

 private:
  uint64_t Next() {
    ByteReader reader(ByteView(block_).subspan(used_));
    if (reader.remaining() < sizeof(uint64_t)) {
      ByteWriter writer;
      writer.Raw(seed_).U64(counter_++);
      block_ = Hash(HashAlgorithm::kSha256, writer.bytes());
      used_ = 0;
      reader = ByteReader(block_);
    }
    used_ += sizeof(uint64_t);
    return reader.U64();
  }

  const DigestBytes seed_;
  uint64_t counter_ = 0;
  DigestBytes block_;
  size_t used_ = 0;
};

absl::StatusOr<std::vector<AddressRange>> Draw(
    const Policy& policy, const Region& region, const Sample& sample,
    const std::vector<AddressRange>& ram, ByteView nonce) {
  const bool by_nonce = sample.seed == kNonceSeed;
  if (by_nonce && nonce.empty()) {
    return absl::InvalidArgumentError(fmt::format(
        "region '{}' is a sample by nonce, and there is none", region.name));
  }
  const uint64_t total = Bytes(ram) / kPageSize;
  if (sample.pages >= total) {
    return ram;
  }
  ByteWriter writer;
  writer.Raw(kSampleTag).U8(0).Raw(policy.digest).Sized(region.name);
  writer.Sized(by_nonce ? nonce : AsBytes(sample.seed));
  Dice dice(Hash(HashAlgorithm::kSha256, writer.bytes()));
  std::set<uint64_t> pages;
  while (pages.size() < sample.pages) {
    pages.insert(dice.Below(total));
  }
  std::vector<AddressRange> ranges;
  auto range = ram.begin();
  uint64_t first = 0;  // number of that range's first page
  for (const uint64_t page : pages) {
    while (page - first >= (range->end - range->begin) / kPageSize) {
      first += (range->end - range->begin) / kPageSize;
      ++range;
    }
    const uint64_t address = range->begin + (page - first) * kPageSize;
    Append({address, address + kPageSize}, ranges);
  }
  return ranges;
}

// Sorted and disjoint, of RAM only. FAILED_PRECONDITION: not all of it is RAM.
absl::StatusOr<std::vector<AddressRange>> Settle(
    std::vector<AddressRange> found, const std::vector<AddressRange>& ram) {
  std::sort(found.begin(), found.end(),
            [](const AddressRange& a, const AddressRange& b) {
              return a.begin < b.begin;
            });
  std::vector<AddressRange> ranges;
  for (AddressRange range : found) {
    if (!Covers(ram, range)) {
      return absl::FailedPreconditionError(
          fmt::format("not-ram: {:#x} to {:#x}", range.begin, range.end));
    }
    if (!ranges.empty()) {
      range.begin = std::max(range.begin, ranges.back().end);
    }
    Append(range, ranges);
  }
  return ranges;
}

absl::StatusOr<std::vector<AddressRange>> Find(
    const Policy& policy, const Region& region,
    const std::vector<AddressRange>& ram, ByteView nonce,
    std::string_view left_out) {
  if (const auto* physical = std::get_if<PhysicalRanges>(&region.selector)) {
    return Settle(physical->ranges, ram);
  }
  if (!left_out.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("ram-left-out: {}", left_out));
  }
  if (const auto* sample = std::get_if<Sample>(&region.selector)) {
    return Draw(policy, region, *sample, ram, nonce);
  }
  return ram;
}

void Take(const GuestSelector& selector, const memory::MeantRegion* meant,
          SelectedRegion& region) {
  region.meant = true;
  if (meant == nullptr) {
    region.unavailable = fmt::format(
        "not-resolved: '{}' needs the guest's kernel", ToString(selector.kind));
    return;
  }
  region.unavailable = meant->unavailable;
  region.parts = meant->parts;
  region.records = selector.kind == GuestSelector::Kind::kTasks;
  for (const memory::NamedPart& part : region.parts) {
    region.ranges.insert(region.ranges.end(), part.runs.begin(),
                         part.runs.end());
  }
}

using What = memory::MeaningQuery::What;

What WhatOf(GuestSelector::Kind kind, std::string_view part) {
  using Kind = GuestSelector::Kind;
  if (kind == Kind::kModules) {
    return part == "text" ? What::kModuleText : What::kModuleRodata;
  }
  if (kind == Kind::kProcess) {
    return part == "executable" ? What::kProcessExecutable
                                : What::kProcessAnonymous;
  }
  if (kind == Kind::kSymbols) {
    return What::kSymbols;
  }
  return part == "text"     ? What::kKernelText
         : part == "rodata" ? What::kKernelRodata
         : part == "idt"    ? What::kIdt
         : part == "gdt"    ? What::kGdt
                            : What::kSyscallTable;
}

// One question for each name and part; what a kind has none of is "".
std::vector<memory::MeaningQuery> QueriesOf(const GuestSelector& selector) {
  std::vector<memory::MeaningQuery> queries;
  const std::vector<std::string> none = {""};
  for (const std::string& name :
       selector.names.empty() ? none : selector.names) {
    for (const std::string& part :
         selector.parts.empty() ? none : selector.parts) {
      queries.push_back({WhatOf(selector.kind, part), name});
    }
  }
  return queries;
}

}  // namespace

uint64_t SelectedRegion::bytes() const { return Bytes(ranges); }

std::vector<AddressRange> Without(const std::vector<AddressRange>& ranges,
                                  const std::vector<AddressRange>& cut) {
  std::vector<AddressRange> left;
  auto next = cut.begin();
  for (AddressRange range : ranges) {
    while (next != cut.end() && next->end <= range.begin) {
      ++next;
    }
    for (auto at = next; at != cut.end() && at->begin < range.end; ++at) {
      Append({range.begin, at->begin}, left);
      range.begin = std::max(range.begin, at->end);
    }
    Append(range, left);
  }
  return left;
}

std::optional<memory::MeaningRequest> WantedMeaning(const Policy& policy) {
  memory::MeaningRequest request;
  for (const Region& region : policy.regions) {
    const auto* selector = std::get_if<GuestSelector>(&region.selector);
    if (selector == nullptr) {
      continue;
    }
    if (selector->kind == GuestSelector::Kind::kTasks) {
      request.task_fields = selector->parts;
      request.regions.emplace_back();
    } else {
      request.regions.push_back(QueriesOf(*selector));
    }
  }
  return request.regions.empty() ? std::nullopt
                                 : std::optional(std::move(request));
}

absl::StatusOr<std::vector<SelectedRegion>> Select(
    const Policy& policy, const std::vector<AddressRange>& ram, ByteView nonce,
    const memory::GuestMeaning* meaning, std::string_view left_out) {
  std::vector<SelectedRegion> selected;
  uint64_t bytes = 0;
  size_t meant = 0;
  for (const Region& region : policy.regions) {
    SelectedRegion& one = selected.emplace_back();
    one.name = region.name;
    one.severity = region.severity;
    if (const auto* guest = std::get_if<GuestSelector>(&region.selector)) {
      Take(*guest, meaning == nullptr ? nullptr : &meaning->regions.at(meant++),
           one);
    } else if (auto found = Find(policy, region, ram, nonce, left_out);
               found.ok()) {
      one.ranges = Without(*found, region.exclude);
    } else if (absl::IsFailedPrecondition(found.status())) {
      one.unavailable = std::string(found.status().message());
    } else {
      return found.status();
    }
    bytes += one.bytes();
  }
  if (policy.max_bytes != 0 && bytes > policy.max_bytes) {
    return absl::ResourceExhaustedError(
        fmt::format("policy '{}' selects {} bytes, its limit is {}", policy.id,
                    bytes, policy.max_bytes));
  }
  return selected;
}

}  // namespace vmattest::snapshot
