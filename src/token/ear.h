#ifndef VMATTEST_TOKEN_EAR_H_
#define VMATTEST_TOKEN_EAR_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "crypto/ec_private_key.h"
#include "crypto/ml_dsa.h"
#include "vmattest/types/verdict.h"

// EAT attestation results (draft-ietf-rats-ear) as JWTs (RFC 7519, 7515), with
// AR4SI trustworthiness claims; docs/formats/attestation-result.md. Everything
// here is callable from any thread.

namespace vmattest::token {

// AR4SI (draft-ietf-rats-ar4si, section 2.3.2): -1..1 none, 2..31 and -32..-2
// affirming, 32..95 and -96..-33 warning, 96..127 and -128..-97
// contraindicated. Positive values are the draft's, negative ones a verifier's
// own.
using TrustClaim = int8_t;
enum class Tier : uint8_t { kNone, kAffirming, kWarning, kContraindicated };
Tier TierOf(TrustClaim claim);
std::string_view ToString(Tier tier);  // "none", "affirming", ...
// The tier of the worst claim; kNone if there is none.
Tier WorstOf(const std::map<std::string, TrustClaim>& trust_vector);

// One attester's part of a result ("submods").
struct Submodule {
  // Never better than the worst of the vector: what signs says the worse of the
  // two, unless kNone, and a token that says otherwise is refused.
  Tier status = Tier::kNone;
  // By AR4SI's names: "instance-identity", "configuration", "executables",
  // "file-system", "hardware", "runtime-opaque", "storage-opaque",
  // "sourced-data".
  std::map<std::string, TrustClaim> trust_vector;
  std::string policy_id;  // ear.appraisal-policy-id; empty: absent
  // Ours, "vmattest.*" private claims; empty ones are absent.
  std::string vm_uuid;
  std::string host_id;
  Bytes config_root;
  std::string ak;  // how the host's AK is believed
  std::vector<Reason> reasons;
  std::vector<std::string> fixes;  // the smallest change that would pass
};

// Times are whole seconds in a token: signing rounds `not_before` up and the
// others down. Text that is no UTF-8 becomes U+FFFD.
struct Ear {
  std::string profile;           // eat_profile
  std::string developer, build;  // ear.verifier-id
  WallTime issued;
  std::optional<WallTime> not_before, expires;
  Bytes nonce;  // eat_nonce, base64url; at most kMaxNonceSize; empty: absent
  std::string token_id;  // jti
  std::map<std::string, Submodule> submodules;
  // What S16 binds a kept verdict to, for ours: "vmattest.binding".
  std::map<std::string, std::string> binding;
  // "vmattest.signed-with": the algorithms of all tokens that were made of this
  // result, "ES256" or "ES256 ML-DSA-65" (rule S4); empty: absent.
  std::string signed_with;
};

inline constexpr std::string_view kProfile = "tag:vmattest.org,2026:ear/v1";
inline constexpr size_t kMaxTokenSize = 256u << 10;
inline constexpr size_t kMaxNonceSize = 64;  // RFC 9711, section 4.1
inline constexpr size_t kMaxJwkSize = 64u << 10;
inline constexpr size_t kMaxJwkSetSize = 256u << 10;
inline constexpr size_t kMaxJwks = 64;

// A key that results are checked with; from a JWK (RFC 7517) or ours.
class VerificationKey {
 public:
  // "EC" P-256 (ES256), P-384 (ES384) or "AKP" (RFC 9964: ML-DSA-65/87).
  // Unknown members are ignored; a private key's are refused.
  // INVALID_ARGUMENT: no such key. UNIMPLEMENTED: a key of a kind, curve or
  // algorithm that is not listed. UNAVAILABLE: as MlDsaProvider::Open().
  static absl::StatusOr<VerificationKey> FromJwk(std::string_view json);
  // What is no point of its curve verifies nothing.
  static VerificationKey FromEc(EcPublicKey key);
  [[nodiscard]] std::string ToJwk() const;
  [[nodiscard]] std::string key_id() const;          // RFC 7638 thumbprint
  [[nodiscard]] std::string_view algorithm() const;  // "ES256", ...
  // Whether `kid` is the thumbprint, or the "kid" that its JWK had.
  [[nodiscard]] bool IsNamed(std::string_view kid) const;
  // Whether `signature` is a JWS signature of `message` by algorithm().
  [[nodiscard]] bool Verify(ByteView message, ByteView signature) const;
  struct Key;

 private:
  explicit VerificationKey(std::shared_ptr<const Key> key);
  std::shared_ptr<const Key> key_;
};

// A JWK set (RFC 7517, section 5), as a verifier publishes its keys. Parsing
// passes over keys that FromJwk cannot use (UNIMPLEMENTED, UNAVAILABLE).
// INVALID_ARGUMENT: no such set, too large, or one of its keys is malformed.
std::string ToJwkSet(std::span<const VerificationKey> keys);
absl::StatusOr<std::vector<VerificationKey>> ParseJwkSet(std::string_view json);

// Signs results: ES256, and ML-DSA-65 (RFC 9964) where there is such a key.
class TokenSigner {
 public:
  explicit TokenSigner(EcPrivateKey ec, std::optional<MlDsaKey> pq = {});
  TokenSigner(TokenSigner&&) noexcept;
  ~TokenSigner();
  [[nodiscard]] std::string SignEs256(const Ear& ear) const;
  // FAILED_PRECONDITION: there is no such key.
  [[nodiscard]] absl::StatusOr<std::string> SignMlDsa(const Ear& ear) const;
  [[nodiscard]] std::vector<VerificationKey> keys() const;

 private:
  struct Keys;
  std::unique_ptr<Keys> keys_;
};

struct VerifyOptions {
  WallTime now;
  std::chrono::milliseconds leeway = std::chrono::seconds(60);
  std::optional<Bytes> nonce;          // must be eat_nonce
  std::optional<std::string> profile;  // must be eat_profile
  bool require_expiry = false;         // refuse what never expires
};

// Genuineness of a token, not what it says: an EAR of a refused VM is trusted
// here. A "kid" in the header chooses among `keys`; without one, each key of
// the token's algorithm is tried. Reason codes: "token-malformed",
// "token-algorithm", "token-key-unknown" (keys in the header count for
// nothing), "token-signature", "token-expired", "token-not-yet", "token-nonce",
// "token-profile", "token-claims".
struct OpenedEar {
  Verdict verdict;
  Ear ear;  // only if trusted
};
OpenedEar VerifyEar(std::string_view jwt, std::span<const VerificationKey> keys,
                    const VerifyOptions& options);

}  // namespace vmattest::token

#endif  // VMATTEST_TOKEN_EAR_H_
