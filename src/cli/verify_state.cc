#include "cli/verify_state.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/log.h"
#include "cli/appraisal_json.h"
#include "cli/snapshot_show.h"
#include "wire/codec.h"

namespace vmattest::cli {

bool IsStateEvidence(ByteView file) {
  const auto evidence = wire::ParseEvidence(file);
  return evidence.ok() &&
         evidence->envelope.payload_type == evidence::kStatePayloadType;
}

absl::StatusOr<verifier::StateAppraisal> AppraiseState(
    const VerifyArgs& args, const verifier::Policy& policy, ByteView file,
    const verifier::Anchors& anchors) {
  verifier::StatePolicy state;
  state.evidence = policy;
  state.refuse_unavailable = args.refuse_unavailable;
  state.min_consistency = args.min_consistency;
  state.refuse_findings = args.refuse_findings;
  if (args.kernel_build_id) {
    ASSIGN_OR_RETURN_WITH(state.kernel_build_id,
                          ParseHex(*args.kernel_build_id), "--kernel-build-id");
  }
  if (args.code_hash) {
    ASSIGN_OR_RETURN_WITH(state.code_hash, ParseHex(*args.code_hash),
                          "--code-hash");
  }
  for (const std::string& subset : args.subsets) {
    const size_t equals = subset.find('=');
    DigestBytes digest;
    if (equals != std::string::npos) {
      ASSIGN_OR_RETURN_WITH(digest, ParseHex(subset.substr(equals + 1)),
                            "--subset");
    }
    if (!state.approved_subsets) {
      state.approved_subsets.emplace();
    }
    state.approved_subsets->emplace(subset.substr(0, equals),
                                    std::move(digest));
  }
  return verifier::VerifyState(file, anchors, state, SystemClock().Now());
}

void PrintState(const verifier::StateClaims& claims, std::ostream& out) {
  const auto line = [&](std::string_view label, const std::string& text) {
    out << fmt::format("{:<12}{}\n", label, text);
  };
  line("subset", fmt::format("{} sha256:{}", log::Quote(claims.subset),
                             ToHex(claims.policy_digest)));
  line("consistency",
       fmt::format("{}, asked for {}, pause {} us",
                   log::Quote(claims.consistency),
                   log::Quote(claims.consistency_requested), claims.pause_us));
  line("read by", fmt::format("{}; map: {}", log::Quote(claims.reader),
                              log::Quote(claims.map_proof)));
  std::vector<evidence::StateFinding> findings;
  for (const verifier::StateFindingClaim& finding : claims.findings) {
    findings.push_back({finding.code, finding.severity, finding.element,
                        finding.expected, finding.found});
  }
  PrintFindings(claims.semantics, claims.kernel_release, findings, out);
  line("build id", ToHex(claims.kernel_build_id));
  line("code hash", fmt::format("{} ({})", ToHex(claims.code_hash),
                                log::Quote(claims.code_hash_state)));
  line("cpu state", log::Quote(claims.cpu_state));
  for (const verifier::StateRegionClaim& region : claims.regions) {
    line("region",
         region.unavailable.empty()
             ? fmt::format("{} ({}) {}, {} pages, {} unreadable, {} torn",
                           log::Quote(region.name), log::Quote(region.severity),
                           ToHex(region.root), region.pages,
                           region.unreadable_pages, region.torn_pages)
             : fmt::format("{} ({}) unavailable: {}", log::Quote(region.name),
                           log::Quote(region.severity),
                           log::Quote(region.unavailable)));
  }
  for (const std::string& note : claims.notes) {
    line("note", log::Quote(note));
  }
}

std::string StateToJson(const verifier::StateAppraisal& appraisal) {
  nlohmann::ordered_json json = nlohmann::ordered_json::parse(AppraisalToJson(
      {appraisal.verdict, appraisal.genuine, appraisal.claims}));
  const verifier::StateClaims& claims = appraisal.state;
  nlohmann::ordered_json regions = nlohmann::ordered_json::array();
  for (const verifier::StateRegionClaim& region : claims.regions) {
    regions.push_back({{"name", region.name},
                       {"severity", region.severity},
                       {"bytes", region.bytes},
                       {"pages", region.pages},
                       {"unreadable_pages", region.unreadable_pages},
                       {"torn_pages", region.torn_pages},
                       {"root", ToHex(region.root)},
                       {"unavailable", region.unavailable}});
  }
  nlohmann::ordered_json findings = nlohmann::ordered_json::array();
  for (const verifier::StateFindingClaim& finding : claims.findings) {
    findings.push_back({{"code", finding.code},
                        {"severity", finding.severity},
                        {"element", finding.element},
                        {"expected", finding.expected},
                        {"found", finding.found}});
  }
  json["state"] = {{"subset", claims.subset},
                   {"policy_digest", ToHex(claims.policy_digest)},
                   {"cause", claims.cause},
                   {"consistency_requested", claims.consistency_requested},
                   {"consistency", claims.consistency},
                   {"pause_us", claims.pause_us},
                   {"reader", claims.reader},
                   {"map_proof", claims.map_proof},
                   {"page_bytes", claims.page_bytes},
                   {"regions", std::move(regions)},
                   {"code_hash", ToHex(claims.code_hash)},
                   {"code_hash_state", claims.code_hash_state},
                   {"notes", claims.notes},
                   {"semantics", claims.semantics},
                   {"kernel_release", claims.kernel_release},
                   {"kernel_build_id", ToHex(claims.kernel_build_id)},
                   {"findings", std::move(findings)},
                   {"records_root", ToHex(claims.records_root)},
                   {"record_count", claims.record_count},
                   {"cpu_state", claims.cpu_state}};
  return json.dump(2, ' ', false,
                   nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace vmattest::cli
