#ifndef VMATTEST_ENROLLMENT_ENROLLER_H_
#define VMATTEST_ENROLLMENT_ENROLLER_H_

#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/current.h"
#include "base/mutex.h"
#include "enrollment/credential.h"
#include "enrollment/ek_certificate.h"
#include "enrollment/host_rules.h"

namespace vmattest::enrollment {

// The two steps of enrolment on the verifier's side (docs/formats/
// enrollment.md). Keeps the challenges that wait, in memory alone, and nothing
// else: a host that is not answered begins again. Callable from any thread;
// the checks run outside its lock.
class Enroller {
 public:
  struct Options {
    size_t max_pending = 4096;
    // Of one client, so that none keeps the others out.
    size_t max_pending_of_client = 512;
    size_t max_pending_bytes = 64u << 20;  // of identities
    std::chrono::milliseconds lifetime = std::chrono::minutes(2);
  };
  struct Challenge {
    Bytes id;  // 32 random bytes
    Credential credential;
    WallTime expires;
  };
  struct Begun {
    Verdict verdict;      // of the identity, then of the EK's certificate
    Challenge challenge;  // only if trusted
  };

  // `roots` and `clock` must outlive it.
  Enroller(const Current<EkRoots>& roots, const Clock& clock, Options options);
  Enroller(const Current<EkRoots>& roots, const Clock& clock)
      : Enroller(roots, clock, Options()) {}
  Enroller(const Enroller&) = delete;
  Enroller& operator=(const Enroller&) = delete;

  // `client`: the URI SAN of the caller. A certificate that is there must be
  // good; without one the host may only become pending. A newer challenge of
  // the same client for the same host id takes the older one's place.
  // RESOURCE_EXHAUSTED: too many wait. INVALID_ARGUMENT: larger than an
  // identity may be.
  absl::StatusOr<Begun> Begin(std::string_view client,
                              const evidence::HostIdentity& identity)
      EXCLUDES_LOCK(mutex_);

  // The identity is that of Begin(), whole, whose AK was activated: nothing of
  // it comes from this call. Whatever `proof` is, the challenge is used up.
  // NOT_FOUND: no such challenge of this client, or not any more.
  // PERMISSION_DENIED: not the proof.
  absl::StatusOr<ActivatedHost> Complete(std::string_view client, ByteView id,
                                         ByteView proof) EXCLUDES_LOCK(mutex_);

  [[nodiscard]] size_t pending() const EXCLUDES_LOCK(mutex_);

 private:
  struct Pending {
    std::string client;
    std::string host_id;
    Bytes identity;  // canonical
    Bytes proof;     // that will be right
    bool ek_certified = false;
    MonotonicTime expires;
  };
  using PendingMap = std::map<Bytes, Pending>;

  absl::Status CheckRoom(std::string_view client, size_t bytes) const
      REQUIRES_LOCK(mutex_);
  void DropExpired() REQUIRES_LOCK(mutex_);
  void Drop(PendingMap::iterator challenge) REQUIRES_LOCK(mutex_);
  absl::Status Keep(const Bytes& id, Pending pending) EXCLUDES_LOCK(mutex_);

  const Current<EkRoots>& roots_;
  const Clock& clock_;
  const Options options_;
  mutable Mutex mutex_;
  PendingMap pending_ GUARDED_BY(mutex_);
  std::map<std::string, size_t, std::less<>> of_client_ GUARDED_BY(mutex_);
  // By client and host id, and in the order in which they expire.
  std::map<std::pair<std::string, std::string>, Bytes> newest_
      GUARDED_BY(mutex_);
  std::multimap<MonotonicTime, Bytes> expiry_ GUARDED_BY(mutex_);
  size_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::enrollment

#endif  // VMATTEST_ENROLLMENT_ENROLLER_H_
