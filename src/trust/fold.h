#ifndef VMATTEST_TRUST_FOLD_H_
#define VMATTEST_TRUST_FOLD_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/uuid.h"
#include "trust/score.h"

namespace vmattest::trust {

// Where and when something was committed: the record's index and its ledger
// time. Both only grow.
struct At {
  uint64_t index = 0;
  int64_t time_ms = 0;
};

// Something in a VM's way to its score that is not witnessed yet, or was found
// out by the clock.
struct Step {
  enum class Kind : uint8_t {
    kPass = 1,
    kFail = 2,
    kSilence = 3,
    kCompromise = 4,
  };
  uint64_t index = 0;
  int64_t time_ms = 0;
  Kind kind = Kind::kPass;
  int64_t debit = 0;  // of a failure or silence
  friend bool operator==(const Step&, const Step&) = default;
};

struct VmState {
  std::string owner;
  std::string host;  // its one home; empty: it never started
  bool running = false;
  std::string leaving_to;  // between migrate-out and migrate-in
  uint64_t epoch = 0;      // grows with each change of home (rule S36)
  Score solid;             // of all that is witnessed
  std::vector<Step> pending;
  int64_t seen_ms = 0;  // newest result, or silence that was counted
  bool failing = false;
  std::vector<int64_t> fail_times;  // newest failures in a row
  uint64_t passes = 0;
  uint64_t fails = 0;
  uint64_t silences = 0;
  uint64_t last_index = 0;
  friend bool operator==(const VmState&, const VmState&) = default;
};

struct HostState {
  bool compromised = false;
  uint64_t compromised_index = 0;
  int64_t last_tick_ms = 0;
  uint64_t ticks = 0;  // number of the newest
  friend bool operator==(const HostState&, const HostState&) = default;
};

// How a VM stands. Without it: the ledger has never heard of the VM.
struct Reading {
  int64_t milli = 0;
  Band band = Band::kBlocked;
  uint32_t rules_version = 0;
  // Of an older reading to this one: what the score is made of.
  int64_t witnessed_milli = 0;  // what all that is witnessed gives
  uint64_t unwitnessed = 0;     // steps of which only the bad ones counted
  uint64_t silences = 0;        // counted up to now
  bool host_compromised = false;
  VmState vm;  // as of the newest record
};

// Everybody's state as it follows from the ledger's records, in their order:
// the score as document 002 has it, over runs (rule S28), where only witnessed
// passes raise and failures count at once (S29). Knows nothing of signatures;
// ledger/ feeds it. One thread at a time.
class Fold {
 public:
  explicit Fold(const ScoreRules& rules = RulesV1());

  // The record at `at` says so. A call about a VM that is not registered does
  // nothing; ledger/ refuses such records.
  void SetRules(At at, const ScoreRules& rules);
  // Again: a new owner, the old score (rule S31).
  void Register(At at, const Uuid& vm, const std::string& owner);
  void Start(At at, const Uuid& vm, const std::string& host);
  // `reason`: stable code of a failure's first reason.
  void Result(At at, const Uuid& vm, bool pass, std::string_view reason = {});
  enum class Change : uint8_t { kPass = 1, kFail = 2, kStop = 3 };
  struct VmChange {
    Uuid vm;
    Change change = Change::kPass;
    std::string_view reason = {};  // as above
  };
  // One batch entry: what is said of some VMs; all others that run on the host
  // and did not fail last time passed, as before.
  // `tick` is the host's number for it. Not `in_time`: all others are left as
  // they are.
  void Tick(At at, const std::string& host,
            const std::vector<VmChange>& changes, uint64_t tick,
            bool in_time = true);
  void Leave(At at, const Uuid& vm, const std::string& to_host);
  void Arrive(At at, const Uuid& vm, const std::string& host);
  // Takes a VM's home away, or gives it another: a Trust Authority's order.
  void Rehome(At at, const Uuid& vm, const std::string& host);
  void Flag(At at, const std::string& host);
  void Clear(At at, const std::string& host);

  // Records [0, size) are in a checkpoint that a quorum cosigned.
  void Witnessed(uint64_t size);
  [[nodiscard]] uint64_t witnessed() const { return witnessed_; }

  [[nodiscard]] const VmState* FindVm(const Uuid& vm) const;
  [[nodiscard]] const HostState* FindHost(const std::string& host) const;
  // Which VMs a Tick() of the host at `time_ms` that names none passes.
  [[nodiscard]] std::vector<Uuid> Passing(const std::string& host,
                                          int64_t time_ms) const;
  [[nodiscard]] std::vector<Uuid> VmsOf(const std::string& host) const;
  [[nodiscard]] const std::map<Uuid, VmState>& vms() const { return vms_; }
  [[nodiscard]] const ScoreRules& rules() const {
    return rules_.rbegin()->second;
  }

  // At ledger time `now_ms`, or at the newest record's if that is later.
  [[nodiscard]] std::optional<Reading> Read(const Uuid& vm,
                                            int64_t now_ms) const;

  // State as keys and values, for a cache. TakeDirty: what changed since the
  // last call. Restore: INVALID_ARGUMENT if it is none of ours; a Fold that
  // got all items is the one that gave them.
  using Item = std::pair<std::string, Bytes>;
  std::vector<Item> TakeDirty();
  absl::Status Restore(const std::string& key, ByteView value);
  // All of it as if everything were witnessed, by key: what every reader of
  // the same records gets.
  [[nodiscard]] std::vector<Item> Canonical() const;

 private:
  VmState* Touch(At at, const Uuid& vm);
  HostState& TouchHost(const std::string& host);
  void CountSilence(At at, VmState& vm) const;
  void AddStep(At at, Step::Kind kind, VmState& vm, int64_t debit = 0);
  void AddPass(At at, VmState& vm);
  void AddFail(At at, std::string_view reason, VmState& vm);
  void SetHost(const Uuid& id, VmState& vm, const std::string& host,
               bool running);
  void DetectCompromise(At at, const std::string& host);
  void ApplyStep(const Step& step, bool raise, Score& score) const;
  void Flush(VmState& vm, uint64_t size) const;
  [[nodiscard]] const ScoreRules& RulesAt(uint64_t index) const;
  [[nodiscard]] int64_t SilencesUntil(const VmState& vm, int64_t time_ms) const;

  std::map<uint64_t, ScoreRules> rules_;  // by the index they hold from
  std::map<Uuid, VmState> vms_;
  std::map<std::string, HostState> hosts_;
  std::map<std::string, std::set<Uuid>> by_host_;  // homes, not cached
  std::set<Uuid> pending_;                         // VMs with steps to flush
  uint64_t witnessed_ = 0;
  int64_t newest_ms_ = 0;
  std::set<Uuid> dirty_vms_;
  std::set<std::string> dirty_hosts_;
  bool dirty_rules_ = true;
};

}  // namespace vmattest::trust

#endif  // VMATTEST_TRUST_FOLD_H_
