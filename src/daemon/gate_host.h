#ifndef VMATTEST_DAEMON_GATE_HOST_H_
#define VMATTEST_DAEMON_GATE_HOST_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "attestor/journal.h"
#include "base/clock.h"
#include "base/executor.h"
#include "config/daemon_config.h"
#include "daemon/gate_verifier.h"
#include "gate/launch_ledger.h"
#include "gate/strict_start.h"
#include "hypervisor/hypervisor.h"
#include "image/content_digest.h"
#include "image/header_parser.h"
#include "inspection/disk_inspector.h"
#include "inventory/vm_store.h"
#include "ops/health.h"
#include "signing/signer.h"

namespace vmattest::daemon {

// The launch gate with everything that it needs: policy and its feed, verifier,
// hook socket, self-check, drift watch. Also the observer that libvirt's events
// go through on their way to `next`, so that a start without the hook is seen.
// Health: component "gate".
class GateHost final : public hypervisor::HypervisorObserver {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    hypervisor::HypervisorObserver& next;
    image::ContentDigester& digester;
    Executor& hashing;
    inspection::DiskInspector* inspector;
    image::HeaderParserFactory make_parser;
    signing::Signer& signer;
    inventory::VmStore& store;
    attestor::Journal& journal;
    ops::Health& health;
    const Clock& clock;
    std::function<bool(const Uuid&)> salted;
    std::function<uint64_t()> unmanaged;
    GateVerifier verifier;
    gate::LaunchLedger* ledger = nullptr;  // null: it writes to none
  };
  // Everything but the socket. Errors name the key.
  static absl::StatusOr<std::unique_ptr<GateHost>> Make(
      const config::DaemonConfig& config, Parts parts);
  GateHost(const GateHost&) = delete;
  GateHost& operator=(const GateHost&) = delete;
  // Waits for the decisions under way; the signer must be alive or stopped.
  ~GateHost() override;

  // Opens the hook socket and writes what `vmattest hook install` copies.
  absl::Status Listen();
  void StopListening();
  // Reads gate.approvers and gate.verifier_keys again; what cannot be read goes
  // on as it was. The hook's own file is `vmattest hook install`'s matter.
  absl::Status Reload();
  // Asks for policy again, looks for drift, checks the hook. Never blocks.
  void Tick();

  // As gate::StrictStart::Start; not on the gate's threads.
  absl::StatusOr<gate::StrictStart::Outcome> StartVm(const std::string& vm,
                                                     bool keep_paused);

  // This daemon takes the links of that VM down: no drift until it stops. Any
  // thread; blocks on the disk.
  void TellIsolated(const Uuid& vm);

  void OnConnected() override;
  void OnDisconnected(const absl::Status& why) override;
  void OnLifecycle(const hypervisor::LifecycleEvent& event) override;
  void OnChange(const Uuid& uuid) override;
  void OnReset(const Uuid& uuid) override;

 private:
  struct Work;
  explicit GateHost(std::unique_ptr<Work> work);
  std::unique_ptr<Work> work_;
};

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_GATE_HOST_H_
