#ifndef VMATTEST_GATE_LAUNCH_VERIFIER_H_
#define VMATTEST_GATE_LAUNCH_VERIFIER_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"

namespace vmattest::gate {

// The verifier, as the gate needs it: embedded in this process, or another
// machine's over gRPC. Callable from any thread.
//   UNAVAILABLE, DEADLINE_EXCEEDED: not reached in time. Else its own words.
class LaunchVerifier {
 public:
  virtual ~LaunchVerifier() = default;

  struct Request {
    Bytes evidence;
    Bytes nonce;
    std::string vm_uuid;
  };
  // The result's JWT (ES256): the caller checks signature and nonce itself.
  // Blocks until the deadline at most.
  virtual absl::StatusOr<std::string> Appraise(const Request& request,
                                               MonotonicTime deadline) = 0;

  // The signed documents that concern this host, whole, newest revisions.
  struct HostPolicy {
    std::vector<Bytes> references;   // v1.SignedDocument
    std::vector<Bytes> break_glass;  // the same, orders that have not run out
    Bytes host_record;
    uint64_t revocation_epoch = 0;
    bool revoked = false;  // this host; then there are no documents
  };
  // `vm_uuids`: VMs that this host may have to start, beside those that it
  // sent evidence about.
  virtual absl::StatusOr<HostPolicy> GetHostPolicy(
      const std::vector<std::string>& vm_uuids, MonotonicTime deadline) = 0;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_LAUNCH_VERIFIER_H_
