#ifndef VMATTEST_DAEMON_EMBEDDED_VERIFIER_H_
#define VMATTEST_DAEMON_EMBEDDED_VERIFIER_H_

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "daemon/own_host.h"
#include "gate/launch_verifier.h"
#include "verification/appraiser.h"
#include "verification/host_registry.h"
#include "verification/order_book.h"
#include "verification/reference_book.h"

namespace vmattest::daemon {

// The verifier of this process, asked by this process's gate: the same books
// that Enrollment and Verifier serve, without a network between. This host is
// in them by its own signer's word, until an operator revokes it. What lies in
// the folder of references is put into the book like what comes over the wire.
// It protects VMs from changes of their configuration and files, not from this
// host's administrator. Callable from any thread; blocks on the store.
class EmbeddedVerifier final : public gate::LaunchVerifier {
 public:
  struct Parts {
    verification::HostRegistry& hosts;
    verification::ReferenceBook& references;
    verification::OrderBook& orders;
    verification::Appraiser& appraiser;
    verification::VerifierStore& store;
    OwnHost::Identity identity;
    std::filesystem::path folder;  // of references, signed documents
    const Clock& clock;
  };
  explicit EmbeddedVerifier(Parts parts)
      : parts_(std::move(parts)), own_(parts_.hosts, parts_.identity) {}

  // UNAVAILABLE: the host's identity is not known yet. Else the store's.
  absl::StatusOr<std::string> Appraise(const Request& request,
                                       MonotonicTime deadline) override
      EXCLUDES_LOCK(mutex_);
  // Everything that counts here, whatever is asked for. Before the host's
  // identity is known: references alone.
  absl::StatusOr<HostPolicy> GetHostPolicy(
      const std::vector<std::string>& vm_uuids, MonotonicTime deadline) override
      EXCLUDES_LOCK(mutex_);

 private:
  absl::Status TakeFolder() EXCLUDES_LOCK(mutex_);
  void TakeFile(const std::filesystem::path& file, const Bytes& document)
      EXCLUDES_LOCK(mutex_);
  absl::StatusOr<std::vector<Bytes>> References();

  const Parts parts_;
  OwnHost own_;
  Mutex mutex_;
  // SHA-256 of documents that were put, or said to be of no use.
  std::set<Bytes> settled_ GUARDED_BY(mutex_);
  std::set<Bytes> complained_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_EMBEDDED_VERIFIER_H_
