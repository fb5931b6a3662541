#ifndef VMATTEST_VERIFICATION_APPRAISER_H_
#define VMATTEST_VERIFICATION_APPRAISER_H_

#include <optional>
#include <string>
#include <vector>

#include "appraisal/appraise.h"
#include "base/clock.h"
#include "base/status.h"
#include "verification/decision_log.h"
#include "verification/host_anchors.h"
#include "verification/host_client.h"
#include "verification/reference_book.h"
#include "verification/result_keys.h"

namespace vmattest::verification {

// The verifier role: evidence in, signed results out. A decision is stored
// before anybody hears of it (rule S40). Callable from any thread; blocks on
// the store.
class Appraiser {
 public:
  struct Parts {
    VerifierStore& store;
    HostAnchors& hosts;
    ReferenceBook& references;
    DecisionLog& log;
    const ResultKeys& keys;
    const Clock& clock;
    HostClient* host_client = nullptr;  // null: hosts cannot be asked
  };
  struct Options {
    // How old evidence may be that answers no nonce.
    std::chrono::milliseconds max_age = std::chrono::minutes(5);
  };
  Appraiser(const Parts& parts, const Options& options)
      : parts_(parts), options_(options) {}

  struct Request {
    Bytes evidence;
    Bytes nonce;          // must be in it, if given
    std::string vm_uuid;  // must be its VM, if given; lower case
    bool post_quantum = false;
    MayVm may;                           // VMs that the caller may ask about
    std::optional<std::string> host_id;  // the caller is this host
  };
  struct Result {
    std::string ear;
    std::string ear_pq;
    DecisionEntry decision;
  };
  // Bad evidence is a decision. PERMISSION_DENIED: it is about a VM, or of a
  // host, that the caller may not speak of; then nothing is decided.
  // FAILED_PRECONDITION: post_quantum, and there is no such key. The store's
  // errors: nothing was decided.
  absl::StatusOr<Result> Appraise(const Request& request);

  // Has the VM's host make evidence, and appraises that. FAILED_PRECONDITION:
  // no host is known that has the VM. Else as HostClient and Appraise.
  struct Demand {
    std::string vm_uuid;
    Bytes nonce;  // empty: one is made
    bool post_quantum = false;
    MayVm may;
    MonotonicTime deadline;
  };
  absl::StatusOr<Result> RequestAttestation(const Demand& demand);

  // Unsigned YAML of what the newest genuine evidence says. NOT_FOUND: none.
  absl::StatusOr<std::string> Learn(const std::string& vm_uuid,
                                    const std::string& name);

  struct Flip {
    uint64_t decision = 0;
    appraisal::Flip flip;
  };
  struct Simulation {
    std::vector<Flip> flips;
    uint64_t examined = 0;
  };
  // The newest `most` recorded pieces of evidence about VMs that the caller may
  // ask about. DEADLINE_EXCEEDED: too much for the time given.
  absl::StatusOr<Simulation> Simulate(const reference::Reference& proposed,
                                      size_t most, const MayVm& may,
                                      MonotonicTime deadline);

  // What concerns one host: references for VMs that it was seen with, those of
  // every VM, and of `asked`, VMs that it names itself, those that let it run
  // them.
  absl::StatusOr<std::vector<Bytes>> ReferencesForHost(
      const std::string& host_id, const std::vector<std::string>& asked = {});

  [[nodiscard]] std::string JwkSet() const;

 private:
  struct About {
    std::string host_id;
    std::string vm_uuid;
    std::string vm_name;
  };
  absl::StatusOr<appraisal::Decision> Decide(const appraisal::Request& request,
                                             WallTime now);
  static absl::StatusOr<About> Peek(ByteView evidence);
  absl::Status SimulateOne(const RecordedEvidence& recorded,
                           const reference::Reference& proposed,
                           Simulation& simulation);
  absl::StatusOr<std::vector<reference::Reference>> CountingNow(
      const std::string& vm_uuid);
  absl::StatusOr<std::string> HostOf(const std::string& vm_uuid);
  [[nodiscard]] bool LetsRun(ByteView document,
                             const std::string& host_id) const;
  absl::StatusOr<Bytes> AskHosts(const Demand& demand, const Bytes& nonce);

  const Parts parts_;
  const Options options_;
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_APPRAISER_H_
