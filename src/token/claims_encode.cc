#include <algorithm>
#include <chrono>

#include "base/base64.h"
#include "base/strict_json.h"
#include "token/claim_names.h"
#include "token/claims.h"

namespace vmattest::token {
namespace {

using nlohmann::json;
using std::chrono::seconds;

int64_t SecondsDown(WallTime time) {
  return std::chrono::floor<seconds>(time).time_since_epoch().count();
}

int64_t SecondsUp(WallTime time) {
  return std::chrono::ceil<seconds>(time).time_since_epoch().count();
}

void PutText(json& object, const char* name, const std::string& text) {
  if (!text.empty()) {
    object[name] = text;
  }
}

json Encode(const Reason& reason) {
  json object = json::object();
  object[kCode] = reason.code;
  PutText(object, kElement, reason.element);
  PutText(object, kExpected, reason.expected);
  PutText(object, kFound, reason.found);
  return object;
}

Tier HonestStatus(const Submodule& submodule) {
  return submodule.status == Tier::kNone
             ? Tier::kNone
             : std::max(submodule.status, WorstOf(submodule.trust_vector));
}

json Encode(const Submodule& submodule) {
  json object = json::object();
  object[kStatus] = ToString(HonestStatus(submodule));
  for (const auto& [name, claim] : submodule.trust_vector) {
    object[kTrustVector][name] = claim;
  }
  PutText(object, kPolicyId, submodule.policy_id);
  PutText(object, kVmUuid, submodule.vm_uuid);
  PutText(object, kHostId, submodule.host_id);
  PutText(object, kConfigRoot, ToHex(submodule.config_root));
  PutText(object, kAk, submodule.ak);
  for (const Reason& reason : submodule.reasons) {
    object[kReasons].push_back(Encode(reason));
  }
  if (!submodule.fixes.empty()) {
    object[kFixes] = submodule.fixes;
  }
  return object;
}

}  // namespace

std::string EncodeClaims(const Ear& ear) {
  json claims = json::object();
  claims[kEatProfile] = ear.profile;
  claims[kVerifierId] = {{kDeveloper, ear.developer}, {kBuild, ear.build}};
  claims[kIssuedAt] = SecondsDown(ear.issued);
  if (ear.not_before) {
    claims[kNotBefore] = SecondsUp(*ear.not_before);
  }
  if (ear.expires) {
    claims[kExpires] = SecondsDown(*ear.expires);
  }
  if (!ear.nonce.empty()) {
    claims[kNonce] = ToBase64Url(ear.nonce);
  }
  PutText(claims, kTokenId, ear.token_id);
  PutText(claims, kSignedWith, ear.signed_with);
  claims[kSubmods] = json::object();
  for (const auto& [name, submodule] : ear.submodules) {
    claims[kSubmods][name] = Encode(submodule);
  }
  if (!ear.binding.empty()) {
    claims[kBinding] = ear.binding;
  }
  return CanonicalJson(claims);
}

}  // namespace vmattest::token
