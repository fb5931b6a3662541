#ifndef VMATTEST_DAEMON_OWN_HOST_H_
#define VMATTEST_DAEMON_OWN_HOST_H_

#include <functional>
#include <optional>

#include "base/mutex.h"
#include "evidence/host_identity.h"
#include "verification/host_registry.h"

namespace vmattest::daemon {

// This host among those of the verifier in its own process: admitted by its own
// signer's word, until an operator revokes it. Callable from any thread; blocks
// on the store.
class OwnHost {
 public:
  using Identity = std::function<std::optional<evidence::HostIdentity>()>;
  OwnHost(verification::HostRegistry& hosts, Identity identity)
      : hosts_(hosts), identity_(std::move(identity)) {}
  OwnHost(const OwnHost&) = delete;
  OwnHost& operator=(const OwnHost&) = delete;

  // UNAVAILABLE: the host's identity is not known yet. Else the store's.
  absl::StatusOr<verification::HostEntry> Get() EXCLUDES_LOCK(mutex_);

 private:
  verification::HostRegistry& hosts_;
  const Identity identity_;
  Mutex mutex_;
  // The identity that was admitted last: checking one takes a while.
  Bytes admitted_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_OWN_HOST_H_
