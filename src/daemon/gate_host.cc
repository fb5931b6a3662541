#include "daemon/gate_host.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "base/mutex.h"
#include "daemon/config_values.h"
#include "daemon/policy_feed.h"
#include "daemon/setup.h"
#include "fmt/format.h"
#include "gate/drift_watch.h"
#include "gate/file_leases.h"
#include "gate/gate_key.h"
#include "gate/hook_folder.h"
#include "gate/hook_trust.h"
#include "gate/hook_watch.h"
#include "gate/launch_gate.h"
#include "gate/socket/hook_server.h"
#include "ipc/program_path.h"

namespace vmattest::daemon {
namespace {

// The daemon's own answer must come before the hook gives up on it.
constexpr std::chrono::milliseconds kMargin{1000};
// Well below the ledger's grace for VMs that nobody tells of.
constexpr std::chrono::seconds kUnseen{30};
constexpr size_t kMaxTrust = 1u << 20;

reference::GateMode ToMode(config::LaunchMode mode) {
  switch (mode) {
    case config::LaunchMode::kEnforce:
      return reference::GateMode::kEnforce;
    case config::LaunchMode::kWarn:
      return reference::GateMode::kWarn;
    case config::LaunchMode::kLearn:
      return reference::GateMode::kLearn;
  }
  return reference::GateMode::kEnforce;
}

gate::LaunchGate::Options GateOptions(const config::DaemonConfig& config,
                                      const GateHost::Parts& parts) {
  gate::LaunchGate::Options options;
  options.algorithm = config.algorithm;
  options.content = ToPolicy(config.content);
  options.inside = ToPolicy(config.inside);
  options.salted = parts.salted;
  options.learned = config.state_dir / "gate" / "learned";
  options.store = config.gate.store;
  return options;
}

gate::HookServer::Options ServerOptions(const config::GateConfig& config) {
  gate::HookServer::Options options;
  options.path = config.hook_socket;
  options.threads = config.threads;
  options.max_waiting = config.max_waiting;
  options.deadline = std::chrono::milliseconds(config.deadline_ms);
  return options;
}

}  // namespace

struct GateHost::Work {
  Work(const config::DaemonConfig& config_in, Parts parts_in,
       gate::GateKey key_in, std::vector<token::VerificationKey> keys_in,
       std::unique_ptr<gate::PolicyStore> policy_in,
       std::filesystem::path hook_program);
  void Note(std::string kind, std::map<std::string, std::string> facts);
  std::function<void(std::string, std::map<std::string, std::string>)> Noter() {
    return [this](std::string kind, std::map<std::string, std::string> facts) {
      Note(std::move(kind), std::move(facts));
    };
  }
  gate::GateReply Decide(const gate::GateCall& call, MonotonicTime deadline);
  gate::GateReply Busy(const gate::GateCall& call) const;
  void Look();
  void TellLedger(const std::vector<std::string>& as_approved);
  void LookSoon();
  absl::StatusOr<gate::HookTrust> Trust(std::string host_id) const;
  absl::Status DropOldTrust() const;
  absl::Status WriteTrust();
  absl::Status RefreshKeys() EXCLUDES_LOCK(keys_mutex);
  [[nodiscard]] std::vector<std::string> Defined() const;
  // Something of that VM may be another: looked at soon, on `gate-look`.
  void Changed(const std::string& vm_uuid) EXCLUDES_LOCK(changed_mutex);
  void LookAtChanged() EXCLUDES_LOCK(changed_mutex);

  const config::DaemonConfig config;
  const Parts parts;
  const std::filesystem::path folder = config.state_dir / "gate";
  const gate::GateKey key;
  const std::unique_ptr<gate::PolicyStore> policy;
  Mutex keys_mutex;  // of who replaces them
  Current<std::vector<token::VerificationKey>> verifier_keys;
  gate::VerdictCache verdicts{folder / "verdicts"};
  Mutex changed_mutex;
  std::set<std::string> changed GUARDED_BY(changed_mutex);
  ThreadPool look_pool{"gate-look", 1, 4};
  gate::FileLeases leases{[this](const std::string& vm) { Changed(vm); }};
  gate::SessionStore running{folder / "running", gate::BootId()};
  gate::LaunchSessions sessions;
  gate::SavedImages images;
  gate::DiskContinuity disks;
  gate::EvidenceMaker evidence;
  gate::StartGrants grants;
  gate::LaunchGate gate;
  gate::HookWatch hook;
  gate::HookFolder hooks{config.gate.hooks_dir, [this](auto facts) {
                           Note("gate-hook", std::move(facts));
                         }};
  gate::DriftWatch drift;
  gate::StrictStart strict;
  PolicyFeed feed;
  std::atomic<bool> looking = false;
  std::atomic<bool> connected = false;
  std::atomic<bool> keys_changed = false;
  std::string trusted_host;  // of the thread that looks, as the next
  bool taken_up = false;
  std::map<std::string, MonotonicTime> unseen_since;
  std::unique_ptr<gate::HookServer> server;
};

GateHost::Work::Work(const config::DaemonConfig& config_in, Parts parts_in,
                     gate::GateKey key_in,
                     std::vector<token::VerificationKey> keys_in,
                     std::unique_ptr<gate::PolicyStore> policy_in,
                     std::filesystem::path hook_program)
    : config(config_in),
      parts(std::move(parts_in)),
      key(std::move(key_in)),
      policy(std::move(policy_in)),
      verifier_keys(std::move(keys_in)),
      sessions(parts.clock, &running),
      images(folder / "images", parts.clock, Noter()),
      disks(folder / "disks", {.digester = parts.digester,
                               .hashing = &parts.hashing,
                               .make_parser = parts.make_parser,
                               .clock = parts.clock,
                               .note = Noter()}),
      evidence(parts.signer, parts.clock, {.unmanaged = parts.unmanaged}),
      gate({.digester = parts.digester,
            .hashing = &parts.hashing,
            .inspector = parts.inspector,
            .make_parser = parts.make_parser,
            .evidence = evidence,
            .verifier = *parts.verifier.verifier,
            .verifier_keys = verifier_keys,
            .policy = *policy,
            .verdicts = verdicts,
            .sessions = sessions,
            .images = images,
            .disks = disks,
            .leases = leases,
            .grants = grants,
            .store = parts.store,
            .ledger = parts.ledger,
            .note = Noter(),
            .clock = parts.clock},
           GateOptions(config, parts)),
      hook(sessions, {.hooks = config.gate.hooks_dir,
                      .program = std::move(hook_program),
                      .called = folder / "called"}),
      drift({.hypervisor = parts.hypervisor,
             .digester = parts.digester,
             .make_parser = parts.make_parser,
             .sessions = sessions,
             .leases = leases,
             .note = Noter(),
             .scratch = config.processes.scratch_dir},
            config.gate.pause_on_drift),
      strict({.hypervisor = parts.hypervisor,
              .digester = parts.digester,
              .make_parser = parts.make_parser,
              .sessions = sessions,
              .leases = leases,
              .grants = grants,
              .note = Noter(),
              .scratch = config.processes.scratch_dir}),
      feed({.verifier = *parts.verifier.verifier,
            .policy = *policy,
            .defined = [this] { return Defined(); },
            .asked = [this] { LookSoon(); },
            .clock = parts.clock}) {}

void GateHost::Work::Note(std::string kind,
                          std::map<std::string, std::string> facts) {
  parts.journal.Note(std::move(kind), std::move(facts));
}

gate::GateReply GateHost::Work::Decide(const gate::GateCall& call,
                                       MonotonicTime deadline) {
  if (call.operation != gate::kRegisterImage) {
    hook.NoteCall();
  }
  // A key of this process may sign from one moment to the next.
  if (parts.verifier.embedded) {
    RefreshKeys().IgnoreError();
  }
  gate::GateReply reply = gate.Decide(call, deadline);
  if (reply.code == "gate-no-reference") {
    feed.Want(reply.vm_uuid);
  }
  key.Sign(call, reply);
  return reply;
}

gate::GateReply GateHost::Work::Busy(const gate::GateCall& call) const {
  gate::GateReply reply;
  if (gate::IsGated(call.operation) || call.operation == gate::kRegisterImage) {
    reply.code = "gate-busy";
    reply.sentence =
        "too many VMs are starting at once; try again in a moment, or raise "
        "gate.max_waiting";
  } else {
    reply.allowed = true;
    reply.basis = gate::Basis::kNotGated;
  }
  key.Sign(call, reply);
  return reply;
}

// As they were, if they cannot be read.
absl::Status GateHost::Work::RefreshKeys() {
  const MutexLock lock(keys_mutex);
  ASSIGN_OR_RETURN(std::vector<token::VerificationKey> keys,
                   parts.verifier.keys());
  const auto before = verifier_keys.Get();
  if (!std::equal(keys.begin(), keys.end(), before->begin(), before->end(),
                  [](const auto& a, const auto& b) {
                    return a.key_id() == b.key_id();
                  })) {
    verifier_keys.Set(std::move(keys));
    keys_changed = true;
  }
  return absl::OkStatus();
}

absl::StatusOr<gate::HookTrust> GateHost::Work::Trust(
    std::string host_id) const {
  gate::HookTrust trust;
  trust.socket = config.gate.hook_socket;
  trust.deadline = std::chrono::milliseconds(config.gate.deadline_ms) + kMargin;
  ASSIGN_OR_RETURN(trust.gate_key_pem, key.ToPem());
  trust.verifier_keys = *verifier_keys.Get();
  trust.host_id = std::move(host_id);
  return trust;
}

// So that nobody installs a hook that believes the keys of another
// configuration.
absl::Status GateHost::Work::DropOldTrust() const {
  const std::filesystem::path file = folder / "hook.json";
  const absl::StatusOr<Bytes> before = ReadFile(file, kMaxTrust);
  if (absl::IsNotFound(before.status())) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(gate::HookTrust trust, Trust(""));
  if (before.ok() && gate::IsOf(AsText(*before), std::move(trust))) {
    return absl::OkStatus();
  }
  std::error_code error;
  std::filesystem::remove(file, error);
  return error ? ErrnoStatus(error.value(), file.string()) : absl::OkStatus();
}

// What the hook believes; the host's id is known once the TPM was reached.
absl::Status GateHost::Work::WriteTrust() {
  const auto identity = parts.signer.state().identity;
  const std::string host = identity ? identity->host_id : "";
  std::error_code ignored;
  if (keys_changed.exchange(false)) {
    trusted_host.clear();
  }
  if ((!trusted_host.empty() && trusted_host == host) ||
      (host.empty() &&
       std::filesystem::exists(folder / "hook.json", ignored))) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const gate::HookTrust trust, Trust(host));
  RETURN_IF_ERROR(WriteFileAtomic(folder / "hook.json",
                                  AsBytes(gate::ToJson(trust)), 0600));
  trusted_host = host;
  return absl::OkStatus();
}

void GateHost::Work::Look() {
  if (parts.verifier.embedded) {
    RefreshKeys().IgnoreError();
  }
  absl::Status status = Annotate(WriteTrust(), "gate");
  if (status.ok()) {
    status = feed.status();
  }
  if (status.ok()) {
    status = hook.Check();
  }
  const absl::Status others = Annotate(hooks.Check(), "gate");
  status.Update(others);
  parts.health.Set("gate", status);
  if (connected && !std::exchange(taken_up, true)) {
    drift.TakeUp();
  }
  TellLedger(drift.Look());
  LookAtChanged();
}

// A VM that nobody could look at holds the others up for a while, so that no
// pass is told that was none; then it fails. Without libvirt nothing is told:
// the ledger counts silence.
void GateHost::Work::TellLedger(const std::vector<std::string>& as_approved) {
  if (parts.ledger == nullptr || !connected) {
    return;
  }
  std::vector<gate::LaunchLedger::Looked> all;
  for (const std::string& uuid : sessions.Running(/*drifted=*/true)) {
    all.push_back({.vm_uuid = uuid, .code = "gate-drift"});
  }
  for (const std::string& uuid : as_approved) {
    all.push_back({.vm_uuid = uuid, .as_approved = true, .code = ""});
  }
  const std::set<std::string> looked(as_approved.begin(), as_approved.end());
  const MonotonicTime now = parts.clock.Monotonic();
  std::map<std::string, MonotonicTime> unseen;
  bool wait = false;
  for (const std::string& uuid : sessions.Running()) {
    if (looked.contains(uuid)) {
      continue;
    }
    const auto before = unseen_since.find(uuid);
    const MonotonicTime since =
        before == unseen_since.end() ? now : before->second;
    unseen.emplace(uuid, since);
    wait = wait || now - since < kUnseen;
    all.push_back({.vm_uuid = uuid, .code = "gate-not-seen"});
  }
  unseen_since = std::move(unseen);
  if (!wait) {
    parts.ledger->Tick(all);
  }
}

void GateHost::Work::LookSoon() {
  if (!looking.exchange(true) && !look_pool
                                      .Submit([this] {
                                        looking = false;
                                        Look();
                                      })
                                      .ok()) {
    looking = false;
  }
}

std::vector<std::string> GateHost::Work::Defined() const {
  std::vector<std::string> uuids;
  const auto domains = parts.hypervisor.ListDomains();
  if (domains.ok()) {
    for (const hypervisor::Domain& domain : *domains) {
      uuids.push_back(ToString(domain.uuid));
    }
  }
  return uuids;
}

void GateHost::Work::Changed(const std::string& vm_uuid) {
  {
    const MutexLock lock(changed_mutex);
    const bool waits = !changed.empty();
    if (changed.size() < gate::LaunchSessions::kMost) {
      changed.insert(vm_uuid);
    }
    if (waits) {
      return;
    }
  }
  // Without a place in the queue the next look does it.
  (void)look_pool.Submit([this] { LookAtChanged(); });
}

void GateHost::Work::LookAtChanged() {
  std::set<std::string> now;
  {
    const MutexLock lock(changed_mutex);
    now.swap(changed);
  }
  for (const std::string& vm_uuid : now) {
    drift.LookAt(vm_uuid);
  }
}

GateHost::GateHost(std::unique_ptr<Work> work) : work_(std::move(work)) {}

GateHost::~GateHost() {
  StopListening();
  work_->server.reset();
  work_->feed.Stop();
  work_->look_pool.Shutdown();
}

absl::StatusOr<std::unique_ptr<GateHost>> GateHost::Make(
    const config::DaemonConfig& config, Parts parts) {
  const std::filesystem::path folder = config.state_dir / "gate";
  std::error_code error;
  std::filesystem::create_directories(folder / "learned", error);
  if (error) {
    return ErrnoStatus(error.value(), folder.string());
  }
  ASSIGN_OR_RETURN_WITH(EcPrivateKey key,
                        gate::LoadOrMakeKey(folder / "gate-key.pem"), "gate");
  ASSIGN_OR_RETURN(std::vector<token::VerificationKey> keys,
                   parts.verifier.keys());
  ASSIGN_OR_RETURN(
      auto policy,
      gate::PolicyStore::Open({.folder = folder,
                               .approvers = config.gate.approvers,
                               .default_mode = ToMode(config.gate.default_mode),
                               .strict_start = config.gate.strict_start}));
  ASSIGN_OR_RETURN_WITH(
      std::filesystem::path program,
      ipc::FindProgram(config.gate.hook_program, "vmattest-hook"),
      "gate.hook_program");
  auto host = std::unique_ptr<GateHost>(new GateHost(std::make_unique<Work>(
      config, std::move(parts), gate::GateKey(std::move(key)), std::move(keys),
      std::move(policy), std::move(program))));
  RETURN_IF_ERROR(Annotate(host->work_->DropOldTrust(), "gate"));
  if (host->work_->parts.verifier.embedded) {
    host->work_->feed.Ask();
  } else {
    host->work_->feed.Kick();
  }
  return host;
}

absl::Status GateHost::Listen() {
  Work& work = *work_;
  // A folder is read at once; another machine may be silent for long.
  if (work.parts.verifier.embedded) {
    work.feed.Ask();
  }
  ASSIGN_OR_RETURN_WITH(
      work.server,
      gate::HookServer::Start(
          ServerOptions(work.config.gate),
          {.decide =
               [&work](const gate::GateCall& call, MonotonicTime deadline) {
                 return work.Decide(call, deadline);
               },
           .busy =
               [&work](const gate::GateCall& call) {
                 return work.Busy(call);
               }}),
      "gate.hook_socket");
  return absl::OkStatus();
}

void GateHost::TellIsolated(const Uuid& vm) {
  work_->sessions.MarkIsolated(ToString(vm));
}

absl::Status GateHost::Reload() {
  Work& work = *work_;
  absl::Status status = work.policy->ReloadApprovers();
  status.Update(work.RefreshKeys());
  Tick();
  return status;
}

void GateHost::StopListening() {
  if (work_->server != nullptr) {
    work_->server->StopListening();
  }
}

void GateHost::Tick() {
  work_->feed.Kick();
  work_->LookSoon();
}

absl::StatusOr<gate::StrictStart::Outcome> GateHost::StartVm(
    const std::string& vm, bool keep_paused) {
  return work_->strict.Start(vm, keep_paused);
}

void GateHost::OnConnected() {
  work_->connected = true;
  Tick();
  work_->parts.next.OnConnected();
}

void GateHost::OnChange(const Uuid& uuid) {
  work_->Changed(ToString(uuid));
  work_->parts.next.OnChange(uuid);
}

void GateHost::OnReset(const Uuid& uuid) { work_->parts.next.OnReset(uuid); }

void GateHost::OnDisconnected(const absl::Status& why) {
  work_->connected = false;
  work_->parts.next.OnDisconnected(why);
}

void GateHost::OnLifecycle(const hypervisor::LifecycleEvent& event) {
  if (event.kind == hypervisor::LifecycleKind::kStopped ||
      event.kind == hypervisor::LifecycleKind::kCrashed) {
    work_->images.Ended(ToString(event.uuid), event.saved);
  }
  if (event.kind == hypervisor::LifecycleKind::kResumed) {
    work_->Changed(ToString(event.uuid));
  }
  if (event.kind == hypervisor::LifecycleKind::kStarted &&
      !work_->hook.NoteStarted(ToString(event.uuid), event.name)) {
    work_->images.StartedUnseen(ToString(event.uuid));
    log::Error("a VM started without the launch gate", {{"vm", event.name}});
    work_->Note("gate-bypassed", {{"vm_uuid", ToString(event.uuid)},
                                  {"vm_name", event.name.substr(0, 512)}});
    Tick();
  }
  work_->parts.next.OnLifecycle(event);
}

}  // namespace vmattest::daemon
