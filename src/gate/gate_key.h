#ifndef VMATTEST_GATE_GATE_KEY_H_
#define VMATTEST_GATE_GATE_KEY_H_

#include <filesystem>
#include <string>

#include "base/status.h"
#include "crypto/ec_private_key.h"
#include "gate/protocol/messages.h"

namespace vmattest::gate {

// An ECDSA P-256 key in a file of the daemon's own, mode 0600, made at first
// use. FAILED_PRECONDITION: others may read the file.
absl::StatusOr<EcPrivateKey> LoadOrMakeKey(const std::filesystem::path& file);

// What the hook believes the daemon by: signs each reply afresh, over the
// call's nonce. Callable from any thread.
class GateKey {
 public:
  explicit GateKey(EcPrivateKey key) : key_(std::move(key)) {}
  void Sign(const GateCall& call, GateReply& reply) const;
  // SubjectPublicKeyInfo. INTERNAL: OpenSSL failed.
  [[nodiscard]] absl::StatusOr<std::string> ToPem() const;

 private:
  EcPrivateKey key_;
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_GATE_KEY_H_
