#ifndef VMATTEST_VERIFICATION_HOST_REGISTRY_H_
#define VMATTEST_VERIFICATION_HOST_REGISTRY_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "document/document.h"
#include "enrollment/enroller.h"
#include "verification/decision_log.h"
#include "verification/verifier_store.h"

namespace vmattest::verification {

// Which hosts are known, and by whose word. `client` is the URI SAN of the
// caller's certificate: one client has one host. Callable from any thread;
// blocks on the store.
class HostRegistry {
 public:
  struct Parts {
    VerifierStore& store;
    DecisionLog& log;
    const Current<enrollment::EkRoots>& ek_roots;
    const document::PrivateKey& authority;
    const Clock& clock;
  };
  explicit HostRegistry(const Parts& parts,
                        enrollment::Enroller::Options options = {});

  // `identity`: wire::EncodeHostIdentity. The verdict is the identity's, then
  // the certificate's; a challenge only if trusted. INVALID_ARGUMENT: no such
  // identity. ALREADY_EXISTS: as Complete, known before. RESOURCE_EXHAUSTED:
  // too many challenges wait.
  absl::StatusOr<enrollment::Enroller::Begun> Begin(const std::string& client,
                                                    ByteView identity);
  // NOT_FOUND: no such challenge any more. PERMISSION_DENIED: not the proof, or
  // another client's host. ALREADY_EXISTS: known with another AK, and no
  // permit; or the client has another host; or a key is another host's.
  // FAILED_PRECONDITION: revoked, and no permit.
  absl::StatusOr<HostEntry> Complete(const std::string& client, ByteView id,
                                     ByteView proof);
  // The host that this verifier is a part of, by its own signer's word
  // (enrollment::DecideOwn); it has no client until it enrols as one, too.
  // Writes nothing if nothing changed. FAILED_PRECONDITION: as DecideOwn.
  absl::StatusOr<HostEntry> AdmitOwn(const evidence::HostIdentity& identity);
  // New keys of the client's own host. NOT_FOUND: it has none. Else as
  // enrollment::UpdateKeys.
  struct Updated {
    Verdict verdict;
    HostEntry host;  // only if trusted
  };
  absl::StatusOr<Updated> UpdateKeys(const std::string& client,
                                     ByteView identity);

  absl::StatusOr<std::vector<HostEntry>> List(const std::string& after,
                                              size_t limit);
  absl::StatusOr<HostEntry> Get(const std::string& host_id);
  // Of a client that is a host: NOT_FOUND, FAILED_PRECONDITION (not enrolled,
  // or revoked).
  absl::StatusOr<HostEntry> EnrolledHostOf(const std::string& client);
  // The same of a client whose host was revoked, too.
  absl::StatusOr<HostEntry> DecidedHostOf(const std::string& client);
  // The authority's word, renewed if it is about to run out.
  absl::StatusOr<Bytes> RecordOf(const HostEntry& host);

  // FAILED_PRECONDITION: not pending, or another AK than was compared.
  absl::StatusOr<HostEntry> Approve(const std::string& host_id,
                                    ByteView ak_name);
  // INVALID_ARGUMENT: not in the future, or more than 30 days away.
  absl::Status AllowRebind(const std::string& host_id, ByteView ak_name,
                           WallTime expires);
  // Idempotent; the first reason stays.
  absl::StatusOr<HostEntry> Revoke(const std::string& host_id,
                                   const std::string& reason);

  [[nodiscard]] size_t pending_challenges() const {
    return enroller_.pending();
  }

 private:
  // Makes `host`'s next revision from the one before, signs it and stores it;
  // again if it changed meanwhile. `why` names the event; empty: none.
  using Change = std::function<absl::StatusOr<HostEntry>(
      const std::optional<HostEntry>& before, bool& spend_permit)>;
  absl::StatusOr<HostEntry> Write(const std::string& host_id,
                                  const std::string& why, const Change& change);
  absl::StatusOr<HostEntry> Decide(const enrollment::ActivatedHost& host,
                                   const std::optional<HostEntry>& before,
                                   bool& spend_permit);

  const Parts parts_;
  enrollment::Enroller enroller_;
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_HOST_REGISTRY_H_
