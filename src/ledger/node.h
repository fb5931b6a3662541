#ifndef VMATTEST_LEDGER_NODE_H_
#define VMATTEST_LEDGER_NODE_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "ledger/checkpointer.h"
#include "ledger/reading_clock.h"
#include "ledger/sequencer.h"
#include "ledger/timed_witness.h"

namespace vmattest::ledger {

// A ledger node's use-cases over its parts: takes entries, signs checkpoints
// once a second on a thread of its own ("ledger-sign"), answers readers. One
// that does not lead reads what the leader appended, checks it as its own, and
// answers readers too. Once the log is known to be forked, entries are refused
// and no score is given any more: DATA_LOSS.
// Callable from any thread; blocks as the store does.
class LedgerNode {
 public:
  struct Parts {
    std::unique_ptr<LogStore> store;
    std::unique_ptr<tlog::WitnessStore> memory;   // what this node signed
    std::unique_ptr<tlog::WitnessStore> witness;  // what it cosigned
    LogPolicy policy;
    tlog::WitnessPolicy witnesses;
    std::vector<std::shared_ptr<tlog::NoteSigner>> signers;
    // Cosigners of this node as a witness; its own log is one of `logs`.
    std::vector<std::unique_ptr<tlog::NoteSigner>> cosigners;
    std::vector<std::shared_ptr<WitnessClient>> remote;
    // Records that the store may have dropped; null: there are none.
    ReadRecords archive;
    // Of this log, shown before: the node serves records, and no trust.
    std::optional<tlog::ForkProof> fork;
    // As Checkpointer::Parts.
    std::optional<Checkpointer::Ahead> ahead;
  };
  struct Options {
    Sequencer::Options sequencer;
    std::chrono::milliseconds checkpoint_interval{1'000};
    size_t max_watchers = 64;
  };
  // Replays the log: blocks for as long as that takes. Errors as Log::Open.
  static absl::StatusOr<std::unique_ptr<LedgerNode>> Open(Parts parts,
                                                          Executor& checkers,
                                                          const Clock& clock,
                                                          Options options);
  LedgerNode(const LedgerNode&) = delete;
  LedgerNode& operator=(const LedgerNode&) = delete;
  ~LedgerNode();

  absl::Status Submit(Bytes entry, Sequencer::Done done) {
    RETURN_IF_ERROR(CheckBelievable());
    return sequencer_->Submit(std::move(entry), std::move(done));
  }
  absl::Status SubmitMade(Sequencer::Make make, Sequencer::Done done) {
    RETURN_IF_ERROR(CheckBelievable());
    return sequencer_->SubmitMade(std::move(make), std::move(done));
  }
  [[nodiscard]] Leadership leadership() const {
    return sequencer_->leadership();
  }

  [[nodiscard]] Sequencer::Stats stats() const { return sequencer_->stats(); }

  struct Proven {
    uint64_t index = 0;
    Bytes record;
    std::vector<Bytes> path;
    std::string checkpoint;
  };
  struct Trust {
    trust::Reading reading;
    int64_t time_unix_ms = 0;
    // Of the records that it follows from.
    uint64_t size = 0;
    uint64_t witnessed = 0;
    Bytes newest_hash;
    std::optional<Proven> newest;  // none is witnessed yet
  };
  // At a time that never goes back while the node runs, and is none before the
  // newest record's or the newest quorum's (ReadingClock). NOT_FOUND: nobody
  // registered the VM. UNAVAILABLE: Checkpointer::CheckTrusted.
  absl::StatusOr<Trust> GetTrust(const Uuid& vm);
  // Without the proof; for streams. NOT_FOUND as above.
  absl::StatusOr<Trust> GetScore(const Uuid& vm) const;

  struct HistoryItem {
    uint64_t index = 0;
    Bytes record;
  };
  absl::StatusOr<std::vector<HistoryItem>> History(const Uuid& vm,
                                                   uint64_t before,
                                                   size_t limit);
  [[nodiscard]] Checkpointer::State checkpoint() const {
    return checkpointer_->state();
  }
  // As a witness: TimedWitness.
  absl::StatusOr<tlog::WitnessReply> AddCheckpoint(
      const WitnessRequest& request);
  [[nodiscard]] Log& log() { return *log_; }
  [[nodiscard]] const Log& log() const { return *log_; }

  // The log is not what it was, as somebody found out beside it: as if it were
  // forked. Records, checkpoints and proofs are still given.
  void Distrust(absl::Status why);

  // OK: the last round of checkpoints went well, though witnesses may be
  // missing. DATA_LOSS: the log is not what was signed for. UNAVAILABLE: also
  // if a clock is wrong, this node's or that of who dated the newest record.
  [[nodiscard]] absl::Status health() const;
  // Records, checkpoints with a quorum, whether it is to be believed, its
  // health; and now and then, at least once in each grace interval, as who is
  // silent loses trust. `told` runs on a thread of the node's, or of who calls
  // Distrust(): hand over. Subscriptions end with what is returned, before the
  // node does.
  // RESOURCE_EXHAUSTED: options.max_watchers are there.
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  absl::StatusOr<std::unique_ptr<Watch>> Subscribe(std::function<void()> told);

 private:
  class Subscription;
  LedgerNode(Parts parts, const Clock& clock, Options options);
  [[nodiscard]] absl::Status CheckBelievable() const;
  [[nodiscard]] absl::Status CheckTrusted() const;
  absl::Status Round();
  absl::Status Checkpoint();
  absl::Status CheckClocks();
  void SignForEver();
  // What watchers are told changes of.
  struct News {
    uint64_t size = 0;
    uint64_t witnessed = 0;
    absl::StatusCode trusted = absl::StatusCode::kOk;
    absl::StatusCode health = absl::StatusCode::kOk;
    friend bool operator==(const News&, const News&) = default;
  };
  [[nodiscard]] News Newest() const;
  [[nodiscard]] std::chrono::milliseconds TellInterval() const;
  void TellWatchers();

  const Parts parts_;
  const Clock& clock_;
  const Options options_;
  mutable ReadingClock reading_clock_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<TimedWitness> witness_;
  std::unique_ptr<Checkpointer> checkpointer_;
  std::unique_ptr<Sequencer> sequencer_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  absl::Status health_ GUARDED_BY(mutex_);
  absl::Status distrust_ GUARDED_BY(mutex_);
  Mutex watch_mutex_;
  std::vector<const Subscription*> watches_ GUARDED_BY(watch_mutex_);
  std::thread signer_;
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_NODE_H_
