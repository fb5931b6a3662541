#include "daemon/own_host.h"

#include <utility>

#include "wire/codec.h"

namespace vmattest::daemon {

using verification::HostEntry;

absl::StatusOr<HostEntry> OwnHost::Get() {
  const std::optional<evidence::HostIdentity> identity = identity_();
  if (!identity) {
    return absl::UnavailableError("this host's identity is not known yet");
  }
  Bytes encoded = wire::EncodeHostIdentity(*identity);
  {
    const MutexLock lock(mutex_);
    if (encoded == admitted_) {
      auto known = hosts_.Get(identity->host_id);
      if (!absl::IsNotFound(known.status())) {
        return known;
      }
    }
  }
  ASSIGN_OR_RETURN(HostEntry host, hosts_.AdmitOwn(*identity));
  const MutexLock lock(mutex_);
  admitted_ = std::move(encoded);
  return host;
}

}  // namespace vmattest::daemon
