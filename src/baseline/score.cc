#include "baseline/score.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <map>
#include <string_view>

namespace vmattest::baseline {
namespace {

using snapshot::Severity;

constexpr uint32_t kBest = 100;
constexpr Severity kCounted[] = {Severity::kLow, Severity::kMedium,
                                 Severity::kHigh, Severity::kCritical};
constexpr size_t kSeverities = 5;

}  // namespace

uint32_t Weight(Severity severity) {
  switch (severity) {
    case Severity::kCritical:
      return 50;
    case Severity::kHigh:
      return 20;
    case Severity::kMedium:
      return 8;
    case Severity::kLow:
      return 2;
    case Severity::kInfo:
      break;
  }
  return 0;
}

uint32_t Steps(uint64_t extent) {
  return static_cast<uint32_t>(std::bit_width(extent));
}

uint32_t Score(std::span<const Difference> differences) {
  // At least as grave as each severity.
  std::map<std::string_view, std::array<uint64_t, kSeverities>> groups;
  for (const Difference& difference : differences) {
    auto& extents = groups[difference.group];
    for (size_t s = 0; s <= static_cast<size_t>(difference.severity); ++s) {
      extents[s] += std::min(difference.extent,
                             std::numeric_limits<uint64_t>::max() - extents[s]);
    }
  }
  uint64_t lost = 0;
  for (const auto& [group, extents] : groups) {
    uint32_t below = 0;
    for (const Severity severity : kCounted) {
      const uint32_t weight = Weight(severity);
      lost += uint64_t{weight - below} *
              Steps(extents[static_cast<size_t>(severity)]);
      below = weight;
    }
  }
  return lost >= kBest ? 0 : kBest - static_cast<uint32_t>(lost);
}

}  // namespace vmattest::baseline
