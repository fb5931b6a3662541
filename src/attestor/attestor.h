#ifndef VMATTEST_ATTESTOR_ATTESTOR_H_
#define VMATTEST_ATTESTOR_ATTESTOR_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attestor/host_log_export.h"
#include "attestor/recorder.h"
#include "attestor/statement_sealer.h"
#include "base/clock.h"
#include "base/executor.h"
#include "hypervisor/hypervisor.h"
#include "inspection/disk_inspector.h"
#include "inventory/vm_store.h"
#include "measurement/domain_measurer.h"
#include "signing/signer.h"

namespace vmattest::attestor {

struct ConfigRequest {
  std::string vm;  // UUID or name
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
  inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
  bool fresh = false;
  Bytes nonce;  // empty, or 16 to 64 bytes; not of MeasureConfig
  // The caller gets no salted leaf, nor what names one; of public leaves it
  // changes nothing.
  bool omit_leaves = false;
  std::vector<std::string> leaves;  // Disclose only: their paths
  MonotonicTime deadline;           // always set
  std::function<bool()> cancelled;  // may be empty; from any thread
};

// The use-cases behind the Attestation service: ports only, no gRPC, no C
// library. Callable from any thread.
//
//   AttestConfig -> TPM clock -> [requests] libvirt, measure -> seal
//                    (signer)                                  (signer)
//                                     done <- [requests] encode <-+
//
// Requests for the same VM and options that wait at the same time share one
// measurement. It begins after the last of them arrived and read the TPM's
// clock, so each of them gets what it would have got alone; the nonce is only
// in the statement.
class Attestor {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    measurement::DomainMeasurer& measurer;
    signing::Signer& signer;
    inventory::VmStore& store;
    Recorder& recorder;
    Executor& requests;  // where measuring runs
    const Clock& clock;
  };
  struct Options {
    // What the lifecycle measures with. A request that measures the same way
    // is recorded, where it found something new; other roots do not compare.
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
    inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
    // Whose leaves have a secret salt. Empty: nobody's.
    std::function<bool(const Uuid&)> salted;
    // VMs beside libvirt, for statements. Empty: nobody counts them.
    std::function<uint64_t()> unmanaged;
    HostLogFiles host_log;
    // Evidence, or a disclosure, about the VM is about to be given out; its
    // SHA-256. Must not block. May be empty.
    std::function<void(const std::string& vm_uuid, const Bytes& evidence_hash)>
        attested;
    size_t max_pending = 4096;  // accepted and not answered yet
  };
  Attestor(Parts parts, Options options);
  Attestor(const Attestor&) = delete;
  Attestor& operator=(const Attestor&) = delete;
  // Waits until every accepted request is answered: the signer must be alive
  // (it answers by each deadline), `requests` may be shut down already.
  ~Attestor();

  // These two block on libvirt and on the disk. Without libvirt they answer
  // from the store alone.
  // NOT_FOUND: neither libvirt nor the store knows it. INVALID_ARGUMENT: a
  // name that several VMs had.
  absl::StatusOr<inventory::VmRecord> GetVm(const std::string& vm);
  // By UUID, those after `after` if given; also those that are gone
  // ("undefined") and still remembered.
  absl::StatusOr<std::vector<inventory::VmRecord>> ListVms(
      const std::optional<Uuid>& after, size_t limit);

  // Both answer exactly once, from a `request` or the `tpm` thread, or from
  // the caller's before they return; none of them blocks the caller.
  //
  // Measured as the VM is now; what is new is recorded with cause "request".
  // The order is: TPM clock (measured_at), then measuring, then sealing, so
  // that nothing in the evidence is older than the request (rule S8).
  //   RESOURCE_EXHAUSTED: too many pending. DEADLINE_EXCEEDED, CANCELLED: seen
  //   between two steps. UNAVAILABLE: no libvirt, or no TPM. Else as
  //   DomainMeasurer::Measure, after "attesting vm NAME: measuring: ".
  // With omit_leaves, of a salted tree only the header leaf.
  void MeasureConfig(
      ConfigRequest request,
      std::function<void(absl::StatusOr<measurement::DomainMeasurement>)> done);
  // Answers with a serialised Evidence.
  void AttestConfig(ConfigRequest request,
                    std::function<void(absl::StatusOr<Bytes>)> done);
  // The same, but answers with a serialised Disclosure of `request.leaves`.
  // NOT_FOUND: no such leaf. PERMISSION_DENIED: omit_leaves, and the VM's are
  // salted.
  void Disclose(ConfigRequest request,
                std::function<void(absl::StatusOr<Bytes>)> done);
  // FAILED_PRECONDITION: no log is kept. Else as AttestConfig.
  void HostLog(Bytes nonce, MonotonicTime deadline, HostLogDone done);

  // For what seals statements of other kinds; lives as long as this.
  [[nodiscard]] StatementSealer& statements() { return *statements_; }

  // Never blocks. UNAVAILABLE: the TPM was not reached yet.
  absl::StatusOr<evidence::HostIdentity> HostIdentity();

 private:
  class Flights;
  std::unique_ptr<StatementSealer> statements_;
  std::unique_ptr<HostLogExport> host_log_;
  std::unique_ptr<Flights> flights_;
  Parts parts_;
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_ATTESTOR_H_
