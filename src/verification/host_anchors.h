#ifndef VMATTEST_VERIFICATION_HOST_ANCHORS_H_
#define VMATTEST_VERIFICATION_HOST_ANCHORS_H_

#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "verification/lru.h"
#include "verification/verifier_store.h"
#include "vmattest/verifier/verifier.h"

namespace vmattest::verification {

// What evidence of a host is checked with, from the host's entry. Checking the
// certifications of its keys takes longer than checking evidence, so what was
// built is kept as long as the entry is the same. Callable from any thread.
class HostAnchors {
 public:
  explicit HostAnchors(VerifierStore& store) : store_(store) {}
  HostAnchors(const HostAnchors&) = delete;
  HostAnchors& operator=(const HostAnchors&) = delete;

  struct Found {
    // Of that host alone; null: evidence of it counts for nothing.
    std::shared_ptr<const verifier::Anchors> anchors;
    // Why: "host-unknown", "host-pending", "host-revoked".
    Reason reason;
  };
  // Reads the entry, so a revocation counts at once. DATA_LOSS: damaged.
  absl::StatusOr<Found> Find(const std::string& host_id);

 private:
  using Key = std::pair<std::string, uint64_t>;  // and the entry's revision
  static constexpr size_t kMostKept = 2048;

  VerifierStore& store_;
  Mutex mutex_;
  Lru<Key, std::shared_ptr<const verifier::Anchors>> kept_ GUARDED_BY(mutex_){
      kMostKept};
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_HOST_ANCHORS_H_
