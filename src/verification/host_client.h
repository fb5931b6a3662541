#ifndef VMATTEST_VERIFICATION_HOST_CLIENT_H_
#define VMATTEST_VERIFICATION_HOST_CLIENT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"

namespace vmattest::verification {

// Hosts that the verifier can ask. Callable from any thread; blocks until the
// deadline at most.
class HostClient {
 public:
  virtual ~HostClient() = default;
  // Host ids whose address is known.
  [[nodiscard]] virtual std::vector<std::string> hosts() const = 0;
  // A serialised Evidence about the VM, with this nonce. NOT_FOUND: no address
  // of that host is known, or it has no such VM. UNAVAILABLE,
  // DEADLINE_EXCEEDED: not reached in time. Else the host's own words.
  virtual absl::StatusOr<Bytes> Attest(const std::string& host_id,
                                       const std::string& vm_uuid,
                                       const Bytes& nonce,
                                       MonotonicTime deadline) = 0;
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_HOST_CLIENT_H_
