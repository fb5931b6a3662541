// Ed25519 and the DER forms of P-256 against Wycheproof.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "crypto/ec_private_key.h"
#include "crypto/ecdsa_der.h"
#include "crypto/ed25519.h"
#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

using nlohmann::json;
using testing::StatusIs;

Bytes Unhex(const json& hex) {
  return ParseHex(hex.get<std::string>()).value();
}

TEST(Ed25519, EveryWycheproofCaseGoesAsItSays) {
  VMATTEST_REQUIRE_VECTORS(folder, "wycheproof-signatures");
  int tests = 0;
  const json root = json::parse(testing::Slurp(folder / "ed25519.json"));
  for (const json& group : root["testGroups"]) {
    ASSERT_OK_AND_ASSIGN(
        const Ed25519PublicKey key,
        Ed25519PublicKey::Parse(Unhex(group["publicKey"]["pk"])));
    for (const json& test : group["tests"]) {
      EXPECT_EQ(key.Verify(Unhex(test["msg"]), Unhex(test["sig"])),
                test["result"] == "valid")
          << test["tcId"] << test["comment"];
      ++tests;
    }
  }
  EXPECT_GE(tests, 80);
}

// RFC 8032, section 7.1, test 2.
TEST(Ed25519, SignsAsTheRfcDoes) {
  const Bytes seed = *ParseHex(
      "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  ASSERT_OK_AND_ASSIGN(const Ed25519PrivateKey key,
                       Ed25519PrivateKey::FromSeed(SecretBytes(Bytes(seed))));
  EXPECT_EQ(ToHex(key.public_key()),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  EXPECT_EQ(ToHex(key.Sign(Bytes{0x72})),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_THAT(Ed25519PrivateKey::FromSeed(SecretBytes(Bytes(31))),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Ed25519PublicKey::Parse(Bytes(33)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(EcdsaDer, EveryWycheproofCaseGoesAsItSays) {
  VMATTEST_REQUIRE_VECTORS(folder, "wycheproof-signatures");
  int tests = 0;
  const json root =
      json::parse(testing::Slurp(folder / "ecdsa_secp256r1_sha256.json"));
  for (const json& group : root["testGroups"]) {
    ASSERT_OK_AND_ASSIGN(const EcPublicKey key,
                         ParseP256Spki(Unhex(group["publicKeyDer"])));
    EXPECT_EQ(*EncodeSpki(key), Unhex(group["publicKeyDer"]));
    for (const json& test : group["tests"]) {
      const std::optional<EcdsaParts> parts = ParseEcdsaDer(Unhex(test["sig"]));
      const Bytes digest = Hash(HashAlgorithm::kSha256, Unhex(test["msg"]));
      const bool good = parts && VerifyEcdsa(key, digest, parts->r, parts->s);
      EXPECT_EQ(good, test["result"] == "valid")
          << test["tcId"] << test["comment"];
      ++tests;
    }
  }
  EXPECT_GT(tests, 100);
}

TEST(EcdsaDer, RefusesOtherEncodingsOfAKey) {
  const Bytes der = *EncodeSpki(EcPrivateKey::Generate().public_key());
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_FALSE(ParseP256Spki(ByteView(der).first(size)).ok());
  }
  Bytes longer = der;
  longer.push_back(0);
  EXPECT_FALSE(ParseP256Spki(longer).ok());
  Bytes off_curve = der;
  off_curve.back() ^= 1;
  EXPECT_FALSE(ParseP256Spki(off_curve).ok());
}

}  // namespace
}  // namespace vmattest
