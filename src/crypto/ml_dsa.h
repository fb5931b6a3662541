#ifndef VMATTEST_CRYPTO_ML_DSA_H_
#define VMATTEST_CRYPTO_ML_DSA_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/secret_bytes.h"

// ML-DSA, FIPS 204, "pure" with a context string. docs/post-quantum.md says
// where the implementation comes from. Everything here is callable from any
// thread; keys are immutable and may be used by many threads at once.

typedef struct evp_pkey_st EVP_PKEY;

namespace vmattest {

// ML-DSA-44 is for C2SP's cosignatures alone (tlog/).
enum class MlDsaLevel : uint8_t { k44, k65, k87 };

// Those of envelopes, documents and tokens.
inline constexpr MlDsaLevel kAllMlDsaLevels[] = {MlDsaLevel::k65,
                                                 MlDsaLevel::k87};

// The name in envelopes and configuration: "ml-dsa-65".
constexpr std::string_view ToString(MlDsaLevel level) {
  switch (level) {
    case MlDsaLevel::k44:
      return "ml-dsa-44";
    case MlDsaLevel::k65:
      return "ml-dsa-65";
    case MlDsaLevel::k87:
      return "ml-dsa-87";
  }
  return "unknown";
}

constexpr std::optional<MlDsaLevel> ParseMlDsaLevel(std::string_view name) {
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    if (name == ToString(level)) {
      return level;
    }
  }
  return std::nullopt;
}

// Bytes: FIPS 204, table 2, and section 3.6.1 (seed), 5.2 (context).
inline constexpr size_t kMlDsaSeedSize = 32;
inline constexpr size_t kMaxMlDsaContextSize = 255;
constexpr size_t MlDsaPublicKeySize(MlDsaLevel level) {
  switch (level) {
    case MlDsaLevel::k44:
      return 1312;
    case MlDsaLevel::k65:
      return 1952;
    case MlDsaLevel::k87:
      return 2592;
  }
  return 0;
}
constexpr size_t MlDsaSignatureSize(MlDsaLevel level) {
  switch (level) {
    case MlDsaLevel::k44:
      return 2420;
    case MlDsaLevel::k65:
      return 3309;
    case MlDsaLevel::k87:
      return 4627;
  }
  return 0;
}

// The implementation that this process uses. There is one for the process: what
// Open() found first stays until the process ends, whatever is asked later.
class MlDsaProvider {
 public:
  enum class Source : uint8_t {
    kNative,  // libcrypto 3.5 or newer
    kModule,  // OpenSSL's FIPS module (crypto/pq_provider.h)
  };

  // libcrypto's own; else the module at `module_path`; if that is empty, at
  // $VMATTEST_PQ_MODULE; if that is, in the usual places: beside the program as
  // ../lib/vmattest/pq/fips.so, then /usr/lib/vmattest/pq/fips.so. Blocks for
  // about 60 ms where a module is loaded. A failure is not remembered.
  // UNAVAILABLE: there is none, or it was refused; the message says why and
  // what to install.
  static absl::StatusOr<const MlDsaProvider*> Open(
      std::string_view module_path = {});

  MlDsaProvider(const MlDsaProvider&) = delete;
  MlDsaProvider& operator=(const MlDsaProvider&) = delete;
  ~MlDsaProvider();

  [[nodiscard]] Source source() const;
  // For people: "OpenSSL 3.5.1", "the module /usr/lib/vmattest/pq/fips.so".
  [[nodiscard]] const std::string& description() const;

 private:
  friend class MlDsaKey;
  friend class MlDsaPublicKey;
  struct State;
  explicit MlDsaProvider(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// 32 bytes of the operating system's randomness.
SecretBytes GenerateMlDsaSeed();

class MlDsaPublicKey {
 public:
  // INVALID_ARGUMENT: not exactly MlDsaPublicKeySize(level) bytes; any such
  // bytes are a key. UNAVAILABLE: as MlDsaProvider::Open().
  static absl::StatusOr<MlDsaPublicKey> Parse(MlDsaLevel level, ByteView bytes);

  // False for whatever is no such signature, also for a context that is too
  // long: a wrong signature is a verdict, not an error.
  [[nodiscard]] bool Verify(ByteView message, std::string_view context,
                            ByteView signature) const;

  [[nodiscard]] MlDsaLevel level() const { return level_; }

 private:
  MlDsaPublicKey(const MlDsaProvider* provider, MlDsaLevel level,
                 std::shared_ptr<EVP_PKEY> key);

  const MlDsaProvider* provider_;
  MlDsaLevel level_;
  std::shared_ptr<EVP_PKEY> key_;
};

class MlDsaKey {
 public:
  // Hedged: fresh randomness goes into each signature, which then resists fault
  // and side-channel attacks better (FIPS 204, section 3.4). Deterministic: the
  // same message gives the same signature, for test vectors.
  enum class Signing : uint8_t { kHedged, kDeterministic };

  // KeyGen_internal of the seed. The key lives in libcrypto's memory, which
  // wipes it at the end; locking that memory is the process' matter, and so is
  // the seed, which is not kept. INVALID_ARGUMENT: `seed` is not 32 bytes.
  // UNAVAILABLE: as MlDsaProvider::Open(). INTERNAL: OpenSSL failed.
  static absl::StatusOr<MlDsaKey> FromSeed(MlDsaLevel level,
                                           const SecretBytes& seed);

  // INVALID_ARGUMENT: the context is longer than kMaxMlDsaContextSize.
  // INTERNAL: OpenSSL failed.
  [[nodiscard]] absl::StatusOr<Bytes> Sign(
      ByteView message, std::string_view context,
      Signing signing = Signing::kHedged) const;

  [[nodiscard]] MlDsaLevel level() const { return level_; }
  [[nodiscard]] const Bytes& public_key() const { return public_key_; }
  [[nodiscard]] const Bytes& key_id() const { return key_id_; }

 private:
  MlDsaKey(const MlDsaProvider* provider, MlDsaLevel level,
           std::shared_ptr<EVP_PKEY> key, Bytes public_key);

  const MlDsaProvider* provider_;
  MlDsaLevel level_;
  std::shared_ptr<EVP_PKEY> key_;
  Bytes public_key_;
  Bytes key_id_;
};

// What an envelope calls a key: SHA-256 of its public bytes.
Bytes MlDsaKeyId(ByteView public_key);

}  // namespace vmattest

#endif  // VMATTEST_CRYPTO_ML_DSA_H_
