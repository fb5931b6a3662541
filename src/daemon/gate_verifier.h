#ifndef VMATTEST_DAEMON_GATE_VERIFIER_H_
#define VMATTEST_DAEMON_GATE_VERIFIER_H_

#include <filesystem>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "config/daemon_config.h"
#include "gate/launch_verifier.h"
#include "signing/signer.h"
#include "token/ear.h"

namespace vmattest::daemon {

// Who judges launches, and whose signature makes a result: the hook believes
// the same keys.
struct GateVerifier {
  std::shared_ptr<gate::LaunchVerifier> verifier;
  std::vector<token::VerificationKey> keys;
};

// The keys that the configuration pins. Errors name the key.
absl::StatusOr<std::vector<token::VerificationKey>> LoadVerifierKeys(
    const config::GateConfig& config);

// The embedded verifier, whose key is made in `folder` if it is missing, or
// `remote` with the keys that the configuration pins. What the verifier itself
// says about its keys is never asked for. `signer` and `clock` must outlive it.
// Errors name the key. Main thread.
absl::StatusOr<GateVerifier> MakeGateVerifier(
    const config::GateConfig& config, const std::filesystem::path& folder,
    std::shared_ptr<gate::LaunchVerifier> remote, signing::Signer& signer,
    const Clock& clock);

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_GATE_VERIFIER_H_
