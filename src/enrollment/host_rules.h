#ifndef VMATTEST_ENROLLMENT_HOST_RULES_H_
#define VMATTEST_ENROLLMENT_HOST_RULES_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "evidence/host_identity.h"
#include "vmattest/types/verdict.h"

// What may become of a host's record: pure functions, which whoever stores
// hosts asks before each change, in the transaction that makes it. Callable
// from any thread.

namespace vmattest::enrollment {

enum class HostState : uint8_t { kEnrolled, kPending, kRevoked };
std::string_view ToString(HostState state);  // "enrolled", "pending"...
enum class EkTrust : uint8_t { kNone, kCertificate, kOperator, kOwn };
// "none", "certificate", "operator", "own"
std::string_view ToString(EkTrust trust);

struct KnownHost {
  evidence::HostIdentity identity;
  HostState state = HostState::kPending;
  EkTrust ek_trust = EkTrust::kNone;
  // URI SAN that enrolled it; only it updates it.
  std::string client;
};

// An identity whose AK was activated (Enroller::Complete).
struct ActivatedHost {
  evidence::HostIdentity identity;
  bool ek_certified = false;  // else it has no certificate at all
  std::string client;
};

// An operator's word that a host may come back with this AK (AllowRebind).
struct RebindPermission {
  Bytes ak_name;
  WallTime expires;
};

// What is known of the three things that must never be two hosts'; null: not
// known. `same_ek` is by EkFingerprint (ek_public.h), so that one key under
// other attributes is found.
struct KnownHosts {
  const KnownHost* same_host_id = nullptr;
  const KnownHost* same_ak = nullptr;
  const KnownHost* same_ek = nullptr;
};

// The record to store. ALREADY_EXISTS: the AK or the EK is another host's, or
// the host is known with another AK and `permission` does not name this one.
// PERMISSION_DENIED: it was enrolled by another client. FAILED_PRECONDITION: it
// is revoked, without permission; or as UpdateKeys. What an operator approved
// stays approved for the same AK alone; without a certificate and without
// approval a host is pending.
absl::StatusOr<KnownHost> DecideEnrollment(
    const ActivatedHost& host, const KnownHosts& known,
    const std::optional<RebindPermission>& permission, WallTime now);

// Keys only grow: what `known` has and `update` has not, stays, above all
// revocations. `verdict` is CheckIdentity's of the two together; unless it is
// trusted, `identity` must not be stored.
struct KeyUpdate {
  Verdict verdict;
  evidence::HostIdentity identity;
};
// PERMISSION_DENIED: another client's. FAILED_PRECONDITION: the host is not
// enrolled; or `update` has another EK, AK, EK certificate, log index or seal
// authority than is known: that takes enrolment. INVALID_ARGUMENT: a label
// that is another key's already, or a new key of an old epoch.
// RESOURCE_EXHAUSTED: more than an identity may hold (wire/codec.h); retired
// keys that the host lists no more make room first, oldest first.
absl::StatusOr<KeyUpdate> UpdateKeys(const KnownHost& known,
                                     const evidence::HostIdentity& update,
                                     std::string_view client);

// The host that the verifier itself is a part of: its own signer's word is
// enough, and makes a pending one enrolled. What an operator revoked stays as
// it is. Else as UpdateKeys while the AK is the same; another AK is another
// beginning. `known` null: not known. FAILED_PRECONDITION: the identity is none
// that could be believed; the message says why.
absl::StatusOr<KnownHost> DecideOwn(const KnownHost* known,
                                    const evidence::HostIdentity& identity);

// An operator approves a host without a certificate. FAILED_PRECONDITION: it
// is not pending, or has another AK than was compared.
absl::StatusOr<KnownHost> ApprovePending(KnownHost known, ByteView ak_name);

}  // namespace vmattest::enrollment

#endif  // VMATTEST_ENROLLMENT_HOST_RULES_H_
