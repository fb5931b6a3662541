#ifndef VMATTEST_HOOK_HOOK_CONFIG_H_
#define VMATTEST_HOOK_HOOK_CONFIG_H_

#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "crypto/ecdsa.h"
#include "gate/protocol/messages.h"
#include "token/ear.h"

namespace vmattest::hook {

// What vmattest-hook knows: "vmattest/hook/v1", JSON, written by
// `vmattest hook install` (docs/gate.md has every key). Whom it believes
// stands here and nowhere else.
struct HookConfig {
  std::filesystem::path socket;
  std::chrono::milliseconds deadline{30'000};
  // A daemon that cannot be reached: let gated operations through?
  bool allow_when_unavailable = false;
  EcPublicKey gate_key;  // the daemon's
  // Whose verdicts count; and whose VM host they must be about, if given.
  std::vector<token::VerificationKey> verifier_keys;
  std::string host_id;
  // Why a launch may go on; the others are refused here too.
  std::set<gate::Basis> accept;
};

// INVALID_ARGUMENT names the key. Unknown keys are errors.
absl::StatusOr<HookConfig> ParseHookConfig(std::string_view json);

// Reads `path`. FAILED_PRECONDITION: it, or its folder, can be changed by
// others than `owner` (root). NOT_FOUND: no such file.
absl::StatusOr<HookConfig> LoadHookConfig(const std::filesystem::path& path,
                                          uid_t owner);

// Of the program at `program`: libvirt hands over nothing but PATH and HOME, so
// the place follows from where the program lies: HOOKS/qemu.d/vmattest has
// HOOKS/vmattest-hook.json.
std::filesystem::path ConfigPathFor(const std::filesystem::path& program);

}  // namespace vmattest::hook

#endif  // VMATTEST_HOOK_HOOK_CONFIG_H_
