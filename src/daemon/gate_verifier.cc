#include "daemon/gate_verifier.h"

#include <system_error>
#include <utility>

#include "daemon/embedded_verifier.h"
#include "token/key_file.h"

namespace vmattest::daemon {

absl::StatusOr<std::vector<token::VerificationKey>> LoadVerifierKeys(
    const config::GateConfig& config) {
  std::vector<token::VerificationKey> all;
  for (const std::filesystem::path& file : config.verifier_keys) {
    ASSIGN_OR_RETURN_WITH(const std::vector<token::VerificationKey> keys,
                          token::LoadKeyFile(file), "gate.verifier_keys");
    all.insert(all.end(), keys.begin(), keys.end());
  }
  return all;
}

GateVerifier RemoteVerifier(const config::GateConfig& config,
                            std::shared_ptr<gate::LaunchVerifier> remote) {
  return {.verifier = std::move(remote),
          .keys = [config] { return LoadVerifierKeys(config); }};
}

GateVerifier OwnVerifier(const config::GateConfig& config,
                         const verifierd::VerificationStack& stack,
                         const signing::Signer& signer, const Clock& clock) {
  return {
      .verifier = std::make_shared<EmbeddedVerifier>(EmbeddedVerifier::Parts{
          .hosts = stack.hosts(),
          .references = stack.references(),
          .orders = stack.orders(),
          .appraiser = stack.appraiser(),
          .store = stack.store(),
          .identity = [&signer] { return signer.state().identity; },
          .folder = config.references,
          .clock = clock}),
      .keys =
          [&stack]() -> absl::StatusOr<std::vector<token::VerificationKey>> {
        return stack.result_keys().Published();
      },
      .embedded = true};
}

absl::Status KeepEmbeddedKey(const std::filesystem::path& gate_folder,
                             const std::filesystem::path& verifier_folder) {
  const std::filesystem::path before = gate_folder / "verifier-key.pem";
  const std::filesystem::path now = verifier_folder / "result-key.pem";
  std::error_code error;
  if (!std::filesystem::exists(before, error) ||
      std::filesystem::exists(now, error)) {
    return absl::OkStatus();
  }
  std::filesystem::rename(before, now, error);
  return error ? ErrnoStatus(error.value(), before.string()) : absl::OkStatus();
}

}  // namespace vmattest::daemon
