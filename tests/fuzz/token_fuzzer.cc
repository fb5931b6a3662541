// Hostile tokens and keys: what is trusted, and what parses, has one canonical
// text that means the same; whatever is refused says why.

#include <cstdlib>

#include "base/base64.h"
#include "crypto/digest.h"
#include "token/claims.h"
#include "token/ear.h"

namespace vmattest::token {
namespace {

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

void CheckClaims(const Ear& ear) {
  const std::string text = EncodeClaims(ear);
  const ParsedClaims again = ParseClaims(text);
  Require(!again.problem && EncodeClaims(again.ear) == text);
}

void Claims(std::string_view text) {
  const ParsedClaims parsed = ParseClaims(text);
  if (parsed.problem) {
    Require(!parsed.problem->code.empty() && parsed.ear.submodules.empty());
  } else {
    CheckClaims(parsed.ear);
  }
}

void Keys(std::string_view text) {
  if (const auto key = VerificationKey::FromJwk(text); key.ok()) {
    const auto again = VerificationKey::FromJwk(key->ToJwk());
    Require(again.ok() && again->ToJwk() == key->ToJwk() &&
            again->key_id() == key->key_id());
  }
  if (const auto keys = ParseJwkSet(text); keys.ok()) {
    const std::string set = ToJwkSet(*keys);
    const auto again = ParseJwkSet(set);
    Require(again.ok() && ToJwkSet(*again) == set);
  }
}

const EcPrivateKey& Signer() {
  static const EcPrivateKey key = EcPrivateKey::Generate();
  return key;
}

std::string Signed(std::string_view header, std::string_view payload) {
  const std::string input =
      ToBase64Url(AsBytes(header)) + "." + ToBase64Url(AsBytes(payload));
  EcPrivateKey::Signature signature =
      Signer().SignDigest(Hash(HashAlgorithm::kSha256, AsBytes(input)));
  signature.r.insert(signature.r.end(), signature.s.begin(), signature.s.end());
  return input + "." + ToBase64Url(signature.r);
}

void Token(std::string_view jwt) {
  static const VerificationKey key =
      VerificationKey::FromEc(Signer().public_key());
  const VerifyOptions options{.now = WallTime(std::chrono::hours(498000))};
  const OpenedEar opened = VerifyEar(jwt, std::span(&key, 1), options);
  Require(opened.verdict.trusted() == opened.verdict.reasons.empty());
  Require(opened.verdict.trusted() != opened.ear.submodules.empty());
  if (opened.verdict.trusted()) {
    CheckClaims(opened.ear);
  }
}

}  // namespace
}  // namespace vmattest::token

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace token = vmattest::token;
  const std::string_view text = vmattest::AsText({data, size});
  token::Claims(text);
  token::Keys(text);
  token::Token(text);
  token::Token(token::Signed(text, R"({"iat":1})"));
  token::Token(token::Signed(R"({"alg":"ES256"})", text));
  return 0;
}
