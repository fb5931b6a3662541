#include "config/gate_schema.h"

#include <map>
#include <string>

#include "fmt/format.h"

namespace vmattest::config {
namespace {

// One verifier for both: what the gate asks about must be enrolled there.
absl::Status CheckVerifier(const v1::GateConfig& in,
                           const std::optional<VerifierClient>& verifier,
                           const KeyChecks& checks, GateConfig& to) {
  for (int i = 0; i < in.verifier_keys_size(); ++i) {
    ASSIGN_OR_RETURN(to.verifier_keys.emplace_back(),
                     checks.SecretPath(fmt::format("gate.verifier_keys[{}]", i),
                                       in.verifier_keys(i)));
  }
  if (in.verifier() == kEmbeddedVerifier) {
    return to.verifier_keys.empty()
               ? absl::OkStatus()
               : checks.Error("gate.verifier_keys",
                              "the embedded verifier has a key of its own");
  }
  if (!checks.HostPort("gate.verifier", in.verifier()).ok()) {
    return checks.Error("gate.verifier", "must be embedded or HOST:PORT");
  }
  if (!verifier) {
    return checks.Error("gate.verifier",
                        "needs verifier.certificate, private_key and ca");
  }
  if (verifier->address != in.verifier()) {
    return checks.Error(
        "gate.verifier",
        fmt::format("must be verifier.address, {}, where this host "
                    "enrols",
                    verifier->address));
  }
  if (to.verifier_keys.empty()) {
    return checks.Error(
        "gate.verifier_keys",
        "must name the verifier's keys: a key that only the wire "
        "tells proves nothing");
  }
  to.verifier = in.verifier();
  return absl::OkStatus();
}

absl::Status CheckFolders(const v1::GateConfig& in, const KeyChecks& checks,
                          GateConfig& to) {
  ASSIGN_OR_RETURN(to.approvers,
                   checks.AbsolutePath("gate.approvers", in.approvers()));
  ASSIGN_OR_RETURN(to.references,
                   checks.AbsolutePath("gate.references", in.references()));
  ASSIGN_OR_RETURN(to.hooks_dir,
                   checks.AbsolutePath("gate.hooks_dir", in.hooks_dir()));
  if (!in.hook_program().empty()) {
    ASSIGN_OR_RETURN(to.hook_program, checks.AbsolutePath("gate.hook_program",
                                                          in.hook_program()));
  }
  for (int i = 0; i < in.store_size(); ++i) {
    ASSIGN_OR_RETURN(
        std::filesystem::path path,
        checks.AbsolutePath(fmt::format("gate.store[{}]", i), in.store(i)));
    to.store.push_back(std::move(path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GateConfig> CheckGate(
    const v1::GateConfig& in, const std::optional<VerifierClient>& verifier,
    const KeyChecks& checks) {
  GateConfig to;
  to.enabled = in.enabled();
  ASSIGN_OR_RETURN(to.hook_socket,
                   checks.SocketPath("gate.hook_socket", in.hook_socket()));
  static const std::map<std::string, LaunchMode> kModes = {
      {"enforce", LaunchMode::kEnforce},
      {"warn", LaunchMode::kWarn},
      {"learn", LaunchMode::kLearn}};
  const auto mode = kModes.find(in.default_mode());
  if (mode == kModes.end()) {
    return checks.Error("gate.default_mode", "must be enforce, warn or learn");
  }
  to.default_mode = mode->second;
  RETURN_IF_ERROR(CheckVerifier(in, verifier, checks, to));
  if (in.on_drift() != "pause" && in.on_drift() != "alert") {
    return checks.Error("gate.on_drift", "must be pause or alert");
  }
  to.pause_on_drift = in.on_drift() == "pause";
  to.strict_start = in.strict_start();
  RETURN_IF_ERROR(
      checks.Range("gate.deadline_ms", in.deadline_ms(), 1000, 3'600'000));
  RETURN_IF_ERROR(checks.Range("gate.threads", in.threads(), 1, 256));
  RETURN_IF_ERROR(
      checks.Range("gate.max_waiting", in.max_waiting(), 1, 65'536));
  to.deadline_ms = in.deadline_ms();
  to.threads = in.threads();
  to.max_waiting = in.max_waiting();
  RETURN_IF_ERROR(CheckFolders(in, checks, to));
  return to;
}

void SetGateDefaults(v1::GateConfig& gate) {
  gate.set_hook_socket("/run/vmattest/hook.sock");
  gate.set_default_mode("enforce");
  gate.set_deadline_ms(30'000);
  gate.set_approvers("/etc/vmattest/approvers");
  gate.set_verifier("embedded");
  gate.set_references("/etc/vmattest/references");
  gate.set_hooks_dir("/etc/libvirt/hooks");
  gate.set_on_drift("pause");
  gate.set_threads(8);
  gate.set_max_waiting(256);
}

}  // namespace vmattest::config
