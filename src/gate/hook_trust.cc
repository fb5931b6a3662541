#include "gate/hook_trust.h"

#include "gate/protocol/messages.h"
#include "nlohmann/json.hpp"

namespace vmattest::gate {

std::string ToJson(const HookTrust& trust) {
  using nlohmann::json;
  json keys = json::array();
  for (const token::VerificationKey& key : trust.verifier_keys) {
    if (!key.algorithm().starts_with("ES")) {
      continue;  // the hook has no module for ML-DSA, and is sent ES256 alone
    }
    keys.push_back(json::parse(key.ToJwk(), nullptr, false));
  }
  json accept = json::array();
  for (const Basis basis : {Basis::kVerdict, Basis::kKeptVerdict, Basis::kWarn,
                            Basis::kLearn, Basis::kBreakGlass}) {
    accept.push_back(std::string(ToString(basis)));
  }
  json file = {{"format", "vmattest/hook/v1"},
               {"socket", trust.socket.string()},
               {"deadline_ms", trust.deadline.count()},
               {"when_unavailable", "deny"},
               {"gate_key", trust.gate_key_pem},
               {"verifier_keys", std::move(keys)},
               {"accept", std::move(accept)}};
  if (!trust.host_id.empty()) {
    file["host_id"] = trust.host_id;
  }
  return file.dump(2, ' ', true, json::error_handler_t::replace) + "\n";
}

bool IsOf(std::string_view file, HookTrust trust) {
  const nlohmann::json before = nlohmann::json::parse(file, nullptr, false);
  if (!before.is_object()) {
    return false;
  }
  const auto host = before.find("host_id");
  trust.host_id =
      host != before.end() && host->is_string() ? host->get<std::string>() : "";
  return file == ToJson(trust);
}

}  // namespace vmattest::gate
