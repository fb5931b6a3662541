#include "snapshot/policy.h"

#include <algorithm>
#include <initializer_list>
#include <set>

#include "base/file.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "vmattest/v1/snapshot.pb.h"
#include "yaml/yaml_document.h"
#include "yaml/yaml_message.h"

namespace vmattest::snapshot {
namespace {

constexpr std::string_view kDigestTag = "vmattest/snapshot-policy/v1";
constexpr size_t kMaxName = 64;
constexpr size_t kMaxNames = 256;
constexpr int kMaxRanges = 1024;
constexpr uint64_t kMaxAddress = uint64_t{1} << 52;
constexpr uint32_t kDefaultBudgetMs = 100;
constexpr uint32_t kMaxBudgetMs = 60'000;
constexpr uint32_t kMaxRereads = 16;
constexpr uint32_t kShortestSchedule = 5;
constexpr uint32_t kDefaultSeconds = 120;
constexpr Severity kSeverities[] = {Severity::kInfo, Severity::kLow,
                                    Severity::kMedium, Severity::kHigh,
                                    Severity::kCritical};
constexpr Consistency kConsistencies[] = {
    Consistency::kLive, Consistency::kPaused, Consistency::kPointInTime};

absl::Status Wrong(std::string_view key, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", key, why));
}

bool IsName(std::string_view name) {
  const auto lower = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kMaxName && lower(name[0]) &&
         std::all_of(name.begin(), name.end(), [&](char c) {
           return lower(c) || c == '-' || c == '_' || c == '.';
         });
}

template <class Enum, size_t kSize>
absl::StatusOr<Enum> OneOf(const Enum (&all)[kSize], std::string_view name,
                           std::string_view key) {
  std::vector<std::string_view> names;
  for (const Enum one : all) {
    if (ToString(one) == name) {
      return one;
    }
    names.push_back(ToString(one));
  }
  return Wrong(key,
               fmt::format("'{}' is none of {}", name, fmt::join(names, ", ")));
}

absl::Status CheckWords(
    const google::protobuf::RepeatedPtrField<std::string>& words,
    std::initializer_list<std::string_view> allowed, std::string_view key) {
  if (words.empty()) {
    return Wrong(key, "at least one");
  }
  std::set<std::string_view> seen;
  for (const std::string& word : words) {
    if (std::find(allowed.begin(), allowed.end(), word) == allowed.end()) {
      return Wrong(key, fmt::format("'{}' is none of {}", word,
                                    fmt::join(allowed, ", ")));
    }
    if (!seen.insert(word).second) {
      return Wrong(key, fmt::format("'{}' twice", word));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNames(
    const google::protobuf::RepeatedPtrField<std::string>& names,
    std::string_view key) {
  if (names.empty() || static_cast<size_t>(names.size()) > kMaxNames) {
    return Wrong(key, fmt::format("1 to {} names", kMaxNames));
  }
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 256) {
      return Wrong(key, "a name of 1 to 256 bytes");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<memory::AddressRange>> ToRanges(
    const google::protobuf::RepeatedPtrField<v1::PhysicalRange>& messages,
    std::string_view key) {
  if (messages.size() > kMaxRanges) {
    return Wrong(key, fmt::format("at most {} ranges", kMaxRanges));
  }
  std::vector<memory::AddressRange> ranges;
  for (const v1::PhysicalRange& range : messages) {
    if (range.begin() >= range.end() || range.end() > kMaxAddress) {
      return Wrong(key, fmt::format("{:#x} to {:#x} is no range", range.begin(),
                                    range.end()));
    }
    if (!ranges.empty() && ranges.back().end > range.begin()) {
      return Wrong(key, "ranges go upwards and do not overlap");
    }
    ranges.push_back({range.begin(), range.end()});
  }
  return ranges;
}

std::vector<std::string> Words(
    const google::protobuf::RepeatedPtrField<std::string>& words) {
  return {words.begin(), words.end()};
}

absl::StatusOr<Selector> ToSample(const v1::SampleSelector& message) {
  if (message.pages() == 0 || message.pages() > kMaxSamplePages) {
    return Wrong("sample.pages", fmt::format("1 to {}", kMaxSamplePages));
  }
  if (message.seed().empty() || message.seed().size() > 256) {
    return Wrong("sample.seed", "'nonce', or a text of 1 to 256 bytes");
  }
  return Sample{message.pages(), message.seed()};
}

absl::StatusOr<Selector> ToGuestSelector(const v1::SnapshotRegion& message) {
  using Kind = GuestSelector::Kind;
  switch (message.selector_case()) {
    case v1::SnapshotRegion::kKernel:
      RETURN_IF_ERROR(CheckWords(
          message.kernel().parts(),
          {"text", "rodata", "idt", "gdt", "syscall_table"}, "kernel.parts"));
      return GuestSelector{Kind::kKernel, {}, Words(message.kernel().parts())};
    case v1::SnapshotRegion::kSymbols:
      RETURN_IF_ERROR(CheckNames(message.symbols().names(), "symbols.names"));
      return GuestSelector{
          Kind::kSymbols, Words(message.symbols().names()), {}};
    case v1::SnapshotRegion::kModules:
      RETURN_IF_ERROR(CheckNames(message.modules().names(), "modules.names"));
      RETURN_IF_ERROR(CheckWords(message.modules().parts(), {"text", "rodata"},
                                 "modules.parts"));
      return GuestSelector{Kind::kModules, Words(message.modules().names()),
                           Words(message.modules().parts())};
    case v1::SnapshotRegion::kTasks:
      RETURN_IF_ERROR(CheckWords(
          message.tasks().fields(),
          {"pid", "comm", "uid", "gid", "caps", "parent"}, "tasks.fields"));
      return GuestSelector{Kind::kTasks, {}, Words(message.tasks().fields())};
    case v1::SnapshotRegion::kProcess:
      RETURN_IF_ERROR(CheckWords(message.process().mappings(),
                                 {"executable", "anonymous"},
                                 "process.mappings"));
      if (message.process().executable().empty() ||
          message.process().executable().size() > 4096) {
        return Wrong("process.executable", "a path");
      }
      return GuestSelector{Kind::kProcess,
                           {message.process().executable()},
                           Words(message.process().mappings())};
    default:
      return Wrong("selector",
                   "ram, physical, sample, kernel, symbols, "
                   "modules, tasks or process");
  }
}

absl::StatusOr<Selector> ToSelector(const v1::SnapshotRegion& message) {
  switch (message.selector_case()) {
    case v1::SnapshotRegion::kRam:
      return AllRam{};
    case v1::SnapshotRegion::kPhysical: {
      ASSIGN_OR_RETURN(auto ranges, ToRanges(message.physical().ranges(),
                                             "physical.ranges"));
      if (ranges.empty()) {
        return Wrong("physical.ranges", "at least one");
      }
      return PhysicalRanges{std::move(ranges)};
    }
    case v1::SnapshotRegion::kSample:
      return ToSample(message.sample());
    default:
      return ToGuestSelector(message);
  }
}

absl::StatusOr<Region> ToRegion(const v1::SnapshotRegion& message) {
  Region region;
  region.name = message.name();
  if (!IsName(region.name)) {
    return Wrong("name",
                 "lower-case letters, digits, '-', '_', '.', at most "
                 "64");
  }
  ASSIGN_OR_RETURN(
      region.severity,
      OneOf(kSeverities,
            message.severity().empty() ? "medium" : message.severity(),
            "severity"));
  ASSIGN_OR_RETURN(region.selector, ToSelector(message));
  ASSIGN_OR_RETURN(region.exclude, ToRanges(message.exclude(), "exclude"));
  if (std::holds_alternative<GuestSelector>(region.selector) &&
      !region.exclude.empty()) {
    return Wrong("exclude",
                 "none where the guest's kernel says what lies where");
  }
  return region;
}

absl::Status ReadConsistency(const v1::SnapshotConsistency& message,
                             Policy& policy) {
  ASSIGN_OR_RETURN(
      policy.consistency,
      OneOf(kConsistencies, message.mode().empty() ? "live" : message.mode(),
            "consistency.mode"));
  policy.rereads = message.rereads();
  policy.pause_budget_ms = message.pause_budget_ms();
  const bool paused = policy.consistency == Consistency::kPaused;
  if (paused && policy.pause_budget_ms == 0) {
    policy.pause_budget_ms = kDefaultBudgetMs;
  }
  if (policy.consistency == Consistency::kLive && policy.pause_budget_ms != 0) {
    return Wrong("consistency.pause_budget_ms", "not with mode live");
  }
  if (policy.pause_budget_ms > kMaxBudgetMs) {
    return Wrong("consistency.pause_budget_ms",
                 fmt::format("at most {}", kMaxBudgetMs));
  }
  if (policy.rereads > kMaxRereads ||
      (policy.rereads > 0 && policy.consistency != Consistency::kLive)) {
    return Wrong("consistency.rereads",
                 fmt::format("at most {}, with mode live", kMaxRereads));
  }
  return absl::OkStatus();
}

absl::Status ReadSchedule(const v1::SnapshotPolicy& message, Policy& policy) {
  if (message.has_schedule()) {
    policy.schedule = {message.schedule().every_seconds(),
                       message.schedule().jitter_percent()};
    if (policy.schedule->every_seconds < kShortestSchedule) {
      return Wrong("schedule.every_seconds",
                   fmt::format("at least {}", kShortestSchedule));
    }
    if (policy.schedule->jitter_percent > 100) {
      return Wrong("schedule.jitter_percent", "at most 100");
    }
  }
  const v1::SnapshotReaction& reaction = message.reaction();
  policy.reaction = {reaction.action().empty() ? "alert" : reaction.action(),
                     reaction.below_score(), reaction.dry_run(),
                     reaction.at_most_per_hour()};
  constexpr std::string_view kActions[] = {"alert", "pause", "isolate",
                                           "destroy"};
  if (std::find(std::begin(kActions), std::end(kActions),
                policy.reaction.action) == std::end(kActions)) {
    return Wrong("reaction.action", "alert, pause, isolate or destroy");
  }
  if (policy.reaction.below_score > 100) {
    return Wrong("reaction.below_score", "at most 100");
  }
  return absl::OkStatus();
}

absl::Status ReadRegions(const v1::SnapshotPolicy& message, Policy& policy) {
  if (message.regions().empty() ||
      static_cast<size_t>(message.regions_size()) > kMaxRegions) {
    return Wrong("regions", fmt::format("1 to {}", kMaxRegions));
  }
  std::set<std::string> names;
  size_t tasks = 0;
  for (int i = 0; i < message.regions_size(); ++i) {
    const std::string key =
        fmt::format("regions[{}] '{}'", i, message.regions(i).name());
    ASSIGN_OR_RETURN_WITH(Region region, ToRegion(message.regions(i)), key);
    if (!names.insert(region.name).second) {
      return Wrong(key, "a second one of that name");
    }
    if (const auto* meant = std::get_if<GuestSelector>(&region.selector)) {
      // What these regions have in pages is what the guest's kernel has.
      if (policy.page_bytes != memory::kPageSize) {
        return Wrong(key, "page_bytes: 4096 with such a selector");
      }
      if (meant->kind == GuestSelector::Kind::kTasks && ++tasks > 1) {
        return Wrong(key, "a second one of tasks");
      }
    }
    policy.regions.push_back(std::move(region));
  }
  return absl::OkStatus();
}

DigestBytes DigestOf(const v1::SnapshotPolicy& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    (void)message.SerializeToCodedStream(&coded);
  }
  ByteWriter writer;
  writer.Raw(kDigestTag).U8(0).Raw(bytes);
  return Hash(HashAlgorithm::kSha256, writer.bytes());
}

absl::StatusOr<Policy> ToPolicy(const v1::SnapshotPolicy& message) {
  Policy policy;
  policy.id = message.id();
  if (!IsName(policy.id)) {
    return Wrong("id", "lower-case letters, digits, '-', '_', '.', at most 64");
  }
  policy.version = message.version();
  if (policy.version == 0) {
    return Wrong("version", "at least 1");
  }
  policy.description = message.description();
  const std::string algorithm =
      message.algorithm().empty() ? "sha256" : message.algorithm();
  const auto parsed = ParseHashAlgorithm(algorithm);
  if (!parsed) {
    return Wrong("algorithm", fmt::format("'{}' is unknown", algorithm));
  }
  policy.algorithm = *parsed;
  policy.page_bytes = message.page_bytes() == 0 ? 4096 : message.page_bytes();
  if (policy.page_bytes != 4096 && policy.page_bytes != 65536 &&
      policy.page_bytes != 2097152) {
    return Wrong("page_bytes", "4096, 65536 or 2097152");
  }
  policy.rom_shadow = message.rom_shadow();
  RETURN_IF_ERROR(ReadConsistency(message.consistency(), policy));
  RETURN_IF_ERROR(ReadRegions(message, policy));
  RETURN_IF_ERROR(ReadSchedule(message, policy));
  policy.max_bytes = message.limits().max_bytes();
  policy.max_seconds = message.limits().max_seconds() == 0
                           ? kDefaultSeconds
                           : message.limits().max_seconds();
  policy.digest = DigestOf(message);
  return policy;
}

}  // namespace

std::string_view ToString(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kLow:
      return "low";
    case Severity::kMedium:
      return "medium";
    case Severity::kHigh:
      return "high";
    case Severity::kCritical:
      return "critical";
  }
  return "unknown";
}

std::string_view ToString(Consistency consistency) {
  switch (consistency) {
    case Consistency::kLive:
      return "live";
    case Consistency::kPaused:
      return "paused";
    case Consistency::kPointInTime:
      return "point-in-time";
  }
  return "unknown";
}

std::string_view ToString(GuestSelector::Kind kind) {
  switch (kind) {
    case GuestSelector::Kind::kKernel:
      return "kernel";
    case GuestSelector::Kind::kSymbols:
      return "symbols";
    case GuestSelector::Kind::kModules:
      return "modules";
    case GuestSelector::Kind::kTasks:
      return "tasks";
    case GuestSelector::Kind::kProcess:
      return "process";
  }
  return "unknown";
}

std::string SubsetId(std::string_view id, uint64_t version) {
  return fmt::format("{}@{}", id, version);
}

absl::StatusOr<Policy> ParsePolicy(std::string_view yaml,
                                   std::string_view file) {
  v1::SnapshotPolicy message;
  RETURN_IF_ERROR(yaml::MergeYaml(yaml, file, message, nullptr));
  absl::StatusOr<Policy> policy = ToPolicy(message);
  return policy.ok() ? std::move(policy)
                     : absl::StatusOr<Policy>(Annotate(policy.status(), file));
}

absl::StatusOr<Policy> LoadPolicy(const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(path, yaml::kMaxYamlBytes));
  return ParsePolicy(AsText(text), path);
}

}  // namespace vmattest::snapshot
