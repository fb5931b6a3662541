#ifndef VMATTEST_TOKEN_KEY_H_
#define VMATTEST_TOKEN_KEY_H_

#include <string>
#include <string_view>
#include <variant>

#include "token/ear.h"

// What is behind a VerificationKey, and the names of algorithms. Any thread.

namespace vmattest::token {

// RFC 7518, section 3.1, and RFC 9964.
inline constexpr std::string_view kEs256 = "ES256";
inline constexpr std::string_view kEs384 = "ES384";
inline constexpr std::string_view kMlDsa65 = "ML-DSA-65";
inline constexpr std::string_view kMlDsa87 = "ML-DSA-87";
inline constexpr std::string_view kAlgorithms[] = {kEs256, kEs384, kMlDsa65,
                                                   kMlDsa87};

constexpr std::string_view AlgorithmOf(EcCurve curve) {
  return curve == EcCurve::kP256 ? kEs256 : kEs384;
}
constexpr std::string_view AlgorithmOf(MlDsaLevel level) {
  return level == MlDsaLevel::k65 ? kMlDsa65 : kMlDsa87;
}

struct AkpKey {
  MlDsaPublicKey key;
  Bytes bytes;
};

struct VerificationKey::Key {
  static VerificationKey Make(std::variant<EcPublicKey, AkpKey> material,
                              std::string name);

  std::variant<EcPublicKey, AkpKey> material;
  std::string name;  // the "kid" of its JWK; empty: it had none
  std::string_view algorithm;
  std::string thumbprint;
};

}  // namespace vmattest::token

#endif  // VMATTEST_TOKEN_KEY_H_
