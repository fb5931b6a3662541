#ifndef VMATTEST_TLOG_NOTE_KEY_H_
#define VMATTEST_TLOG_NOTE_KEY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "crypto/ec_private_key.h"
#include "crypto/ed25519.h"
#include "crypto/ml_dsa.h"

// Keys of C2SP signed notes (c2sp.org/signed-note@v1.0.0) and cosignatures
// (c2sp.org/tlog-cosignature). Callable from any thread.

namespace vmattest::tlog {

// The signature type byte.
enum class NoteKeyType : uint8_t {
  kEd25519 = 0x01,
  kEcdsaP256 = 0x02,
  kEd25519Cosignature = 0x04,
  kMlDsa44Cosignature = 0x06,
};
constexpr bool IsCosignature(NoteKeyType type) {
  return type == NoteKeyType::kEd25519Cosignature ||
         type == NoteKeyType::kMlDsa44Cosignature;
}

// Non-empty, UTF-8, no space (of Unicode) and no '+'.
bool IsKeyName(std::string_view name);

// "NAME+KEYID+BASE64(type || public key)".
class NoteVerifier {
 public:
  // INVALID_ARGUMENT: not a verifier key of a type above, or its key id is not
  // that of its key. UNAVAILABLE: ML-DSA, and none in this process.
  static absl::StatusOr<NoteVerifier> Parse(std::string_view vkey);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uint32_t key_id() const { return key_id_; }
  [[nodiscard]] NoteKeyType type() const { return type_; }
  // The key without its name: two verifiers with one key are one signer.
  [[nodiscard]] const Bytes& public_key() const { return public_key_; }
  [[nodiscard]] std::string vkey() const;

  // The time that a cosignature was made at (seconds), 0 for other types;
  // nothing if it does not sign `text`. `signature` without the key id.
  [[nodiscard]] std::optional<int64_t> Verify(std::string_view text,
                                              ByteView signature) const;

 private:
  NoteVerifier() = default;
  std::string name_;
  uint32_t key_id_ = 0;
  NoteKeyType type_ = NoteKeyType::kEd25519;
  Bytes public_key_;
  std::function<bool(ByteView message, ByteView signature)> verify_;
};

// What signs notes. Sign() blocks where the key is a TPM's.
class NoteSigner {
 public:
  virtual ~NoteSigner() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;
  [[nodiscard]] virtual uint32_t key_id() const = 0;
  [[nodiscard]] virtual std::string vkey() const = 0;
  // Without the key id. INVALID_ARGUMENT: a cosignature of what is no
  // checkpoint.
  virtual absl::StatusOr<Bytes> Sign(std::string_view text,
                                     int64_t time_unix_s) = 0;
};

// INVALID_ARGUMENT: no key name.
absl::StatusOr<std::unique_ptr<NoteSigner>> EcdsaNoteSigner(
    std::string name, std::shared_ptr<const EcPrivateKey> key);
// `type`: kEd25519 or kEd25519Cosignature.
absl::StatusOr<std::unique_ptr<NoteSigner>> Ed25519NoteSigner(
    std::string name, NoteKeyType type, Ed25519PrivateKey key);
// `key` of ML-DSA-44.
absl::StatusOr<std::unique_ptr<NoteSigner>> MlDsaNoteSigner(std::string name,
                                                            MlDsaKey key);

}  // namespace vmattest::tlog

#endif  // VMATTEST_TLOG_NOTE_KEY_H_
