#ifndef VMATTEST_ATTESTOR_ATTESTOR_H_
#define VMATTEST_ATTESTOR_ATTESTOR_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attestor/event_hub.h"
#include "base/clock.h"
#include "base/executor.h"
#include "hypervisor/hypervisor.h"
#include "inventory/vm_store.h"
#include "measurement/domain_measurer.h"
#include "sealing/sealer.h"

namespace vmattest::attestor {

struct ConfigRequest {
  std::string vm;  // UUID or name
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
  bool fresh = false;
  Bytes nonce;             // AttestConfig only: empty, or 16 to 64 bytes
  MonotonicTime deadline;  // always set
  std::function<bool()> cancelled;  // may be empty
};

// The use-cases behind the Attestation service: ports only, no gRPC, no C
// library. Callable from any thread.
class Attestor {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    measurement::DomainMeasurer& measurer;
    sealing::Sealer& sealer;
    inventory::VmStore& store;
    EventHub& events;
    Executor& requests;  // where measuring runs
    const Clock& clock;
  };
  explicit Attestor(Parts parts) : parts_(parts) {}

  // NOT_FOUND: neither libvirt nor the store knows it. INVALID_ARGUMENT: a
  // name that several VMs have.
  absl::StatusOr<inventory::VmRecord> GetVm(const std::string& vm);
  absl::StatusOr<std::vector<inventory::VmRecord>> ListVms(
      const std::optional<Uuid>& after, size_t limit);

  // Both answer exactly once, from a `request` or the `tpm` thread, or from
  // the caller's before they return; none of them blocks the caller.
  //
  // Measured as the VM is now; recorded with cause "request". The order is:
  // TPM clock (measured_at), then measuring, then sealing, so that nothing in
  // the evidence is older than the request (rule S8).
  void MeasureConfig(
      ConfigRequest request,
      std::function<void(absl::StatusOr<measurement::DomainMeasurement>)> done);
  // Answers with a serialised Evidence.
  void AttestConfig(ConfigRequest request,
                    std::function<void(absl::StatusOr<Bytes>)> done);

  absl::StatusOr<evidence::HostIdentity> HostIdentity();

 private:
  struct Job;

  Parts parts_;
  std::atomic<uint64_t> sequence_ = 0;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_ATTESTOR_H_
