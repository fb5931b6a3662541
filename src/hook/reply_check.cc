#include "hook/reply_check.h"

#include <utility>

#include "crypto/ecdsa.h"
#include "gate/protocol/save_image_header.h"
#include "gate/protocol/verdict_token.h"

namespace vmattest::hook {
namespace {

using gate::Basis;

Verdict Fail(std::string code, std::string element, std::string expected,
             std::string found) {
  Verdict verdict;
  verdict.reasons.push_back({std::move(code), std::move(element),
                             std::move(expected), std::move(found)});
  return verdict;
}

Verdict Pass() {
  return {.outcome = Verdict::Outcome::kTrusted, .reasons = {}};
}

Verdict CheckVerdict(const gate::GateCall& call, const gate::GateReply& reply,
                     const HookConfig& config, WallTime now) {
  gate::TokenDemands demands{.vm_uuid = reply.vm_uuid,
                             .host_id = config.host_id,
                             .nonce = std::nullopt,
                             .now = now};
  if (reply.basis == Basis::kVerdict) {
    demands.nonce = call.nonce;
  }
  return gate::CheckVerdictToken(reply.ear, config.verifier_keys, demands)
      .verdict;
}

}  // namespace

std::string UuidOf(std::string_view xml) { return gate::FirstUuid(xml); }

Verdict CheckReply(const gate::GateCall& call, const gate::GateReply& reply,
                   const HookConfig& config, WallTime now) {
  if (!VerifyEcdsa(config.gate_key, gate::ReplyDigest(call, reply),
                   reply.signature_r, reply.signature_s)) {
    return Fail("reply-signature", "reply", "the daemon's gate key", "");
  }
  if (!reply.allowed) {
    return Pass();
  }
  const std::string basis(gate::ToString(reply.basis));
  const bool deferred_elsewhere =
      reply.basis == Basis::kDeferred && call.operation != "prepare" &&
      call.operation != "restore" && call.operation != "migrate";
  const bool told_of_gated =
      reply.basis == Basis::kNotGated && gate::IsGated(call.operation);
  if (deferred_elsewhere || told_of_gated ||
      !config.accept.contains(reply.basis)) {
    return Fail("reply-basis", call.operation, "accepted by hook.json", basis);
  }
  if (reply.basis == Basis::kNotGated) {
    return Pass();
  }
  const std::string uuid = UuidOf(call.xml);
  if (uuid.empty() || reply.vm_uuid != uuid) {
    return Fail("reply-vm", "vm_uuid", uuid, reply.vm_uuid);
  }
  const bool by_verdict =
      reply.basis == Basis::kVerdict || reply.basis == Basis::kKeptVerdict;
  return by_verdict ? CheckVerdict(call, reply, config, now) : Pass();
}

}  // namespace vmattest::hook
