#ifndef VMATTEST_LEDGER_CHECKPOINTER_H_
#define VMATTEST_LEDGER_CHECKPOINTER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "ledger/log.h"
#include "tlog/policy.h"
#include "tlog/witness.h"

namespace vmattest::ledger {

// add-checkpoint of tlog-witness, and the checkpoint's newest record with its
// proof, by which our witnesses know ledger time (rule S30).
struct WitnessRequest {
  std::string body;
  Bytes newest_record;
  std::vector<Bytes> inclusion_path;
};

// A witness somewhere. Blocks, with a deadline.
class WitnessClient {
 public:
  virtual ~WitnessClient() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  virtual absl::StatusOr<tlog::WitnessReply> Add(
      const WitnessRequest& request) = 0;
};

// Signs for what is committed, and gathers cosignatures. A root is signed only
// after it was read back as committed and found consistent with what was
// signed before, so that no crash gives two roots of one size. Callable from
// any thread; one round at a time.
class Checkpointer {
 public:
  // A note by the log's key of more records than the log had.
  struct Ahead {
    std::string note;
    uint64_t size = 0;
    Bytes root;
    friend bool operator==(const Ahead&, const Ahead&) = default;
  };
  // INVALID_ARGUMENT: no note, or not by a key that `policy` names for the log
  // `origin`. A witness may say anything; what counts is the log's own key.
  static absl::StatusOr<Ahead> OpenAhead(std::string note,
                                         const tlog::WitnessPolicy& policy,
                                         const std::string& origin);

  struct Parts {
    Log& log;
    const tlog::WitnessPolicy& policy;
    // The log's own keys: its ECDSA or Ed25519 key first, then cosigners of
    // the node (ML-DSA).
    std::vector<std::shared_ptr<tlog::NoteSigner>> signers;
    std::vector<std::shared_ptr<WitnessClient>> witnesses;
    // What this node signed or accepted last, durable.
    tlog::WitnessStore& memory;
    const Clock& clock;
    // Shown before, and nobody has decided about it since.
    std::optional<tlog::ForkProof> fork;
    // Shown before, and the log did not have those records when it closed.
    std::optional<Ahead> ahead;
  };
  struct State {
    uint64_t size = 0;             // of the newest note
    uint64_t witnessed = 0;        // of the newest with a quorum
    int64_t witnessed_unix_s = 0;  // when the quorum had cosigned; 0: none
    std::string note;              // the newest with a quorum; "": none yet
    // The policy asks for nobody's cosignature (rule S29).
    bool unwitnessed = false;
    std::vector<std::string> problems;  // of the last round, by witness
    // Somebody proved that the log told two stories: nothing is signed any
    // more, and nothing that the log says is to be believed.
    std::optional<tlog::ForkProof> fork;
    // It was rolled back. Two sizes are no proof for others as long as the log
    // does not grow past the larger one; this node needs none. Gone once the
    // log has just those records again.
    std::optional<Ahead> ahead;
  };

  explicit Checkpointer(Parts parts);

  // What was signed last, for Log::Open.
  static absl::StatusOr<Log::Trusted> LastSigned(tlog::WitnessStore& memory,
                                                 const std::string& origin);

  // One round: signs if the log grew, asks those witnesses whose cosignature
  // is missing or old, keeps what came. DATA_LOSS: the log is no continuation
  // of what was signed, or was forked; nothing is signed any more.
  absl::Status Round();
  // Instead, on a node that does not lead: takes over what the leader kept,
  // once the policy accepts it and the records here give its root. DATA_LOSS:
  // they give another, or it is no continuation of what this node knew.
  absl::Status Adopt();
  [[nodiscard]] State state() const;
  [[nodiscard]] int64_t witnessed_unix_s() const;
  // DATA_LOSS: state().fork is there, or state().ahead.
  [[nodiscard]] absl::Status CheckFork() const;
  // Whether somebody may go by what the log says. DATA_LOSS as above.
  // UNAVAILABLE: the policy asks for a quorum, and none has cosigned since this
  // object was made, so nobody knows whether the log was rolled back meanwhile.
  [[nodiscard]] absl::Status CheckTrusted() const;

 private:
  // That a tree of `size` and `root` continues what this node signed for.
  absl::Status CheckContinues(const tlog::WitnessStore::Seen& before,
                              uint64_t size, const Bytes& root);
  absl::StatusOr<tlog::Note> Sign(const LogHead& head);
  void TakeFork(tlog::ForkProof shown, uint64_t size);
  void TakeAhead(Ahead ahead);
  absl::Status CompareAhead();
  absl::Status ConvictItself();
  absl::Status Gather(tlog::Note& note, const tlog::Checkpoint& checkpoint)
      REQUIRES_LOCK(round_);
  absl::Status Ask(size_t witness, const Log::Included& newest,
                   tlog::Note& note, const tlog::Checkpoint& checkpoint)
      REQUIRES_LOCK(round_);
  absl::Status Keep(const tlog::Note& note, const tlog::Checkpoint& checkpoint);

  const Parts parts_;
  Mutex round_;
  std::vector<uint64_t> witness_sizes_ GUARDED_BY(round_);
  // What the store had when Adopt() looked first.
  std::optional<std::string> found_ GUARDED_BY(round_);
  mutable Mutex mutex_;
  State state_ GUARDED_BY(mutex_);
  bool confirmed_ GUARDED_BY(mutex_) = false;  // by a quorum, in this life
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_CHECKPOINTER_H_
