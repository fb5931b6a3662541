#include "config/daemon_schema.h"

#include <algorithm>
#include <set>

#include "config/gate_schema.h"
#include "config/host_ledger_schema.h"
#include "config/key_checks.h"
#include "config/shared_schema.h"
#include "fmt/format.h"

namespace vmattest::config {
namespace {

namespace fs = std::filesystem;

constexpr uint16_t kAlgSha256 = 0x000B;
constexpr uint16_t kAlgSha384 = 0x000C;
constexpr uint32_t kPersistentFirst = 0x81000000;  // owner's persistent handles
constexpr uint32_t kPersistentLast = 0x817FFFFF;
constexpr uint32_t kHandlesUsed = 0x40;
constexpr uint32_t kOwnerNvFirst = 0x01800000;  // owner's NV indexes
constexpr uint32_t kOwnerNvLast = 0x01BFFFFF;
constexpr std::string_view kKeyAuthCredential = "vmattest.key-auth";

class Checker : private KeyChecks {
 public:
  Checker(const v1::DaemonConfig& message, const Origins& origins,
          const Environment& environment)
      : KeyChecks(origins, environment),
        in_(message),
        environment_(environment) {}

  absl::StatusOr<DaemonConfig> Run() {
    RETURN_IF_ERROR(General());
    RETURN_IF_ERROR(Listen());
    RETURN_IF_ERROR(Tpm());
    RETURN_IF_ERROR(Pcrs());
    RETURN_IF_ERROR(Measurement());
    RETURN_IF_ERROR(Limits());
    RETURN_IF_ERROR(Signing());
    RETURN_IF_ERROR(Processes());
    RETURN_IF_ERROR(Watching());
    RETURN_IF_ERROR(Memory());
    RETURN_IF_ERROR(Verification());
    RETURN_IF_ERROR(Verifier());
    RETURN_IF_ERROR(Gate());
    ASSIGN_OR_RETURN(out_.ledger,
                     CheckHostLedger(in_.ledger(), out_.gate.enabled, *this));
    RETURN_IF_ERROR(Tcp());
    return std::move(out_);
  }

 private:
  absl::Status General() {
    ASSIGN_OR_RETURN(out_.state_dir,
                     AbsolutePath("state_dir", in_.state_dir()));
    RETURN_IF_ERROR(LogLevel("log_level", in_.log_level()));
    out_.log_level = in_.log_level();
    if (in_.libvirt().uri().empty()) {
      return Error("libvirt.uri", "must not be empty");
    }
    out_.libvirt_uri = in_.libvirt().uri();
    return absl::OkStatus();
  }

  absl::Status Listen() {
    const v1::ListenConfig& listen = in_.listen();
    ASSIGN_OR_RETURN(out_.admin_socket,
                     SocketPath("listen.admin_socket", listen.admin_socket()));
    if (!listen.read_socket().empty()) {
      ASSIGN_OR_RETURN(out_.read_socket,
                       SocketPath("listen.read_socket", listen.read_socket()));
      if (out_.read_socket == out_.admin_socket) {
        return Error("listen.read_socket", "is the admin socket");
      }
    }
    out_.read_group = listen.read_group();
    out_.reflection = !listen.disable_reflection();
    return absl::OkStatus();
  }

  // A role without its service would be a grant that nobody sees.
  absl::Status Tcp() {
    if (!in_.listen().has_tcp()) {
      return absl::OkStatus();
    }
    std::vector<std::string_view> roles = {"read", "admin"};
    if (in_.verification().enabled() || out_.ledger) {
      roles.insert(roles.end(), {"host", "customer", "auditor", "operator"});
    }
    ASSIGN_OR_RETURN(out_.tcp, CheckTcp(in_.listen().tcp(), roles, *this));
    return absl::OkStatus();
  }

  absl::Status Verification() {
    ASSIGN_OR_RETURN(VerificationSettings settings,
                     CheckVerification(in_.verification(), *this));
    if (in_.verification().enabled()) {
      out_.verification = settings;
    }
    out_.verifier_stack = std::move(settings);
    return absl::OkStatus();
  }

  absl::Status Tpm() {
    const v1::TpmConfig& tpm = in_.tpm();
    if (tpm.tcti().empty()) {
      return Error("tpm.tcti", "must not be empty");
    }
    out_.tcti = tpm.tcti();
    if (tpm.pcr_bank() != "sha256" && tpm.pcr_bank() != "sha384") {
      return Error("tpm.pcr_bank", "must be sha256 or sha384");
    }
    out_.pcr_bank = tpm.pcr_bank() == "sha256" ? kAlgSha256 : kAlgSha384;
    const uint32_t base = tpm.persistent_handle_base();
    if (base < kPersistentFirst || base > kPersistentLast - kHandlesUsed) {
      return Error("tpm.persistent_handle_base",
                   fmt::format("must be from {:#x} to {:#x}", kPersistentFirst,
                               kPersistentLast - kHandlesUsed));
    }
    out_.persistent_handle_base = base;
    RETURN_IF_ERROR(Indexes());
    RETURN_IF_ERROR(KeyAuth());
    if (!tpm.owner_auth_file().empty()) {
      ASSIGN_OR_RETURN(out_.owner_auth_file, SecretPath("tpm.owner_auth_file",
                                                        tpm.owner_auth_file()));
    }
    if (!tpm.endorsement_auth_file().empty()) {
      ASSIGN_OR_RETURN(
          out_.endorsement_auth_file,
          SecretPath("tpm.endorsement_auth_file", tpm.endorsement_auth_file()));
    }
    return absl::OkStatus();
  }

  absl::Status Indexes() {
    const v1::TpmConfig& tpm = in_.tpm();
    if (!tpm.boot_log().empty()) {
      ASSIGN_OR_RETURN(out_.boot_log,
                       AbsolutePath("tpm.boot_log", tpm.boot_log()));
    }
    RETURN_IF_ERROR(Index("tpm.log_index", tpm.log_index()));
    RETURN_IF_ERROR(Index("tpm.counter_index", tpm.counter_index()));
    if (tpm.counter_index() == tpm.log_index() ||
        tpm.counter_index() + 1 == tpm.log_index()) {
      return Error("tpm.counter_index",
                   "this index or the next one is tpm.log_index");
    }
    out_.log_index = tpm.log_index();
    out_.counter_index = tpm.counter_index();
    return absl::OkStatus();
  }

  absl::Status Index(const std::string& key, uint32_t index) const {
    if (index < kOwnerNvFirst || index > kOwnerNvLast - 1) {
      return Error(key, fmt::format("must be from {:#x} to {:#x}",
                                    kOwnerNvFirst, kOwnerNvLast - 1));
    }
    return absl::OkStatus();
  }

  // Empty: systemd's credential if there is one, else a file of our own.
  absl::Status KeyAuth() {
    const std::string& text = in_.tpm().key_auth_file();
    if (!text.empty()) {
      ASSIGN_OR_RETURN(out_.key_auth_file,
                       SecretPath("tpm.key_auth_file", text));
    } else {
      out_.key_auth_file = out_.state_dir / "key-auth";
      const auto it = environment_.find("CREDENTIALS_DIRECTORY");
      std::error_code ignored;
      if (it != environment_.end() &&
          fs::exists(fs::path(it->second) / kKeyAuthCredential, ignored)) {
        out_.key_auth_file = fs::path(it->second) / kKeyAuthCredential;
      }
    }
    const fs::path relative =
        out_.key_auth_file.lexically_relative(out_.state_dir);
    out_.create_key_auth = !relative.empty() && *relative.begin() != "..";
    return absl::OkStatus();
  }

  absl::Status Pcrs() {
    std::set<uint32_t> pcrs;
    for (int i = 0; i < in_.tpm().pcrs_size(); ++i) {
      const uint32_t pcr = in_.tpm().pcrs(i);
      const std::string key = fmt::format("tpm.pcrs[{}]", i);
      RETURN_IF_ERROR(Range(key, pcr, 0, 23));
      if (!pcrs.insert(pcr).second) {
        return Error(key, fmt::format("PCR {} comes twice", pcr));
      }
    }
    for (uint32_t pcr = 0; pcr < 8; ++pcr) {
      if (!pcrs.contains(pcr)) {
        return Error("tpm.pcrs",
                     fmt::format("must hold 0 to 7: {} is missing", pcr));
      }
    }
    const uint32_t log_pcr = in_.tpm().log_pcr();
    if (log_pcr >= 16) {
      return Error("tpm.log_pcr",
                   fmt::format("must not be {}: it can be reset while the host "
                               "runs",
                               log_pcr));
    }
    if (log_pcr == 10) {
      return Error("tpm.log_pcr", "must not be 10: Linux extends it (IMA)");
    }
    RETURN_IF_ERROR(Range("tpm.log_pcr", log_pcr, 8, 15));
    if (!pcrs.contains(log_pcr)) {
      return Error("tpm.pcrs", fmt::format("must hold log_pcr, {}", log_pcr));
    }
    out_.log_pcr = log_pcr;
    out_.pcrs.assign(pcrs.begin(), pcrs.end());
    return absl::OkStatus();
  }

  absl::Status Measurement() {
    const v1::MeasurementConfig& measurement = in_.measurement();
    const auto algorithm = ParseHashAlgorithm(measurement.algorithm());
    if (!algorithm) {
      return Error("measurement.algorithm",
                   "must be sha256, sha384, sha512, sha3-256 or blake3");
    }
    out_.algorithm = *algorithm;
    static const std::map<std::string, Content> kPolicies = {
        {"full", Content::kFull},
        {"chain", Content::kChain},
        {"none", Content::kNone}};
    const auto policy = kPolicies.find(measurement.content());
    if (policy == kPolicies.end()) {
      return Error("measurement.content", "must be full, chain or none");
    }
    out_.content = policy->second;
    out_.digest_cache = !measurement.disable_digest_cache();
    RETURN_IF_ERROR(
        Range("measurement.hash_threads", measurement.hash_threads(), 0, 256));
    out_.hash_threads = measurement.hash_threads();
    static const std::map<std::string, Inside> kInside = {
        {"none", Inside::kNone},
        {"inventory", Inside::kInventory},
        {"full", Inside::kFull}};
    const auto inside = kInside.find(measurement.inside());
    if (inside == kInside.end()) {
      return Error("measurement.inside", "must be none, inventory or full");
    }
    out_.inside = inside->second;
    for (int i = 0; i < measurement.salted_vms_size(); ++i) {
      const std::string& vm = measurement.salted_vms(i);
      if (vm == "*") {
        out_.salt_all_vms = true;
        continue;
      }
      const absl::StatusOr<Uuid> uuid = ParseUuid(vm);
      if (!uuid.ok()) {
        return Error(fmt::format("measurement.salted_vms[{}]", i),
                     fmt::format("'{}' is neither a UUID nor \"*\"", vm));
      }
      out_.salted_vms.push_back(*uuid);
    }
    return absl::OkStatus();
  }

  absl::Status Signing() {
    const v1::SigningConfig& signing = in_.signing();
    static const std::map<std::string, PostQuantum> kModes = {
        {"off", PostQuantum::kOff},
        {"preferred", PostQuantum::kPreferred},
        {"required", PostQuantum::kRequired}};
    const auto mode = kModes.find(signing.post_quantum());
    if (mode == kModes.end()) {
      return Error("signing.post_quantum",
                   "must be preferred, required or off");
    }
    out_.signing.post_quantum = mode->second;
    if (signing.ml_dsa() != "ml-dsa-65" && signing.ml_dsa() != "ml-dsa-87") {
      return Error("signing.ml_dsa", "must be ml-dsa-65 or ml-dsa-87");
    }
    out_.signing.ml_dsa = signing.ml_dsa();
    if (!signing.module().empty()) {
      ASSIGN_OR_RETURN(const fs::path module,
                       AbsolutePath("signing.module", signing.module()));
      out_.signing.module = module.string();
    }
    if (!signing.seal_authority().empty()) {
      ASSIGN_OR_RETURN(
          out_.signing.seal_authority,
          AbsolutePath("signing.seal_authority", signing.seal_authority()));
    }
    RETURN_IF_ERROR(
        Range("signing.rotate_days", signing.rotate_days(), 0, 3650));
    RETURN_IF_ERROR(
        Range("signing.overlap_days", signing.overlap_days(), 0, 365));
    out_.signing.rotate_days = signing.rotate_days();
    out_.signing.overlap_days = signing.overlap_days();
    return absl::OkStatus();
  }

  absl::Status Processes() {
    const v1::ProcessesConfig& in = in_.processes();
    ProcessesConfig& to = out_.processes;
    if (!in.signer().empty()) {
      ASSIGN_OR_RETURN(to.signer,
                       AbsolutePath("processes.signer", in.signer()));
    }
    if (!in.worker().empty()) {
      ASSIGN_OR_RETURN(to.worker,
                       AbsolutePath("processes.worker", in.worker()));
    }
    to.worker_user = in.worker_user();
    RETURN_IF_ERROR(Range("processes.worker_memory_mib", in.worker_memory_mib(),
                          64, 65'536));
    RETURN_IF_ERROR(
        Range("processes.worker_seconds", in.worker_seconds(), 1, 86'400));
    RETURN_IF_ERROR(Range("processes.max_workers", in.max_workers(), 1, 256));
    to.worker_memory_mib = in.worker_memory_mib();
    to.worker_seconds = in.worker_seconds();
    to.max_workers = in.max_workers();
    ASSIGN_OR_RETURN(to.scratch_dir,
                     AbsolutePath("processes.scratch_dir", in.scratch_dir()));
    return Guestfs(in, to);
  }

  absl::Status Guestfs(const v1::ProcessesConfig& in,
                       ProcessesConfig& to) const {
    to.guestfs = in.guestfs_worker() != "off";
    if (to.guestfs && !in.guestfs_worker().empty()) {
      ASSIGN_OR_RETURN(
          to.guestfs_worker,
          AbsolutePath("processes.guestfs_worker", in.guestfs_worker()));
    }
    if (!in.guestfs_appliance().empty()) {
      ASSIGN_OR_RETURN(
          to.guestfs_appliance,
          AbsolutePath("processes.guestfs_appliance", in.guestfs_appliance()));
    }
    to.guestfs_tcg = in.guestfs_accelerator() == "tcg";
    if (!to.guestfs_tcg && in.guestfs_accelerator() != "auto") {
      return Error("processes.guestfs_accelerator", "must be auto or tcg");
    }
    to.guestfs_seconds = in.guestfs_seconds();
    return Range("processes.guestfs_seconds", in.guestfs_seconds(), 1, 86'400);
  }

  absl::Status Memory() {
    const v1::MemoryConfig& in = in_.memory();
    MemoryConfig& to = out_.memory;
    to.enabled = in.enabled();
    ASSIGN_OR_RETURN(to.policies,
                     AbsolutePath("memory.policies", in.policies()));
    to.keep = in.keep();
    to.threads = in.threads();
    to.max_workers = in.max_workers();
    to.worker_memory_mib = in.worker_memory_mib();
    to.max_peek_mib = in.max_peek_mib();
    to.max_moment_mib = in.max_moment_mib();
    if (!in.modules().empty()) {
      ASSIGN_OR_RETURN(to.modules,
                       AbsolutePath("memory.modules", in.modules()));
    }
    RETURN_IF_ERROR(Range("memory.keep", in.keep(), 1, 10'000));
    RETURN_IF_ERROR(Range("memory.threads", in.threads(), 1, 64));
    RETURN_IF_ERROR(Range("memory.max_workers", in.max_workers(), 1, 256));
    RETURN_IF_ERROR(Range("memory.worker_memory_mib", in.worker_memory_mib(),
                          64, 1'048'576));
    RETURN_IF_ERROR(
        Range("memory.max_peek_mib", in.max_peek_mib(), 1, 1'048'576));
    RETURN_IF_ERROR(
        Range("memory.max_moment_mib", in.max_moment_mib(), 0, 1'048'576));
    return GuestRequests(in.guest_requests(), to);
  }

  absl::Status GuestRequests(const v1::GuestRequestsConfig& in,
                             MemoryConfig& memory) const {
    MemoryConfig::GuestRequests& to = memory.guest_requests;
    to.enabled = in.enabled();
    to.min_interval_seconds = in.min_interval_seconds();
    RETURN_IF_ERROR(Range("memory.guest_requests.min_interval_seconds",
                          in.min_interval_seconds(), 1, 86'400));
    for (int i = 0; i < in.policies_size(); ++i) {
      const std::string key =
          fmt::format("memory.guest_requests.policies[{}]", i);
      const std::string& id = in.policies(i);
      if (id.empty()) {
        return Error(key, "must not be empty");
      }
      if (std::find(to.policies.begin(), to.policies.end(), id) !=
          to.policies.end()) {
        return Error(key, fmt::format("'{}' is named twice", id));
      }
      to.policies.push_back(id);
    }
    if (to.enabled && to.policies.empty()) {
      return Error("memory.guest_requests.policies",
                   "must name what guests may ask for");
    }
    if (to.enabled && !memory.enabled) {
      return Error("memory.guest_requests.enabled", "needs memory.enabled");
    }
    return absl::OkStatus();
  }

  absl::Status Watching() {
    out_.watch_kvm = !in_.kvm().disable_watch();
    ASSIGN_OR_RETURN(
        out_.libvirt_run_dir,
        AbsolutePath("kvm.libvirt_run_dir", in_.kvm().libvirt_run_dir()));
    const std::string& address = in_.metrics().address();
    if (!address.empty()) {
      RETURN_IF_ERROR(HostPort("metrics.address", address));
      out_.metrics_address = address;
    }
    return absl::OkStatus();
  }

  absl::Status Verifier() {
    if (!in_.has_verifier()) {
      return absl::OkStatus();
    }
    const v1::VerifierClientConfig& in = in_.verifier();
    VerifierClient& to = out_.verifier.emplace();
    const std::string& of_gate = in_.gate().verifier();
    to.address = in.address().empty() && of_gate != kEmbeddedVerifier
                     ? of_gate
                     : in.address();
    RETURN_IF_ERROR(HostPort("verifier.address", to.address));
    to.server_name = in.server_name();
    ASSIGN_OR_RETURN(to.certificate,
                     SecretPath("verifier.certificate", in.certificate()));
    ASSIGN_OR_RETURN(to.private_key,
                     SecretPath("verifier.private_key", in.private_key()));
    ASSIGN_OR_RETURN(to.ca, SecretPath("verifier.ca", in.ca()));
    return absl::OkStatus();
  }

  absl::Status Gate() {
    ASSIGN_OR_RETURN(out_.gate, CheckGate(in_.gate(), out_.verifier, *this));
    return out_.gate.verifier ? absl::OkStatus() : EmbeddedVerifier(out_.gate);
  }

  // One book: what the gate asks is what is served, if it is.
  absl::Status EmbeddedVerifier(const GateConfig& gate) {
    if (!gate.enabled) {
      return absl::OkStatus();
    }
    if (out_.verification && gate.approvers != out_.verification->approvers) {
      return Error("gate.approvers",
                   fmt::format("must be verification.approvers, {}: the "
                               "embedded verifier is the one that is served",
                               out_.verification->approvers.string()));
    }
    out_.verifier_stack.approvers = gate.approvers;
    if (out_.verifier_stack.module.empty()) {
      out_.verifier_stack.module = out_.signing.module;
    }
    return absl::OkStatus();
  }

  absl::Status Limits() {
    const v1::LimitsConfig& in = in_.limits();
    struct Limit {
      const char* key;
      uint32_t value, low, high;
      uint32_t DaemonConfig::*to;
    };
    const Limit limits[] = {
        {"max_pending_seals", in.max_pending_seals(), 1, 65'536,
         &DaemonConfig::max_pending_seals},
        {"request_threads", in.request_threads(), 1, 256,
         &DaemonConfig::request_threads},
        {"max_queued_requests", in.max_queued_requests(), 1, 65'536,
         &DaemonConfig::max_queued_requests},
        {"max_watchers", in.max_watchers(), 1, 4096,
         &DaemonConfig::max_watchers},
        {"watcher_queue", in.watcher_queue(), 16, 65'536,
         &DaemonConfig::watcher_queue},
        {"max_message_bytes", in.max_message_bytes(), 4096, 64u << 20,
         &DaemonConfig::max_message_bytes},
        {"event_history", in.event_history(), 100, 10'000'000,
         &DaemonConfig::event_history},
    };
    for (const Limit& limit : limits) {
      RETURN_IF_ERROR(Range(fmt::format("limits.{}", limit.key), limit.value,
                            limit.low, limit.high));
      out_.*limit.to = limit.value;
    }
    return absl::OkStatus();
  }

  const v1::DaemonConfig& in_;
  const Environment& environment_;
  DaemonConfig out_;
};

}  // namespace

v1::DaemonConfig DefaultMessage() {
  v1::DaemonConfig message;
  message.set_state_dir("/var/lib/vmattest");
  message.set_log_level("info");
  message.mutable_listen()->set_admin_socket("/run/vmattest/admin.sock");
  message.mutable_listen()->set_read_socket("/run/vmattest/read.sock");
  message.mutable_libvirt()->set_uri("qemu:///system");
  v1::TpmConfig& tpm = *message.mutable_tpm();
  tpm.set_tcti("device:/dev/tpmrm0");
  for (const uint32_t pcr : {0, 1, 2, 3, 4, 5, 6, 7, 13}) {
    tpm.add_pcrs(pcr);
  }
  tpm.set_log_pcr(13);
  tpm.set_pcr_bank("sha256");
  tpm.set_persistent_handle_base(0x81010100);
  tpm.set_boot_log("/sys/kernel/security/tpm0/binary_bios_measurements");
  tpm.set_log_index(0x01810130);
  tpm.set_counter_index(0x01810131);
  v1::MeasurementConfig& measurement = *message.mutable_measurement();
  measurement.set_algorithm("sha256");
  measurement.set_content("chain");
  measurement.set_inside("none");
  v1::LimitsConfig& limits = *message.mutable_limits();
  limits.set_max_pending_seals(4096);
  limits.set_request_threads(4);
  limits.set_max_queued_requests(4096);
  limits.set_max_watchers(64);
  limits.set_watcher_queue(1024);
  limits.set_max_message_bytes(1u << 20);
  limits.set_event_history(100'000);
  v1::SigningConfig& signing = *message.mutable_signing();
  signing.set_post_quantum("preferred");
  signing.set_ml_dsa("ml-dsa-65");
  signing.set_overlap_days(30);
  v1::ProcessesConfig& processes = *message.mutable_processes();
  processes.set_worker_user("vmattest-worker");
  processes.set_worker_memory_mib(1024);
  processes.set_worker_seconds(600);
  processes.set_max_workers(4);
  processes.set_scratch_dir("/var/cache/vmattest");
  processes.set_guestfs_accelerator("auto");
  processes.set_guestfs_seconds(120);
  message.mutable_metrics()->set_address("");
  v1::MemoryConfig& memory = *message.mutable_memory();
  memory.set_policies("/etc/vmattest/policies");
  memory.set_keep(16);
  memory.set_threads(2);
  memory.set_max_workers(8);
  memory.set_worker_memory_mib(1024);
  memory.set_max_peek_mib(512);
  memory.set_max_moment_mib(1024);
  memory.mutable_guest_requests()->set_min_interval_seconds(60);
  message.mutable_kvm()->set_libvirt_run_dir("/run/libvirt/qemu");
  SetVerificationDefaults(*message.mutable_verification());
  SetHostLedgerDefaults(*message.mutable_ledger());
  SetGateDefaults(*message.mutable_gate());
  return message;
}

absl::StatusOr<DaemonConfig> FromMessage(const v1::DaemonConfig& message,
                                         const Origins& origins,
                                         const Environment& environment) {
  return Checker(message, origins, environment).Run();
}

}  // namespace vmattest::config
