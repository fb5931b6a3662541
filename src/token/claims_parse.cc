#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/base64.h"
#include "base/strict_json.h"
#include "token/claim_names.h"
#include "token/claims.h"
#include "token/shown.h"

namespace vmattest::token {
namespace {

using nlohmann::json;

// Third parties put evidence of some depth into their extensions.
constexpr int kMaxDepth = 24;
constexpr uint64_t kEndOfTime = 253402300799;  // the last second of year 9999

enum class Need : uint8_t { kRequired, kOptional };

// Every Read*() is false if it found a problem, the first of which it keeps.
// Names that are asked for are known, others are nobody's business.
class ClaimsReader {
 public:
  bool Read(const json& claims, Ear* ear);
  std::optional<Reason> TakeProblem() { return std::move(problem_); }

 private:
  bool Refuse(const std::string& element, std::string_view expected,
              const json* found);
  std::string Path(const char* name) const { return where_ + name; }
  // Null if it is not there.
  static const json* Find(const json& object, const char* name);
  bool ReadText(const json& object, const char* name, Need need,
                std::string* text);
  bool ReadTime(const json& object, const char* name, Need need,
                std::optional<WallTime>* time);
  bool ReadVerifierId(const json& claims, Ear* ear);
  bool ReadNonce(const json& claims, Bytes* nonce);
  bool ReadBinding(const json& claims, Ear* ear);
  bool ReadSubmodules(const json& claims, Ear* ear);
  bool ReadSubmodule(const json& object, Submodule* submodule);
  bool ReadStatus(const json& object, Tier* status);
  bool ReadTrustVector(const json& object, Submodule* submodule);
  bool ReadReasons(const json& object, std::vector<Reason>* reasons);
  bool ReadFixes(const json& object, std::vector<std::string>* fixes);

  std::string where_;  // before the names that are being read
  std::optional<Reason> problem_;
};

bool ClaimsReader::Refuse(const std::string& element, std::string_view expected,
                          const json* found) {
  problem_ = Reason{.code = "token-claims",
                    .element = element,
                    .expected = std::string(expected),
                    .found = found == nullptr ? "nothing" : Shown(*found)};
  return false;
}

const json* ClaimsReader::Find(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

bool ClaimsReader::ReadText(const json& object, const char* name, Need need,
                            std::string* text) {
  const json* found = Find(object, name);
  if (found == nullptr && need == Need::kOptional) {
    return true;
  }
  if (found == nullptr || !found->is_string()) {
    return Refuse(Path(name), "text", found);
  }
  *text = found->get<std::string>();
  return true;
}

bool ClaimsReader::ReadTime(const json& object, const char* name, Need need,
                            std::optional<WallTime>* time) {
  const json* found = Find(object, name);
  if (found == nullptr && need == Need::kOptional) {
    return true;
  }
  if (found == nullptr || !found->is_number_unsigned() ||
      found->get<uint64_t>() > kEndOfTime) {
    return Refuse(Path(name), "whole seconds since 1970", found);
  }
  *time = WallTime(
      std::chrono::seconds(static_cast<int64_t>(found->get<uint64_t>())));
  return true;
}

bool ClaimsReader::ReadVerifierId(const json& claims, Ear* ear) {
  const json* id = Find(claims, kVerifierId);
  if (id == nullptr || !id->is_object()) {
    return Refuse(kVerifierId, "an object", id);
  }
  where_ = fmt::format("{}.", kVerifierId);
  const bool read =
      ReadText(*id, kDeveloper, Need::kRequired, &ear->developer) &&
      ReadText(*id, kBuild, Need::kRequired, &ear->build);
  where_.clear();
  return read;
}

bool ClaimsReader::ReadNonce(const json& claims, Bytes* nonce) {
  const json* found = Find(claims, kNonce);
  if (found == nullptr) {
    return true;
  }
  // EAT allows several in an array; what several mean is not ours to guess.
  const json& one =
      found->is_array() && found->size() == 1 ? found->front() : *found;
  if (!one.is_string()) {
    return Refuse(kNonce, "one text", found);
  }
  absl::StatusOr<Bytes> bytes =
      ParseBase64Url(one.get_ref<const std::string&>());
  if (!bytes.ok() || bytes->empty() || bytes->size() > kMaxNonceSize) {
    return Refuse(
        kNonce, fmt::format("base64url of 1 to {} bytes", kMaxNonceSize), &one);
  }
  *nonce = *std::move(bytes);
  return true;
}

bool ClaimsReader::ReadBinding(const json& claims, Ear* ear) {
  const json* binding = Find(claims, kBinding);
  if (binding == nullptr) {
    return true;
  }
  if (!binding->is_object()) {
    return Refuse(kBinding, "an object", binding);
  }
  for (const auto& [name, value] : binding->items()) {
    if (!value.is_string()) {
      return Refuse(fmt::format("{}.{}", kBinding, Shown(name)), "text",
                    &value);
    }
    ear->binding[name] = value.get<std::string>();
  }
  return true;
}

bool ClaimsReader::ReadStatus(const json& object, Tier* status) {
  static constexpr std::pair<Tier, uint64_t> kNumbers[] = {
      {Tier::kNone, 0},
      {Tier::kAffirming, 2},
      {Tier::kWarning, 32},
      {Tier::kContraindicated, 96}};
  const json* found = Find(object, kStatus);
  for (const auto& [tier, number] : kNumbers) {
    if (found != nullptr &&
        ((found->is_string() &&
          found->get_ref<const std::string&>() == ToString(tier)) ||
         (found->is_number_unsigned() && found->get<uint64_t>() == number))) {
      *status = tier;
      return true;
    }
  }
  return Refuse(Path(kStatus), "a tier", found);
}

std::optional<TrustClaim> ToTrustClaim(const json& value) {
  using Limits = std::numeric_limits<TrustClaim>;
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    return number <= static_cast<uint64_t>(Limits::max())
               ? std::optional(static_cast<TrustClaim>(number))
               : std::nullopt;
  }
  if (!value.is_number_integer() || value.get<int64_t>() < Limits::min()) {
    return std::nullopt;
  }
  return static_cast<TrustClaim>(value.get<int64_t>());
}

bool ClaimsReader::ReadTrustVector(const json& object, Submodule* submodule) {
  const json* vector = Find(object, kTrustVector);
  if (vector == nullptr) {
    return true;
  }
  if (!vector->is_object()) {
    return Refuse(Path(kTrustVector), "an object", vector);
  }
  for (const auto& [name, value] : vector->items()) {
    const std::optional<TrustClaim> claim = ToTrustClaim(value);
    if (!claim || std::find(kTrustClaims.begin(), kTrustClaims.end(), name) ==
                      kTrustClaims.end()) {
      return Refuse(fmt::format("{}.{}", Path(kTrustVector), Shown(name)),
                    "a claim of AR4SI, -128 to 127", &value);
    }
    submodule->trust_vector[name] = *claim;
  }
  const Tier worst = WorstOf(submodule->trust_vector);
  if (submodule->status != Tier::kNone && submodule->status < worst) {
    return Refuse(Path(kStatus), ToString(worst), Find(object, kStatus));
  }
  return true;
}

bool ClaimsReader::ReadReasons(const json& object,
                               std::vector<Reason>* reasons) {
  const json* found = Find(object, kReasons);
  if (found == nullptr) {
    return true;
  }
  if (!found->is_array()) {
    return Refuse(Path(kReasons), "an array", found);
  }
  for (const json& one : *found) {
    Reason reason;
    if (!one.is_object()) {
      return Refuse(Path(kReasons), "objects", &one);
    }
    if (!ReadText(one, kCode, Need::kRequired, &reason.code) ||
        !ReadText(one, kElement, Need::kOptional, &reason.element) ||
        !ReadText(one, kExpected, Need::kOptional, &reason.expected) ||
        !ReadText(one, kFound, Need::kOptional, &reason.found)) {
      return false;
    }
    reasons->push_back(std::move(reason));
  }
  return true;
}

bool ClaimsReader::ReadFixes(const json& object,
                             std::vector<std::string>* fixes) {
  const json* found = Find(object, kFixes);
  if (found == nullptr) {
    return true;
  }
  if (!found->is_array()) {
    return Refuse(Path(kFixes), "an array", found);
  }
  for (const json& fix : *found) {
    if (!fix.is_string()) {
      return Refuse(Path(kFixes), "texts", &fix);
    }
    fixes->push_back(fix.get<std::string>());
  }
  return true;
}

bool ClaimsReader::ReadSubmodule(const json& object, Submodule* submodule) {
  std::string root;
  if (!ReadStatus(object, &submodule->status) ||
      !ReadTrustVector(object, submodule) ||
      !ReadText(object, kPolicyId, Need::kOptional, &submodule->policy_id) ||
      !ReadText(object, kVmUuid, Need::kOptional, &submodule->vm_uuid) ||
      !ReadText(object, kHostId, Need::kOptional, &submodule->host_id) ||
      !ReadText(object, kConfigRoot, Need::kOptional, &root) ||
      !ReadText(object, kAk, Need::kOptional, &submodule->ak) ||
      !ReadReasons(object, &submodule->reasons) ||
      !ReadFixes(object, &submodule->fixes)) {
    return false;
  }
  absl::StatusOr<Bytes> bytes = ParseHex(root);
  if (!bytes.ok()) {
    return Refuse(Path(kConfigRoot), "hexadecimal", Find(object, kConfigRoot));
  }
  submodule->config_root = *std::move(bytes);
  return true;
}

bool ClaimsReader::ReadSubmodules(const json& claims, Ear* ear) {
  const json* submods = Find(claims, kSubmods);
  if (submods == nullptr || !submods->is_object() || submods->empty()) {
    return Refuse(kSubmods, "an object that is not empty", submods);
  }
  for (const auto& [name, object] : submods->items()) {
    where_ = fmt::format("{}.{}.", kSubmods, Shown(name));
    if (!object.is_object()) {
      return Refuse(where_, "an object", &object);
    }
    if (!ReadSubmodule(object, &ear->submodules[name])) {
      return false;
    }
  }
  where_.clear();
  return true;
}

bool ClaimsReader::Read(const json& claims, Ear* ear) {
  if (!claims.is_object()) {
    return Refuse("claims", "an object", &claims);
  }
  std::optional<WallTime> issued;
  if (!ReadText(claims, kEatProfile, Need::kRequired, &ear->profile) ||
      !ReadTime(claims, kIssuedAt, Need::kRequired, &issued) ||
      !ReadTime(claims, kNotBefore, Need::kOptional, &ear->not_before) ||
      !ReadTime(claims, kExpires, Need::kOptional, &ear->expires) ||
      !ReadVerifierId(claims, ear) || !ReadNonce(claims, &ear->nonce) ||
      !ReadText(claims, kTokenId, Need::kOptional, &ear->token_id) ||
      !ReadText(claims, kSignedWith, Need::kOptional, &ear->signed_with) ||
      !ReadSubmodules(claims, ear) || !ReadBinding(claims, ear)) {
    return false;
  }
  ear->issued = *issued;
  return true;
}

}  // namespace

ParsedClaims ParseClaims(std::string_view payload) {
  ParsedClaims result;
  const absl::StatusOr<json> claims = ParseStrictJson(payload, kMaxDepth);
  if (!claims.ok()) {
    result.problem =
        Reason{.code = "token-malformed",
               .element = "claims",
               .expected = "strict JSON",
               .found = Shown(std::string(claims.status().message()))};
    return result;
  }
  ClaimsReader reader;
  if (!reader.Read(*claims, &result.ear)) {
    result.problem = reader.TakeProblem();
    result.ear = {};
  }
  return result;
}

}  // namespace vmattest::token
