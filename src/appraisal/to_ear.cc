#include <fmt/format.h>

#include <algorithm>

#include "appraisal/appraise.h"
#include "appraisal/demands.h"
#include "reference/reason_codes.h"
#include "verifier/reason_codes.h"

namespace vmattest::appraisal {
namespace {

namespace ours = reference::reason;
namespace theirs = verifier::reason;
using token::TrustClaim;

// draft-ietf-rats-ar4si, section 2.3.4; docs/appraisal.md says why which.
constexpr TrustClaim kAffirmed = 2;
constexpr TrustClaim kApprovedAtBoot = 3;
constexpr TrustClaim kFilesUnrecognized = 32;
constexpr TrustClaim kExecutablesUnrecognized = 33;
constexpr TrustClaim kConfigUnavailable = 36;
constexpr TrustClaim kContraindicated = 96;
constexpr TrustClaim kNotRecognized = 97;
constexpr TrustClaim kNotGenuine = 99;

constexpr std::string_view kNoContent = "none";
constexpr size_t kMaxReasonsSize = 64u << 10;  // of a submodule, as JSON

bool HasCode(const Decision& decision, std::string_view code) {
  const std::vector<Reason>& reasons = decision.verdict.reasons;
  return std::any_of(reasons.begin(), reasons.end(),
                     [code](const Reason& r) { return r.code == code; });
}

bool NamesPath(const Decision& decision, std::string_view part) {
  const std::vector<Reason>& reasons = decision.verdict.reasons;
  return std::any_of(reasons.begin(), reasons.end(), [part](const Reason& r) {
    return r.element.find(part) != std::string::npos;
  });
}

bool HasOnly(const Decision& decision,
             std::initializer_list<std::string_view> codes) {
  const std::vector<Reason>& reasons = decision.verdict.reasons;
  return std::all_of(reasons.begin(), reasons.end(), [&codes](const Reason& r) {
    return IsAboutHost(r) ||
           std::find(codes.begin(), codes.end(), r.code) != codes.end();
  });
}

TrustClaim InstanceIdentity(const Decision& decision) {
  if (decision.genuine) {
    return kAffirmed;
  }
  if (HasCode(decision, theirs::kHostUnknown)) {
    return kNotRecognized;
  }
  return HasCode(decision, theirs::kKeyRevoked) ? kContraindicated
                                                : kNotGenuine;
}

TrustClaim Configuration(const Decision& decision) {
  if (!decision.genuine) {
    return kNotGenuine;
  }
  if (HasOnly(decision, {})) {
    return kAffirmed;
  }
  // Nobody said what it should be, or it cannot be seen as was demanded.
  return HasOnly(decision,
                 {ours::kNone, ours::kNeedsLeaves, ours::kLeafUnavailable,
                  theirs::kContentCached, theirs::kVmMismatch,
                  theirs::kPayloadTypeUnexpected})
             ? kConfigUnavailable
             : kContraindicated;
}

// What was compared with a reference, and only where content was measured.
bool WasCompared(const Decision& decision) {
  return decision.genuine && !decision.reference_name.empty() &&
         !HasCode(decision, ours::kNeedsLeaves) &&
         !HasCode(decision, ours::kAlgorithm) &&
         !HasCode(decision, ours::kContent) &&
         !HasCode(decision, ours::kInside);
}

void SetContentClaims(const Decision& decision, token::Submodule& config) {
  if (!WasCompared(decision)) {
    return;
  }
  // Without the leaves a root that is not listed may differ anywhere.
  const bool somewhere =
      HasCode(decision, ours::kRoot) && HasOnly(decision, {ours::kRoot});
  if (decision.claims.content != kNoContent) {
    const bool differs = somewhere || NamesPath(decision, "/content") ||
                         NamesPath(decision, "/chain");
    config.trust_vector["executables"] =
        differs ? kExecutablesUnrecognized : kApprovedAtBoot;
  }
  if (decision.claims.inside != kNoContent) {
    const bool differs = somewhere || NamesPath(decision, "/inside");
    config.trust_vector["file-system"] =
        differs ? kFilesUnrecognized : kAffirmed;
  }
}

std::string Cut(const std::string& text) {
  if (text.size() <= kMaxEarText) {
    return text;
  }
  size_t end = kMaxEarText;
  // Not within a character of UTF-8.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) {
    --end;
  }
  return text.substr(0, end) + "...";
}

// At most what the text takes in JSON.
size_t JsonSize(std::string_view text) {
  size_t size = 2;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    size += byte < 0x20 ? 6 : byte >= 0x80 ? 3 : c == '"' || c == '\\' ? 2 : 1;
  }
  return size;
}

void SetReasons(const Decision& decision, bool host_only,
                token::Submodule& submodule) {
  size_t left_out = 0;
  size_t size = 0;
  for (size_t i = 0; i < decision.verdict.reasons.size(); ++i) {
    const Reason& reason = decision.verdict.reasons[i];
    if (host_only && decision.genuine && !IsAboutHost(reason)) {
      continue;
    }
    Reason cut{reason.code, Cut(reason.element), Cut(reason.expected),
               Cut(reason.found)};
    std::string fix = Cut(decision.fixes[i]);
    size += JsonSize(cut.element) + JsonSize(cut.expected) +
            JsonSize(cut.found) + JsonSize(fix);
    if (left_out > 0 || submodule.reasons.size() == kMaxEarReasons ||
        size > kMaxReasonsSize) {
      ++left_out;
      continue;
    }
    submodule.reasons.push_back(std::move(cut));
    submodule.fixes.push_back(std::move(fix));
  }
  if (left_out > 0) {
    submodule.reasons.push_back({std::string(ours::kMore), "reasons", "",
                                 fmt::format("{} more", left_out)});
    submodule.fixes.emplace_back();
  }
}

std::string ReferenceId(const Decision& decision) {
  return decision.reference_name.empty()
             ? ""
             : fmt::format("{}@{}", decision.reference_name,
                           decision.reference_revision);
}

token::Submodule ConfigModule(const Decision& decision) {
  token::Submodule config;
  config.trust_vector["configuration"] = Configuration(decision);
  SetContentClaims(decision, config);
  config.policy_id = ReferenceId(decision);
  config.vm_uuid = decision.claims.vm_uuid;
  config.host_id = decision.claims.host_id;
  config.config_root = decision.claims.root;
  SetReasons(decision, /*host_only=*/false, config);
  // Whatever the vector says, a refusal is one.
  config.status = decision.verdict.trusted()
                      ? token::WorstOf(config.trust_vector)
                      : token::Tier::kContraindicated;
  return config;
}

token::Submodule HostModule(const Decision& decision) {
  token::Submodule host;
  host.trust_vector["instance-identity"] = InstanceIdentity(decision);
  if (decision.genuine && decision.pcrs_demanded) {
    host.trust_vector["hardware"] =
        HasCode(decision, theirs::kPcrNotAllowed) ? kNotRecognized : kAffirmed;
  }
  host.policy_id = ReferenceId(decision);
  host.host_id = decision.claims.host_id;
  host.ak = decision.claims.ak;
  SetReasons(decision, /*host_only=*/true, host);
  host.status = host.reasons.empty() ? token::WorstOf(host.trust_vector)
                                     : token::Tier::kContraindicated;
  return host;
}

}  // namespace

token::Ear ToEar(const Decision& decision, const Request& request,
                 WallTime now) {
  token::Ear ear;
  ear.profile = token::kProfile;
  ear.issued = now;
  ear.expires = decision.expires;
  if (request.nonce) {
    ear.nonce = *request.nonce;
  }
  ear.submodules["config"] = ConfigModule(decision);
  ear.submodules["host"] = HostModule(decision);
  if (decision.genuine) {
    const verifier::Claims& claims = decision.claims;
    ear.binding = {
        {"vm", claims.vm_uuid},
        {"host", claims.host_id},
        {"root", ToHex(claims.root)},
        {"ak", ToHex(claims.ak_name)},
        {"reset_count", std::to_string(claims.quoted_at.reset_count)},
        {"reference", ReferenceId(decision)},
        {"mode", std::string(reference::ToString(decision.mode))},
        {"policy", std::string(kPolicy)}};
  }
  return ear;
}

}  // namespace vmattest::appraisal
