#ifndef VMATTEST_DAEMON_GATE_VERIFIER_H_
#define VMATTEST_DAEMON_GATE_VERIFIER_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "config/daemon_config.h"
#include "gate/launch_verifier.h"
#include "signing/signer.h"
#include "token/ear.h"
#include "verifierd/stack.h"

namespace vmattest::daemon {

// Who judges launches, and whose signature makes a result: the hook believes
// the same keys. Callable from any thread.
struct GateVerifier {
  std::shared_ptr<gate::LaunchVerifier> verifier;
  // As of now.
  std::function<absl::StatusOr<std::vector<token::VerificationKey>>()> keys;
  bool embedded = false;
};

// The keys that the configuration pins. Errors name the key.
absl::StatusOr<std::vector<token::VerificationKey>> LoadVerifierKeys(
    const config::GateConfig& config);

// `remote`, with the keys that the configuration pins: what the verifier itself
// says about its keys is never asked for.
GateVerifier RemoteVerifier(const config::GateConfig& config,
                            std::shared_ptr<gate::LaunchVerifier> remote);

// The verifier of this process. All must outlive it.
GateVerifier OwnVerifier(const config::GateConfig& config,
                         const verifierd::VerificationStack& stack,
                         const signing::Signer& signer, const Clock& clock);

// What an embedded verifier signed with before it shared the keys of
// `verifier_folder`: moved there, if those are not made yet, so that installed
// hooks go on believing. Errors name the file. Main thread, before the stack.
absl::Status KeepEmbeddedKey(const std::filesystem::path& gate_folder,
                             const std::filesystem::path& verifier_folder);

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_GATE_VERIFIER_H_
