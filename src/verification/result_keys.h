#ifndef VMATTEST_VERIFICATION_RESULT_KEYS_H_
#define VMATTEST_VERIFICATION_RESULT_KEYS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "token/ear.h"

namespace vmattest::verification {

// Port: what results are signed with, and what it will be and was. A key is
// published before it signs, and verifies until it is retired, so that whoever
// fetches the set now and then never meets a result that it cannot check:
//
//   kPrepare: next is made and published
//   kActivate: next signs, what signed before is old
//   kRetire: old is published no more
//
// Callable from any thread.
class ResultKeys {
 public:
  virtual ~ResultKeys() = default;

  enum class State : uint8_t { kNext, kActive, kOld };
  struct Key {
    State state = State::kActive;
    token::VerificationKey key;
  };
  enum class Step : uint8_t { kPrepare, kActivate, kRetire };

  // What signs now; goes on being good for who holds it.
  [[nodiscard]] virtual std::shared_ptr<const token::TokenSigner> Signer()
      const = 0;
  // All that are published, each once: active, next, old.
  [[nodiscard]] virtual std::vector<Key> List() const = 0;
  // Lasts once it is OK. FAILED_PRECONDITION: no next key to activate, one is
  // there already to prepare, or there is no old one to retire. Blocks on the
  // disk.
  virtual absl::Status Rotate(Step step) = 0;

  [[nodiscard]] std::vector<token::VerificationKey> Published() const;
};

std::string_view ToString(ResultKeys::State state);  // "next", "active", "old"

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_RESULT_KEYS_H_
