#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/base64.h"
#include "base/strict_json.h"
#include "sample.h"
#include "support/matchers.h"
#include "token/claims.h"
#include "token/jws.h"

namespace vmattest::token {
namespace {

using nlohmann::json;

MlDsaKey KeyOf(MlDsaLevel level, uint8_t seed) {
  return *MlDsaKey::FromSeed(level, SecretBytes(Bytes(kMlDsaSeedSize, seed)));
}

class MlDsaToken : public ::testing::TestWithParam<MlDsaLevel> {
 protected:
  void SetUp() override {
    const auto provider = MlDsaProvider::Open();
    ASSERT_TRUE(provider.ok()) << provider.status().ToString();
    signer_.emplace(EcPrivateKey::Generate(), KeyOf(GetParam(), 7));
  }
  std::string Judge(std::string_view jwt,
                    std::span<const VerificationKey> keys) const {
    return CodeOf(VerifyEar(jwt, keys, {.now = kNow}));
  }
  static std::string Name() {
    return GetParam() == MlDsaLevel::k65 ? "ML-DSA-65" : "ML-DSA-87";
  }

  std::optional<TokenSigner> signer_;
};
INSTANTIATE_TEST_SUITE_P(Levels, MlDsaToken,
                         ::testing::ValuesIn(kAllMlDsaLevels),
                         [](const auto& level) {
                           return std::string(
                               level.param == MlDsaLevel::k65 ? "65" : "87");
                         });

TEST_P(MlDsaToken, IsTrustedAndSaysTheSame) {
  ASSERT_OK_AND_ASSIGN(const std::string jwt, signer_->SignMlDsa(SampleEar()));
  const std::vector<VerificationKey> keys = signer_->keys();
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[1].algorithm(), Name());
  const OpenedEar opened = VerifyEar(jwt, keys, {.now = kNow});
  ASSERT_TRUE(opened.verdict.trusted()) << CodeOf(opened);
  EXPECT_EQ(EncodeClaims(opened.ear), EncodeClaims(SampleEar()));
}

TEST_P(MlDsaToken, KeyComesBackFromItsJwk) {
  const VerificationKey key = signer_->keys()[1];
  ASSERT_OK_AND_ASSIGN(const VerificationKey again,
                       VerificationKey::FromJwk(key.ToJwk()));
  EXPECT_EQ(again.ToJwk(), key.ToJwk());
  ASSERT_OK_AND_ASSIGN(const std::string jwt, signer_->SignMlDsa(SampleEar()));
  EXPECT_EQ(Judge(jwt, std::span(&again, 1)), "trusted");
  json jwk = json::parse(key.ToJwk());
  EXPECT_EQ(jwk["kty"], "AKP");
  jwk["priv"] = ToBase64Url(Bytes(32, 7));
  EXPECT_FALSE(VerificationKey::FromJwk(jwk.dump()).ok());
  jwk.erase("priv");
  jwk["alg"] = GetParam() == MlDsaLevel::k65 ? "ML-DSA-87" : "ML-DSA-65";
  EXPECT_FALSE(VerificationKey::FromJwk(jwk.dump()).ok());
}

TEST_P(MlDsaToken, DoesNotPassWithoutItsSignature) {
  ASSERT_OK_AND_ASSIGN(std::string jwt, signer_->SignMlDsa(SampleEar()));
  const std::vector<VerificationKey> keys = signer_->keys();
  EXPECT_EQ(Judge(jwt.substr(0, jwt.rfind('.') + 1), keys), "token-signature");
  jwt[jwt.rfind('.') + 100] ^= 1;
  EXPECT_NE(Judge(jwt, keys), "trusted");
}

TEST_P(MlDsaToken, DoesNotPassAsEs256NorEs256AsIt) {
  const std::vector<VerificationKey> keys = signer_->keys();
  ASSERT_OK_AND_ASSIGN(const std::string pq, signer_->SignMlDsa(SampleEar()));
  const std::string classic = signer_->SignEs256(SampleEar());
  EXPECT_EQ(Judge(pq, std::span(keys).first(1)), "token-key-unknown");
  EXPECT_EQ(Judge(classic, std::span(keys).last(1)), "token-key-unknown");
  const EcPrivateKey forger = EcPrivateKey::Generate();
  const std::string claims = EncodeClaims(SampleEar());
  EXPECT_EQ(Judge(SignAnything(
                      forger,
                      json{{"alg", "ES256"}, {"kid", keys[1].key_id()}}.dump(),
                      claims),
                  keys),
            "token-algorithm");
  EXPECT_EQ(
      Judge(SignAnything(
                forger, json{{"alg", Name()}, {"kid", keys[1].key_id()}}.dump(),
                claims),
            keys),
      "token-signature");
}

TEST_P(MlDsaToken, HasAnEmptyContext) {
  const MlDsaKey key = KeyOf(GetParam(), 7);
  const VerificationKey known = signer_->keys()[1];
  const std::string input =
      SigningInput(Name(), known.key_id(), EncodeClaims(SampleEar()));
  ASSERT_OK_AND_ASSIGN(const Bytes plain, key.Sign(AsBytes(input), ""));
  ASSERT_OK_AND_ASSIGN(const Bytes other,
                       key.Sign(AsBytes(input), "vmattest/envelope/v1"));
  EXPECT_EQ(Judge(Join(input, plain), std::span(&known, 1)), "trusted");
  EXPECT_EQ(Judge(Join(input, other), std::span(&known, 1)), "token-signature");
}

TEST(MlDsaExample, OfRfc9964IsOursToo) {
  const TokenSigner signer(EcPrivateKey::Generate(), KeyOf(MlDsaLevel::k65, 0));
  const VerificationKey key = signer.keys()[1];
  EXPECT_EQ(key.key_id(), "Suiu29qbfuaBaR4Ats-c6XQBePB_OpAxAwcTR_0KXVM");
  const std::string header =
      fmt::format(R"({{"alg":"ML-DSA-65","kid":"{}"}})", key.key_id());
  const std::string input = fmt::format(
      "{}.{}", ToBase64Url(AsBytes(header)),
      ToBase64Url(AsBytes("It\xe2\x80\x99s a dangerous business, Frodo, going "
                          "out your door.")));
  ASSERT_OK_AND_ASSIGN(
      const Bytes signature,
      KeyOf(MlDsaLevel::k65, 0)
          .Sign(AsBytes(input), "", MlDsaKey::Signing::kDeterministic));
  EXPECT_EQ(ToHex(std::span(signature).first(16)),
            "ce63bdff46cb80901e82854dca67d1a3");
  EXPECT_EQ(ToHex(std::span(signature).last(6)), "060c151c252f");
  EXPECT_FALSE(OpenJws(Join(input, signature), std::span(&key, 1)).problem);
}

}  // namespace
}  // namespace vmattest::token
