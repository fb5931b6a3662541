#include "verification/host_anchors.h"

#include "wire/codec.h"

namespace vmattest::verification {
namespace {

Reason Refusal(const char* code, const std::string& host_id,
               std::string found) {
  return {code, host_id, "an enrolled host", std::move(found)};
}

}  // namespace

absl::StatusOr<HostAnchors::Found> HostAnchors::Find(
    const std::string& host_id) {
  ASSIGN_OR_RETURN(const std::optional<HostEntry> host,
                   store_.FindHost(host_id));
  if (!host) {
    return Found{nullptr, Refusal("host-unknown", host_id, "not enrolled")};
  }
  if (host->state == HostEntry::State::kPending) {
    return Found{nullptr, Refusal("host-pending", host_id,
                                  "waits for an operator's approval")};
  }
  if (host->state == HostEntry::State::kRevoked) {
    return Found{nullptr,
                 Refusal("host-revoked", host_id, host->revocation_reason)};
  }
  const Key key(host_id, host->revision);
  {
    const MutexLock lock(mutex_);
    if (auto kept = kept_.Find(key)) {
      return Found{*std::move(kept), {}};
    }
  }
  ASSIGN_OR_RETURN(const evidence::HostIdentity identity,
                   wire::ParseHostIdentity(host->identity));
  auto anchors = std::make_shared<verifier::Anchors>();
  RETURN_IF_ERROR(anchors->Add(wire::HostIdentityToJson(identity)));
  const MutexLock lock(mutex_);
  kept_.Put(key, anchors);
  return Found{anchors, {}};
}

}  // namespace vmattest::verification
