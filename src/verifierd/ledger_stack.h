#ifndef VMATTEST_VERIFIERD_LEDGER_STACK_H_
#define VMATTEST_VERIFIERD_LEDGER_STACK_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "config/ledger_settings.h"
#include "document/document.h"
#include "ledger/node.h"
#include "ops/metrics.h"

namespace vmattest::verifierd {

class EtcdConnection;
class LedgerKeeper;

// A ledger node from its configuration, for vmattest-verifierd and for a daemon
// that embeds one. In `folder`: ledger.db (unless the log is in etcd; then
// ledger-etcd-seen), ledger-node.db (what it signed), ledger-witness.db (what
// it cosigned), ledger-key.pem, ledger-witness.seed and, where there is ML-DSA,
// ledger-log.ml-dsa and ledger-witness.ml-dsa; ledger.policy, which names their
// public keys for who must believe them. Missing ones are made. Once somebody
// proved that the log was forked, ledger-fork.proof, for `vmattest ledger
// check-proof`; while it lies there the node gives no trust. Once a witness
// showed that the log was rolled back, ledger-ahead.checkpoint, until the log
// has again what was signed for. Built and
// destroyed on the main thread; in between callable from any thread.
class LedgerStack {
 public:
  struct Options {
    std::filesystem::path folder;  // of state, ours alone
    config::LedgerSettings settings;
    document::PublicKey authority;  // beside those of the settings
    // Signs state-root entries, without which the store drops nothing; must
    // outlive the stack. Null: nothing is dropped.
    const document::PrivateKey* authority_key = nullptr;
    size_t max_watchers = 64;
  };
  // Replays the log. `checkers` verifies signatures of entries. Errors name the
  // file or key.
  static absl::StatusOr<std::unique_ptr<LedgerStack>> Open(
      const Options& options, Executor& checkers, const Clock& clock);
  ~LedgerStack();
  LedgerStack(const LedgerStack&) = delete;
  LedgerStack& operator=(const LedgerStack&) = delete;

  [[nodiscard]] ledger::LedgerNode& node() const { return *node_; }
  // Call every few seconds, one thread at a time: writes down what must outlive
  // the process, and logs when witnesses go and come. Health as LedgerNode's.
  absl::Status Tick();

 private:
  explicit LedgerStack(std::filesystem::path folder);
  absl::Status NoteAhead(const ledger::Checkpointer::State& state);
  absl::Status NoteFork(const ledger::Checkpointer::State& state);
  void Tell(const ledger::Checkpointer::State& state);

  const std::filesystem::path folder_;
  std::unique_ptr<EtcdConnection> etcd_;  // null: a file
  std::unique_ptr<ledger::LedgerNode> node_;
  std::unique_ptr<LedgerKeeper> keeper_;  // null: no archive
  bool fork_noted_ = false;               // of Tick()'s caller, as the next
  std::optional<ledger::Checkpointer::Ahead> ahead_noted_;
  std::vector<std::string> told_;
};

// Moves the log from ledger.db in `folder` into etcd, where nothing of it may
// be yet but what an attempt before left. The file stays; proofs hold in both.
// NOT_FOUND: no such file. Errors of ledger::CopyLog.
absl::Status MoveLedgerToEtcd(
    const std::filesystem::path& folder, const config::LedgerSettings& settings,
    const std::function<void(uint64_t, uint64_t)>& progress);

// What docs/metrics.md lists of a ledger node.
std::vector<ops::Metric> ToMetrics(const ledger::LedgerNode& node);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_LEDGER_STACK_H_
