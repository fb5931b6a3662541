#include <algorithm>
#include <set>

#include "base/uuid.h"
#include "baseline/baseline.h"
#include "fmt/format.h"
#include "vmattest/v1/baseline.pb.h"
#include "wire/messages.h"

// The payload of a baseline document.

namespace vmattest::baseline {
namespace {

using wire::FromField;
using wire::Malformed;
using wire::ToField;

constexpr uint32_t kVersion = 1;
constexpr size_t kMaxPayload = 4u << 20;
constexpr size_t kMaxName = 63;
// What a store's transaction takes (verification::VerifierStore).
constexpr size_t kMaxUuids = 48;
constexpr size_t kMaxRegions = 128;
constexpr size_t kMaxAccepted = 1'000;
constexpr size_t kMaxText = 4096;
constexpr uint32_t kMaxScore = 100;
constexpr std::string_view kSeverities[] = {"info", "low", "medium", "high",
                                            "critical"};

bool IsName(std::string_view name) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= kMaxName && word(name.front()) &&
         std::all_of(name.begin(), name.end(), [&word](char c) {
           return word(c) || c == '.' || c == '_' || c == '-';
         });
}

absl::Status CheckVms(const std::vector<std::string>& uuids) {
  RETURN_IF_ERROR(wire::CheckCount("vm_uuids", uuids.size(), kMaxUuids));
  if (uuids.empty() ||
      std::set(uuids.begin(), uuids.end()).size() != uuids.size()) {
    return Malformed("vm_uuids", "must name VMs, each once");
  }
  for (const std::string& uuid : uuids) {
    const absl::StatusOr<Uuid> parsed = ParseUuid(uuid);
    if (uuid == "*" ? uuids.size() != 1
                    : !parsed.ok() || vmattest::ToString(*parsed) != uuid) {
      return Malformed("vm_uuids", "must be UUIDs in lower case, or '*' alone");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRegions(const Baseline& baseline) {
  const size_t size = DigestSize(baseline.algorithm);
  std::set<std::string_view> names;
  for (const Region& region : baseline.regions) {
    const std::string field = fmt::format("regions '{}'", region.name);
    if (region.name.empty() || region.name.size() > kMaxName + 1 ||
        !names.insert(region.name).second) {
      return Malformed(field, "must have a name of its own");
    }
    if (std::find(std::begin(kSeverities), std::end(kSeverities),
                  region.severity) == std::end(kSeverities)) {
      return Malformed(field, "is of an unknown severity");
    }
    if (region.selection.size() != size || region.root.size() != size) {
      return Malformed(field, "has digests of another algorithm");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckContent(const Baseline& baseline) {
  const size_t size = DigestSize(baseline.algorithm);
  if (baseline.policy_id.empty() || baseline.policy_version == 0 ||
      baseline.policy_digest.size() != DigestSize(HashAlgorithm::kSha256)) {
    return Malformed("policy_id", "needs a version and a digest");
  }
  if (baseline.pages_digest.size() != DigestSize(HashAlgorithm::kSha256)) {
    return Malformed("pages_digest", "must be SHA-256");
  }
  if (baseline.records_root.empty() ? baseline.record_count != 0
                                    : baseline.records_root.size() != size ||
                                          baseline.record_count == 0) {
    return Malformed("records_root", "does not fit record_count");
  }
  if (baseline.regions.empty() && baseline.records_root.empty() &&
      baseline.code_hash.empty()) {
    return Malformed("regions", "nothing is demanded");
  }
  if (baseline.min_score > kMaxScore) {
    return Malformed("min_score", "is at most 100");
  }
  if (baseline.code_hash.size() > size ||
      baseline.kernel_release.size() > kMaxText ||
      baseline.kernel_build_id.size() > kMaxText ||
      baseline.run.size() > kMaxText || baseline.comment.size() > kMaxText) {
    return Malformed("comment", "or another text is too long");
  }
  return CheckRegions(baseline);
}

absl::Status Check(const Baseline& baseline) {
  if (!IsName(baseline.name)) {
    return Malformed("name", "must be [a-z0-9][a-z0-9._-]{0,62}");
  }
  if (baseline.revision == 0 || baseline.revision > uint64_t{INT64_MAX}) {
    return Malformed("revision", "is counted from 1");
  }
  if (baseline.header.not_before_unix_ms >= baseline.header.not_after_unix_ms) {
    return Malformed("header", "ends before it begins");
  }
  RETURN_IF_ERROR(CheckVms(baseline.vm_uuids));
  return CheckContent(baseline);
}

void SetHeader(const Header& header, v1::DocumentHeader& message) {
  message.set_version(kVersion);
  message.set_issued_unix_ms(header.issued_unix_ms);
  message.set_not_before_unix_ms(header.not_before_unix_ms);
  message.set_not_after_unix_ms(header.not_after_unix_ms);
  for (const std::string& algorithm : header.signature_algorithms) {
    message.add_signature_algorithms(algorithm);
  }
}

v1::BaselineDocument ToMessage(const Baseline& baseline) {
  v1::BaselineDocument message;
  SetHeader(baseline.header, *message.mutable_header());
  message.set_name(baseline.name);
  message.set_revision(baseline.revision);
  for (const std::string& uuid : baseline.vm_uuids) {
    message.add_vm_uuids(uuid);
  }
  message.set_policy_id(baseline.policy_id);
  message.set_policy_version(baseline.policy_version);
  message.set_policy_digest(ToField(baseline.policy_digest));
  message.set_algorithm(static_cast<v1::HashAlgorithm>(baseline.algorithm));
  message.set_page_bytes(baseline.page_bytes);
  for (const Region& region : baseline.regions) {
    v1::BaselineRegion& added = *message.add_regions();
    added.set_name(region.name);
    added.set_severity(region.severity);
    added.set_pages(region.pages);
    added.set_selection(ToField(region.selection));
    added.set_root(ToField(region.root));
  }
  message.set_pages_digest(ToField(baseline.pages_digest));
  message.set_records_root(ToField(baseline.records_root));
  message.set_record_count(baseline.record_count);
  message.set_code_hash(ToField(baseline.code_hash));
  message.set_kernel_release(baseline.kernel_release);
  message.set_kernel_build_id(ToField(baseline.kernel_build_id));
  for (const AcceptedFinding& finding : baseline.accepted) {
    v1::AcceptedFinding& added = *message.add_accepted();
    added.set_code(finding.code);
    added.set_element(finding.element);
  }
  message.set_min_score(baseline.min_score);
  message.set_run(baseline.run);
  v1::BaselineSource& source = *message.mutable_source();
  source.set_vm_uuid(baseline.source.vm_uuid);
  source.set_host_id(baseline.source.host_id);
  source.set_time_unix_ms(baseline.source.time_unix_ms);
  source.set_root(ToField(baseline.source.root));
  message.set_comment(baseline.comment);
  if (baseline.boot) {
    *message.mutable_boot() = wire::ToMessage(*baseline.boot);
  }
  return message;
}

void ReadWhatItIs(const v1::BaselineDocument& message, Baseline& baseline) {
  const v1::DocumentHeader& header = message.header();
  baseline.header = {header.issued_unix_ms(),
                     header.not_before_unix_ms(),
                     header.not_after_unix_ms(),
                     {header.signature_algorithms().begin(),
                      header.signature_algorithms().end()}};
  baseline.name = message.name();
  baseline.revision = message.revision();
  baseline.vm_uuids = {message.vm_uuids().begin(), message.vm_uuids().end()};
  baseline.source = {message.source().vm_uuid(), message.source().host_id(),
                     message.source().time_unix_ms(),
                     FromField(message.source().root())};
  baseline.comment = message.comment();
}

absl::StatusOr<Baseline> FromMessage(const v1::BaselineDocument& message) {
  Baseline baseline;
  ReadWhatItIs(message, baseline);
  const auto algorithm = wire::KnownAlgorithm(message.algorithm());
  if (message.header().version() != kVersion || !algorithm) {
    return Malformed("header.version", "or algorithm is unknown");
  }
  baseline.policy_id = message.policy_id();
  baseline.policy_version = message.policy_version();
  baseline.policy_digest = FromField(message.policy_digest());
  baseline.algorithm = *algorithm;
  baseline.page_bytes = message.page_bytes();
  for (const v1::BaselineRegion& region : message.regions()) {
    baseline.regions.push_back({region.name(), region.severity(),
                                region.pages(), FromField(region.selection()),
                                FromField(region.root())});
  }
  baseline.pages_digest = FromField(message.pages_digest());
  baseline.records_root = FromField(message.records_root());
  baseline.record_count = message.record_count();
  baseline.code_hash = FromField(message.code_hash());
  baseline.kernel_release = message.kernel_release();
  baseline.kernel_build_id = FromField(message.kernel_build_id());
  for (const v1::AcceptedFinding& finding : message.accepted()) {
    baseline.accepted.push_back({finding.code(), finding.element()});
  }
  baseline.min_score = message.min_score();
  baseline.run = message.run();
  if (message.has_boot()) {
    ASSIGN_OR_RETURN(baseline.boot, wire::FromMessage(message.boot(), "boot"));
  }
  return baseline;
}

}  // namespace

Bytes Encode(const Baseline& baseline) {
  return wire::Serialize(ToMessage(baseline));
}

absl::StatusOr<Baseline> Parse(ByteView payload) {
  v1::BaselineDocument message;
  RETURN_IF_ERROR(
      wire::ParseMessage(payload, kMaxPayload, "BaselineDocument", message));
  RETURN_IF_ERROR(wire::CheckCount(
      "regions", static_cast<size_t>(message.regions_size()), kMaxRegions));
  RETURN_IF_ERROR(wire::CheckCount(
      "accepted", static_cast<size_t>(message.accepted_size()), kMaxAccepted));
  ASSIGN_OR_RETURN(Baseline baseline, FromMessage(message));
  RETURN_IF_ERROR(
      wire::CheckCanonical(payload, Encode(baseline), "BaselineDocument"));
  RETURN_IF_ERROR(Check(baseline));
  return baseline;
}

}  // namespace vmattest::baseline
