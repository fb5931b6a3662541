#include "cli/appraisal_json.h"

#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace vmattest::cli {
namespace {

using nlohmann::ordered_json;

ordered_json ToJson(const TpmClock& clock) {
  return {{"clock_ms", clock.clock_ms},
          {"reset_count", clock.reset_count},
          {"restart_count", clock.restart_count},
          {"safe", clock.safe}};
}

ordered_json ToJson(const PcrValues& bank) {
  ordered_json values = ordered_json::object();
  for (const auto& [index, value] : bank.values) {
    values[std::to_string(index)] = ToHex(value);
  }
  return {{"bank", bank.bank}, {"values", values}};
}

ordered_json ToJson(const std::vector<verifier::SignatureClaim>& signatures) {
  ordered_json json = ordered_json::array();
  for (const verifier::SignatureClaim& signature : signatures) {
    json.push_back(
        {{"algorithm", signature.algorithm}, {"state", signature.state}});
  }
  return json;
}

ordered_json ToJson(const verifier::Claims& claims) {
  ordered_json json = {{"host_id", claims.host_id},
                       {"hostname", claims.hostname},
                       {"vm_uuid", claims.vm_uuid},
                       {"vm_name", claims.vm_name},
                       {"vm_state", claims.vm_state},
                       {"payload_type", claims.payload_type},
                       {"module_version", claims.module_version},
                       {"nonce", ToHex(claims.nonce)},
                       {"time_unix_ms", claims.time_unix_ms},
                       {"measured_at", ToJson(claims.measured_at)},
                       {"quoted_at", ToJson(claims.quoted_at)},
                       {"algorithm", ToString(claims.algorithm)},
                       {"root", ToHex(claims.root)},
                       {"leaf_count", claims.leaf_count},
                       {"content", claims.content},
                       {"xml_kind", claims.xml_kind},
                       {"cached", claims.cached_paths},
                       {"inside", claims.inside},
                       {"log_size", claims.log_size},
                       {"log_head", ToHex(claims.log_head)},
                       {"unmanaged_vms", claims.unmanaged_vms},
                       {"signatures", ToJson(claims.signatures)},
                       {"batch_size", claims.batch_size},
                       {"ak", claims.ak},
                       {"freshness", claims.freshness}};
  json["pcr_banks"] = ordered_json::array();
  for (const PcrValues& bank : claims.pcr_banks) {
    json["pcr_banks"].push_back(ToJson(bank));
  }
  return json;
}

ordered_json ToJson(const verifier::Appraisal& appraisal) {
  ordered_json reasons = ordered_json::array();
  for (const Reason& reason : appraisal.verdict.reasons) {
    reasons.push_back({{"code", reason.code},
                       {"element", reason.element},
                       {"expected", reason.expected},
                       {"found", reason.found}});
  }
  return {{"trusted", appraisal.verdict.trusted()},
          {"genuine", appraisal.genuine},
          {"reasons", std::move(reasons)},
          {"claims", ToJson(appraisal.claims)}};
}

std::string Dump(const ordered_json& json) {
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace

std::string AppraisalToJson(const verifier::Appraisal& appraisal) {
  return Dump(ToJson(appraisal));
}

std::string DecisionToJson(const appraisal::Decision& decision) {
  ordered_json json =
      ToJson({decision.verdict, decision.genuine, decision.claims});
  for (size_t i = 0; i < decision.fixes.size(); ++i) {
    json["reasons"][i]["fix"] = decision.fixes[i];
  }
  json["reference"] = decision.reference_name.empty()
                          ? ""
                          : decision.reference_name + "@" +
                                std::to_string(decision.reference_revision);
  json["mode"] = reference::ToString(decision.mode);
  return Dump(json);
}

std::string DisclosureToJson(const verifier::Appraisal& appraisal) {
  ordered_json json = ToJson(appraisal);
  ordered_json& leaves = json["claims"]["leaves"] = ordered_json::array();
  for (const ConfigLeaf& leaf : appraisal.claims.leaves) {
    leaves.push_back({{"path", leaf.path},
                      {"type", ToString(leaf.type)},
                      {"value", leaf.value}});
  }
  return Dump(json);
}

}  // namespace vmattest::cli
