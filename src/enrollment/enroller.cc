#include "enrollment/enroller.h"

#include <fmt/format.h>

#include <utility>

#include "crypto/digest.h"
#include "evidence/tpm_structures.h"
#include "wire/codec.h"

namespace vmattest::enrollment {
namespace {

constexpr size_t kIdSize = 32;
constexpr size_t kSecretSize = 32;

// Of both, in this order; a certificate that is not there is no refusal.
Verdict Judge(const evidence::HostIdentity& identity, const EkRoots& roots,
              WallTime now) {
  Verdict verdict = CheckIdentity(identity);
  if (verdict.trusted() && !identity.ek_certificate.empty()) {
    verdict = CheckEkCertificate(identity.ek_certificate, identity.ek_public,
                                 roots, now);
  }
  return verdict;
}

}  // namespace

Enroller::Enroller(const Current<EkRoots>& roots, const Clock& clock,
                   Options options)
    : roots_(roots), clock_(clock), options_(options) {}

absl::StatusOr<Enroller::Begun> Enroller::Begin(
    std::string_view client, const evidence::HostIdentity& identity) {
  Pending pending{.client = std::string(client),
                  .host_id = identity.host_id,
                  .identity = wire::EncodeHostIdentity(identity),
                  .proof = {},
                  .ek_certified = !identity.ek_certificate.empty(),
                  .expires = clock_.Monotonic() + options_.lifetime};
  RETURN_IF_ERROR(wire::ParseHostIdentity(pending.identity).status());
  {
    // Before the signatures, which cost more than a refusal.
    const MutexLock lock(mutex_);
    DropExpired();
    RETURN_IF_ERROR(CheckRoom(client, pending.identity.size()));
  }
  Begun begun;
  begun.verdict = Judge(identity, *roots_.Get(), clock_.Now());
  if (!begun.verdict.trusted()) {
    return begun;
  }
  ASSIGN_OR_RETURN(const Bytes ak_name, evidence::NameOf(identity.ak_public));
  ASSIGN_OR_RETURN(const SecretBytes secret, MakeSecret(kSecretSize));
  ASSIGN_OR_RETURN(begun.challenge.credential,
                   MakeCredential(identity.ek_public, ak_name, secret));
  pending.proof = EnrollmentProof(secret, pending.identity);
  begun.challenge.id = RandomBytes(kIdSize);
  begun.challenge.expires = clock_.Now() + options_.lifetime;
  RETURN_IF_ERROR(Keep(begun.challenge.id, std::move(pending)));
  return begun;
}

absl::StatusOr<ActivatedHost> Enroller::Complete(std::string_view client,
                                                 ByteView id, ByteView proof) {
  Pending pending;
  {
    const MutexLock lock(mutex_);
    DropExpired();
    const auto found = pending_.find(ToBytes(id));
    if (found == pending_.end() || found->second.client != client) {
      return absl::NotFoundError(
          "no such challenge: it expired, was used, or never was");
    }
    pending = found->second;
    Drop(found);
  }
  if (!ConstantTimeEqual(pending.proof, proof)) {
    return absl::PermissionDeniedError(fmt::format(
        "host {} did not prove that its TPM holds the AK", pending.host_id));
  }
  ASSIGN_OR_RETURN(evidence::HostIdentity identity,
                   wire::ParseHostIdentity(pending.identity));
  return ActivatedHost{.identity = std::move(identity),
                       .ek_certified = pending.ek_certified,
                       .client = std::move(pending.client)};
}

size_t Enroller::pending() const {
  const MutexLock lock(mutex_);
  return pending_.size();
}

absl::Status Enroller::CheckRoom(std::string_view client, size_t bytes) const {
  const auto own = of_client_.find(client);
  if (pending_.size() >= options_.max_pending ||
      bytes_ + bytes > options_.max_pending_bytes) {
    return absl::ResourceExhaustedError(
        fmt::format("{} challenges wait for their hosts", pending_.size()));
  }
  if (own != of_client_.end() &&
      own->second >= options_.max_pending_of_client) {
    return absl::ResourceExhaustedError(
        fmt::format("{} challenges wait for {}", own->second, client));
  }
  return absl::OkStatus();
}

absl::Status Enroller::Keep(const Bytes& id, Pending pending) {
  const MutexLock lock(mutex_);
  DropExpired();
  const std::pair<std::string, std::string> host(pending.client,
                                                 pending.host_id);
  if (const auto older = newest_.find(host); older != newest_.end()) {
    Drop(pending_.find(older->second));
  }
  RETURN_IF_ERROR(CheckRoom(pending.client, pending.identity.size()));
  bytes_ += pending.identity.size();
  ++of_client_[pending.client];
  newest_[host] = id;
  expiry_.emplace(pending.expires, id);
  pending_.emplace(id, std::move(pending));
  return absl::OkStatus();
}

void Enroller::DropExpired() {
  const MonotonicTime now = clock_.Monotonic();
  while (!expiry_.empty() && expiry_.begin()->first <= now) {
    Drop(pending_.find(expiry_.begin()->second));
  }
}

void Enroller::Drop(PendingMap::iterator challenge) {
  const Pending& pending = challenge->second;
  bytes_ -= pending.identity.size();
  if (const auto own = of_client_.find(pending.client); --own->second == 0) {
    of_client_.erase(own);
  }
  newest_.erase({pending.client, pending.host_id});
  for (auto [at, end] = expiry_.equal_range(pending.expires); at != end; ++at) {
    if (at->second == challenge->first) {
      expiry_.erase(at);
      break;
    }
  }
  pending_.erase(challenge);
}

}  // namespace vmattest::enrollment
