#include "daemon/gate_verifier.h"

#include <utility>

#include "gate/gate_key.h"
#include "gate/local_verifier.h"
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

absl::StatusOr<GateVerifier> MakeGateVerifier(
    const config::GateConfig& config, const std::filesystem::path& folder,
    std::shared_ptr<gate::LaunchVerifier> remote, signing::Signer& signer,
    const Clock& clock) {
  GateVerifier made;
  if (config.verifier) {
    made.verifier = std::move(remote);
    ASSIGN_OR_RETURN(made.keys, LoadVerifierKeys(config));
    return made;
  }
  ASSIGN_OR_RETURN_WITH(EcPrivateKey key,
                        gate::LoadOrMakeKey(folder / "verifier-key.pem"),
                        "gate");
  auto local = std::make_shared<gate::LocalVerifier>(
      token::TokenSigner(std::move(key)), clock,
      gate::LocalVerifier::Options{
          .references = config.references,
          .approvers = config.approvers,
          .identity = [&signer] { return signer.state().identity; }});
  made.keys = local->keys();
  made.verifier = std::move(local);
  return made;
}

}  // namespace vmattest::daemon
