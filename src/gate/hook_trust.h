#ifndef VMATTEST_GATE_HOOK_TRUST_H_
#define VMATTEST_GATE_HOOK_TRUST_H_

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "token/ear.h"

namespace vmattest::gate {

// What the daemon tells the hook's installer: whom the hook shall believe.
struct HookTrust {
  std::filesystem::path socket;
  std::chrono::milliseconds deadline{0};
  std::string gate_key_pem;
  std::vector<token::VerificationKey> verifier_keys;
  std::string host_id;  // empty: not known yet
};

// As hook/hook_config.h reads it ("vmattest/hook/v1"), with deny when the
// daemon is away and every basis accepted. Pure; any thread.
std::string ToJson(const HookTrust& trust);

// Whether ToJson() of such a trust, of whatever host, wrote `file`.
bool IsOf(std::string_view file, HookTrust trust);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_HOOK_TRUST_H_
