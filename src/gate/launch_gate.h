#ifndef VMATTEST_GATE_LAUNCH_GATE_H_
#define VMATTEST_GATE_LAUNCH_GATE_H_

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/current.h"
#include "base/executor.h"
#include "base/uuid.h"
#include "gate/disk_continuity.h"
#include "gate/evidence_maker.h"
#include "gate/file_leases.h"
#include "gate/judgement.h"
#include "gate/launch_ledger.h"
#include "gate/launch_sessions.h"
#include "gate/launch_verifier.h"
#include "gate/policy_store.h"
#include "gate/protocol/messages.h"
#include "gate/recording_digester.h"
#include "gate/saved_images.h"
#include "gate/start_grants.h"
#include "gate/verdict_cache.h"
#include "image/content_digest.h"
#include "image/header_parser.h"
#include "inspection/disk_inspector.h"
#include "inventory/vm_store.h"
#include "measurement/domain_measurer.h"
#include "token/ear.h"

namespace vmattest::gate {

// Decides whether a domain may start, for the hook that libvirt runs. Ports
// only; never calls libvirt, which waits for this answer.
//
//   XML -> UUID -> mode and reference (signed documents) -> measure
//     -> a kept verdict?  yes: allow
//     -> event into the log and the TPM -> evidence with the hook's nonce
//     -> verifier -> token checked -> keep, allow or refuse
//
// `prepare` is the first binding look, `start` (everything is ready, QEMU does
// not run yet) the second, on what libvirt filled in meanwhile; `started` looks
// at the process. `restore` asks whether the saved memory is known; `migrate`
// only refuses early what differs, of what its XML has. Whatever cannot be
// decided is refused where the mode is enforce, with a code and a sentence of
// its own. Callable from any thread; blocks until `deadline` at most, but for
// reading files.
class LaunchGate {
 public:
  struct Parts {
    image::ContentDigester& digester;
    Executor* hashing;                     // may be null
    inspection::DiskInspector* inspector;  // may be null
    image::HeaderParserFactory make_parser;
    EvidenceMaker& evidence;
    LaunchVerifier& verifier;
    // Whose signature makes a result.
    const Current<std::vector<token::VerificationKey>>& verifier_keys;
    PolicyStore& policy;
    VerdictCache& verdicts;
    LaunchSessions& sessions;
    SavedImages& images;
    DiskContinuity& disks;
    FileLeases& leases;
    StartGrants& grants;
    inventory::VmStore& store;       // for salts
    LaunchLedger* ledger = nullptr;  // null: no ledger has a say
    // Takes an event for the host event log; must not block.
    std::function<void(std::string kind,
                       std::map<std::string, std::string> facts)>
        note;
    const Clock& clock;
  };
  struct Options {
    // Of VMs without a reference, in warn and learn.
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
    inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
    std::function<bool(const Uuid&)> salted;
    // learn writes UUID.evidence and UUID.yaml here.
    std::filesystem::path learned;
    // Kernels, initrds and loaders come from here alone, if any are named.
    std::vector<std::filesystem::path> store;
  };
  LaunchGate(Parts parts, Options options)
      : parts_(std::move(parts)), options_(std::move(options)) {}
  LaunchGate(const LaunchGate&) = delete;
  LaunchGate& operator=(const LaunchGate&) = delete;

  // Everything but the signature. Also the answer to kRegisterImage.
  GateReply Decide(const GateCall& call, MonotonicTime deadline);

 private:
  // What is known of the call before anything is decided.
  struct Launch {
    const GateCall& call;
    MonotonicTime deadline;
    std::string uuid;
    std::string name;
    PolicyStore::Effective policy;
  };
  struct Measured {
    measurement::DomainMeasurement measurement;
    MeasuredFiles files;
    std::shared_ptr<const SecretBytes> vm_salt;
    measurement::ContentPolicy content = measurement::ContentPolicy::kChain;
    inspection::InsidePolicy inside = inspection::InsidePolicy::kNone;
  };

  GateReply Told(const GateCall& call);
  Judgement Judge(const Launch& launch, LaunchSession& session);
  Judgement JudgeOperation(const Launch& launch, LaunchSession& session);
  Judgement JudgePrepare(const Launch& launch, LaunchSession& session);
  Judgement JudgeStart(const Launch& launch, LaunchSession& session);
  Judgement JudgeStarted(const Launch& launch, LaunchSession& session);
  absl::StatusOr<std::string> PreparedXml(const Launch& launch,
                                          LaunchSession& session) const;
  // launch_migrate.cc.
  Judgement JudgeMigrate(const Launch& launch, LaunchSession& session);
  bool Runs(const std::string& vm_uuid) const;
  // `restore` and `migrate` come also for a VM that runs: libvirt refuses that
  // itself, and the VM goes on.
  bool IsAskedInVain(const Launch& launch) const;
  // launch_memory.cc: saved memory, and disks.
  Judgement JudgeRestore(const Launch& launch, LaunchSession& session);
  bool IsImageUnchanged(const Launch& launch,
                        const LaunchSession& session) const;
  // `judgement`, or the disks' refusal.
  Judgement JudgeDisks(const Launch& launch, std::string_view xml,
                       Judgement judgement);
  absl::Status Launched(const Launch& launch, const LaunchSession& session,
                        const GateReply& reply);
  void Ended(const GateCall& call, const std::string& vm_uuid);
  GateReply RegisterImage(const GateCall& call, MonotonicTime deadline);
  // The TPM's clock before anything is measured. What `prepare` read counts at
  // `start`, too, if that follows at once: one wait for the TPM in a launch.
  struct ClockReading {
    TpmClock at;
    TpmClock now;  // `at`, and what has passed since by the boot-time clock
  };
  absl::StatusOr<ClockReading> ReadClock(const Launch& launch,
                                         LaunchSession& session);
  // A verdict on what was measured: a kept one, or the verifier's.
  Judgement JudgeMeasured(const Launch& launch, const Measured& measured,
                          const ClockReading& clock);
  Judgement AskVerifier(const Launch& launch, const Measured& measured,
                        const TpmClock& measured_at,
                        const VerdictBinding& binding);
  absl::StatusOr<Measured> Measure(const Launch& launch, std::string_view xml);
  VerdictBinding BindingOf(const Launch& launch, const Measured& measured,
                           const TpmClock& now) const;

  // The decision, on its way to the ledger: `reply`, or the refusal that it is
  // because it would not be told.
  GateReply Tell(const Launch& launch, const LaunchSession& session,
                 GateReply reply);

  // Refusals, or nothing to object.
  std::optional<Judgement> CheckStrict(const Launch& launch,
                                       const LaunchSession& session) const;
  std::optional<Judgement> CheckStore(std::string_view xml) const;
  std::optional<Judgement> HoldInputs(const Launch& launch,
                                      std::string_view xml);
  std::optional<Judgement> CheckHeld(const Launch& launch,
                                     const LaunchSession& session);
  void KeepInputs(const Launch& launch, std::string_view xml,
                  const Measured& measured, LaunchSession& session);
  static void KeepWhatRuns(const GateCall& call, LaunchSession& session);
  std::string UnleasedFact(const Launch& launch) const;
  void Forget(const std::string& vm_uuid);

  GateReply Apply(const Launch& launch, LaunchSession& session,
                  Judgement judgement);
  bool BreaksGlass(const Launch& launch, LaunchSession& session);
  void Remember(const Launch& launch, LaunchSession session, bool allowed);
  void Learn(const Launch& launch, const Measured& measured,
             const TpmClock& measured_at);
  void Record(const Launch& launch, const GateReply& reply);

  const Parts parts_;
  const Options options_;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_LAUNCH_GATE_H_
