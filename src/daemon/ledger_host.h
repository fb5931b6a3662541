#ifndef VMATTEST_DAEMON_LEDGER_HOST_H_
#define VMATTEST_DAEMON_LEDGER_HOST_H_

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "capture/comparer.h"
#include "config/daemon_config.h"
#include "gate/launch_ledger.h"
#include "ops/health.h"
#include "ops/metrics.h"
#include "rpc/server.h"
#include "signing/signer.h"

namespace vmattest::daemon {

// The trust ledger of one host: the outbox that writes to it, its ownership
// records (rule S20), and the ledger itself where this daemon keeps it. Health:
// component "ledger". Made and destroyed on the main thread; the rest from any.
class LedgerHost final : public gate::LaunchLedger {
 public:
  struct Parts {
    signing::Signer& signer;
    Executor& requests;
    Executor& watch;
    ops::Health& health;
    const Clock& clock;
    // Whether a caller of the read socket may be told of it.
    std::function<bool(const Uuid& vm)> is_local;
    std::filesystem::path event_log;  // its folder
  };
  // In state_dir/ledger: outbox.db, host-key.pem, host-key.evidence (what the
  // TPM says of it), and of a ledger of its own what verifierd::LedgerStack
  // lists, with authority.json; of one elsewhere, with a policy, what
  // verifierd::WitnessStack does. Replays its own ledger. Errors name the file
  // or key.
  static absl::StatusOr<std::unique_ptr<LedgerHost>> Make(
      const config::DaemonConfig& config, const Parts& parts);
  LedgerHost(const LedgerHost&) = delete;
  LedgerHost& operator=(const LedgerHost&) = delete;
  // What waits goes on waiting on disk.
  ~LedgerHost() override;

  // Ledger: all of it over a ledger of this host's own, else GetTrust of local
  // VMs, handed on, and AddCheckpoint as a witness.
  [[nodiscard]] rpc::ServiceMaker Services();
  // What the verifier says of a snapshot. Blocks on the disk.
  void Compared(const capture::SnapshotResult& result);
  // Tells the health of outbox and ledger, and has the TPM vouch for a ledger
  // of its own now and then. Never blocks for long.
  void TellHealth();
  // The same at the end, while there still is a signer.
  void MarkForRestart();
  // An event of the host that belongs on the ledger: others are left out.
  void Note(const std::string& kind,
            const std::map<std::string, std::string>& facts);
  // The same of what the signer knows: a boot, a gap in the event log. One
  // thread at a time.
  void SignerIs(const signing::SignerState& now);
  // Evidence about a VM was given to whoever asked: its SHA-256 is named in the
  // host's next batch. Of each VM the newest.
  void Attested(const std::string& vm_uuid, const Bytes& evidence_hash);
  [[nodiscard]] std::vector<ops::Metric> Metrics();

  std::optional<gate::Judgement> CheckHome(const std::string& vm_uuid,
                                           MonotonicTime deadline) override;
  absl::Status Decided(const Decision& decision,
                       MonotonicTime deadline) override;
  void Tick(const std::vector<Looked>& running) override;

 private:
  struct Work;
  void TakeUp(const Uuid& vm);
  explicit LedgerHost(std::unique_ptr<Work> work);
  std::unique_ptr<Work> work_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_LEDGER_HOST_H_
