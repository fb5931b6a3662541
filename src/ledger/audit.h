#ifndef VMATTEST_LEDGER_AUDIT_H_
#define VMATTEST_LEDGER_AUDIT_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ledger/log_state.h"
#include "ledger/tile_directory.h"
#include "tlog/policy.h"
#include "tlog/witness.h"

namespace vmattest::ledger {

// Replays a log from record 0, believing nobody but the keys it is given, and
// compares what follows from it with what its keeper says.

struct AuditOptions {
  LogPolicy log;
  const tlog::WitnessPolicy& witnesses;
  // A checkpoint that was known before must be a prefix. Notes.
  std::optional<std::string> known_checkpoint;
  int64_t now_unix_ms = 0;  // scores are as of then
  size_t threads = 1;       // that check signatures, beside the caller's
  std::function<void(uint64_t done, uint64_t of)> progress;
  // VMs that the log's keeper is asked about, one by one.
  uint64_t max_compared = 100'000;
};

// One thing that is not as it must be. An audit ends at the first bad record:
// what follows it rests on it.
struct Finding {
  // "checkpoint", "record 17", "tile 0/3", "root", "known-checkpoint",
  // "vm UUID".
  std::string element;
  Reason reason;
};

// What the keeper of the log says of VMs, against what its records give at the
// time of its reading and as far as that reading went.
struct AuditedScores {
  uint64_t compared = 0;
  uint64_t not_compared = 0;
  std::string why;  // of the newest that was not
};

struct AuditReport {
  std::string origin;
  uint64_t size = 0;  // of the checkpoint
  Bytes root;
  int64_t witnessed_unix_s = 0;
  bool unwitnessed = false;  // the policy asks for nobody's cosignature
  uint64_t checked = 0;      // records that are good
  std::map<std::string, uint64_t> types;
  struct Vm {
    std::string uuid;
    std::string owner;
    std::string home;
    int64_t milli = 0;
    std::string band;
    uint64_t passes = 0;
    uint64_t fails = 0;
    uint64_t silences = 0;
  };
  std::vector<Vm> vms;
  std::vector<std::string> compromised_hosts;
  std::optional<AuditedScores> scores;  // none: there is nobody to ask
  Bytes state_root;
  std::vector<Finding> findings;
  std::optional<tlog::ForkProof> fork;

  [[nodiscard]] bool clean() const { return findings.empty(); }
  // Whether all was looked at that there was to look at.
  [[nodiscard]] bool complete() const {
    return !scores || scores->not_compared == 0;
  }
};

// An error: the log could not be read. What is wrong with it is a finding.
absl::StatusOr<AuditReport> Audit(AuditSource& source,
                                  const AuditOptions& options);

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_AUDIT_H_
