#ifndef VMATTEST_VERIFICATION_SNAPSHOT_COMPARER_H_
#define VMATTEST_VERIFICATION_SNAPSHOT_COMPARER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "baseline/cross_view.h"
#include "baseline/difference.h"
#include "token/ear.h"
#include "verification/baseline_book.h"
#include "verification/decision_log.h"
#include "verification/host_anchors.h"
#include "verification/lru.h"
#include "verification/result_keys.h"

namespace vmattest::verification {

// Signed snapshots against baselines, in two steps (docs/memory.md): Begin()
// checks the evidence and says with what it is compared; Finish() takes what
// differs, proves it, and decides. In between the caller reads the baseline's
// nodes. Every decision is stored before anybody hears of it (rule S40).
// Callable from any thread; blocks on the store.
class SnapshotComparer {
 public:
  struct Parts {
    VerifierStore& store;
    HostAnchors& hosts;
    BaselineBook& baselines;
    DecisionLog& log;
    const ResultKeys& keys;
    const Clock& clock;
  };
  struct Options {
    // How old evidence may be that answers no nonce.
    std::chrono::milliseconds max_age = std::chrono::minutes(5);
    std::chrono::milliseconds lifetime = std::chrono::minutes(2);
    size_t most = 64;  // comparisons under way, of everybody
    size_t most_of_caller = 8;
    // Snapshots that a guest's report may follow on.
    size_t most_looks = 128;
  };
  SnapshotComparer(const Parts& parts, const Options& options)
      : parts_(parts), options_(options), looks_(options.most_looks) {}
  SnapshotComparer(const SnapshotComparer&) = delete;
  SnapshotComparer& operator=(const SnapshotComparer&) = delete;

  struct Result {
    DecisionEntry decision;
    uint32_t score = 0;
    std::vector<baseline::Difference> differences;  // the gravest first
    bool other_run = false;
    bool compared = false;  // false: the score says nothing
  };
  struct Request {
    Bytes evidence;
    Bytes nonce;         // must be in it, if given
    Bytes guest_report;  // baseline/guest_report.h; may be empty
    std::string caller;  // who may go on with it
    MayVm may;           // VMs that the caller may ask about
    std::optional<std::string> host_id;  // the caller is this host
  };
  struct Begun {
    Bytes comparison;              // empty: decided
    Bytes baseline;                // the payload of its document
    std::optional<Result> result;  // if it was decided
  };
  // Bad evidence is a decision, and so is a snapshot that has no baseline.
  // INVALID_ARGUMENT: the guest's report is malformed. PERMISSION_DENIED: as
  // Appraiser. RESOURCE_EXHAUSTED: too many are under way. The store's errors:
  // nothing was decided.
  absl::StatusOr<Begun> Begin(const Request& request);

  // NOT_FOUND: no such comparison of that caller, any more.
  absl::StatusOr<std::shared_ptr<const baseline::LoadedBaseline>> BaselineOf(
      const std::string& caller, ByteView comparison);

  // Ends it. What is not proved is a decision: "delta-unproved". NOT_FOUND: no
  // such comparison.
  absl::StatusOr<Result> Finish(const std::string& caller, ByteView comparison,
                                ByteView delta);

 private:
  struct Comparison {
    std::string caller;
    MonotonicTime ends;
    evidence::StateStatement statement;
    DecisionEntry entry;  // who and what, undecided
    Bytes nonce;
    Bytes payload;  // the statement's bytes
    std::optional<baseline::GuestReport> report;
    std::shared_ptr<const baseline::LoadedBaseline> against;
  };
  // A snapshot that was compared, and the report that it came after.
  struct KeptLook {
    baseline::MemoryLook look;
    std::optional<baseline::GuestReport> report;
  };
  absl::StatusOr<DecisionEntry> CheckEvidence(
      const Request& request, const evidence::StateStatement& statement,
      const baseline::LoadedBaseline* baseline);
  absl::StatusOr<std::vector<baseline::Difference>> CrossViews(
      const Comparison& comparison,
      const std::vector<evidence::StateRecord>& records);
  // Of the guest's report, if there is one; keeps the look for the next.
  std::vector<baseline::Difference> ReportViews(
      const Comparison& comparison,
      const std::vector<evidence::StateRecord>& records);
  absl::StatusOr<Result> Decide(DecisionEntry entry, const Bytes& nonce,
                                Result result);
  absl::StatusOr<Begun> Refuse(DecisionEntry entry, const Bytes& nonce,
                               Reason reason);
  absl::Status Keep(const Bytes& id, Comparison comparison);
  absl::StatusOr<Comparison> Take(const std::string& caller,
                                  ByteView comparison);

  const Parts parts_;
  const Options options_;
  Mutex mutex_;
  std::map<Bytes, Comparison> under_way_ GUARDED_BY(mutex_);
  // By their statements' digests.
  Lru<DigestBytes, std::shared_ptr<const KeptLook>> looks_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_SNAPSHOT_COMPARER_H_
