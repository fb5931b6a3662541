#ifndef VMATTEST_SNAPSHOT_POLICY_H_
#define VMATTEST_SNAPSHOT_POLICY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "memory/guest_memory.h"
#include "vmattest/types/digest.h"

// Which parts of a guest's memory are measured, and how (docs/memory.md).
// Values and pure functions; any thread.

namespace vmattest::snapshot {

enum class Severity : uint8_t { kInfo, kLow, kMedium, kHigh, kCritical };
std::string_view ToString(Severity severity);

enum class Consistency : uint8_t { kLive, kPaused, kPointInTime };
std::string_view ToString(Consistency consistency);  // "point-in-time"...

struct AllRam {};
struct PhysicalRanges {
  std::vector<memory::AddressRange> ranges;  // any bytes of RAM
};
// So many pages of RAM, chosen by a seed.
struct Sample {
  uint64_t pages = 0;
  std::string seed;  // kNonceSeed: the nonce of the request
};
inline constexpr std::string_view kNonceSeed = "nonce";
// What has a meaning in the guest's kernel (memory/guest_meaning.h).
struct GuestSelector {
  enum class Kind : uint8_t { kKernel, kSymbols, kModules, kTasks, kProcess };
  Kind kind = Kind::kKernel;
  std::vector<std::string> names;  // of symbols, modules; the executable
  std::vector<std::string> parts;  // sections, fields, kinds of mappings
};
std::string_view ToString(GuestSelector::Kind kind);
using Selector = std::variant<AllRam, PhysicalRanges, Sample, GuestSelector>;

struct Region {
  std::string name;
  Severity severity = Severity::kMedium;
  Selector selector;
  std::vector<memory::AddressRange> exclude;
};

struct Policy {
  std::string id;
  uint64_t version = 0;
  std::string description;
  DigestBytes digest;  // SHA-256 over all that the policy says
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  uint32_t page_bytes = 4096;
  Consistency consistency = Consistency::kLive;
  uint32_t pause_budget_ms = 0;
  uint32_t rereads = 0;
  std::vector<Region> regions;
  bool rom_shadow = false;
  struct Schedule {
    uint32_t every_seconds = 0;
    uint32_t jitter_percent = 0;
  };
  std::optional<Schedule> schedule;
  struct Reaction {
    std::string action = "alert";
    uint32_t below_score = 0;
    bool dry_run = false;
    uint32_t at_most_per_hour = 0;
  };
  Reaction reaction;
  uint64_t max_bytes = 0;
  uint32_t max_seconds = 0;
};

inline constexpr size_t kMaxRegions = 128;
inline constexpr uint64_t kMaxSamplePages = 1U << 20;

// "linux-server@3": the identifier of the subset that a snapshot covers.
std::string SubsetId(std::string_view id, uint64_t version);

// INVALID_ARGUMENT "FILE:LINE: key: why", or "regions[2] 'boot': why": an
// unknown key, a value that is none, two regions of one name, a limit.
absl::StatusOr<Policy> ParsePolicy(std::string_view yaml,
                                   std::string_view file);
absl::StatusOr<Policy> LoadPolicy(const std::string& path);

}  // namespace vmattest::snapshot

#endif  // VMATTEST_SNAPSHOT_POLICY_H_
