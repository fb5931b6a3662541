#ifndef VMATTEST_GATE_PROTOCOL_VERDICT_TOKEN_H_
#define VMATTEST_GATE_PROTOCOL_VERDICT_TOKEN_H_

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "token/ear.h"
#include "vmattest/types/verdict.h"

// Whether a verifier's token lets a VM start: daemon and hook ask the same.
// Pure; any thread.

namespace vmattest::gate {

struct TokenDemands {
  std::string vm_uuid;
  std::string host_id;  // empty: any
  std::optional<Bytes> nonce;
  WallTime now;
};

struct CheckedToken {
  // Genuine, not expired, of this VM and host, and affirming in every part.
  // Reason codes: those of token/ear.h, "reply-vm", "reply-host",
  // "reply-verdict".
  Verdict verdict;
  bool genuine = false;  // it is the verifier's word about this VM
  token::Ear ear;        // only if genuine
};
CheckedToken CheckVerdictToken(std::string_view jwt,
                               std::span<const token::VerificationKey> keys,
                               const TokenDemands& demands);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_PROTOCOL_VERDICT_TOKEN_H_
