#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/base64.h"
#include "base/strict_json.h"
#include "crypto/digest.h"
#include "sample.h"
#include "support/matchers.h"
#include "token/claims.h"

namespace vmattest::token {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kPlainHeader = R"({"alg":"ES256"})";

class VerifyEarTest : public ::testing::Test {
 protected:
  VerifyEarTest() { options_.now = kNow; }

  std::string Judge(std::string_view jwt) const {
    return CodeOf(VerifyEar(jwt, keys_, options_));
  }
  std::string JudgeHeader(const json& header) const {
    return Judge(SignAnything(key_, header.dump(), claims_));
  }

  EcPrivateKey key_ = EcPrivateKey::Generate();
  std::vector<VerificationKey> keys_ = {
      VerificationKey::FromEc(key_.public_key())};
  std::string claims_ = EncodeClaims(SampleEar());
  VerifyOptions options_;
};

std::vector<std::string> Parts(std::string_view jwt) {
  const size_t first = jwt.find('.');
  const size_t second = jwt.rfind('.');
  return {std::string(jwt.substr(0, first)),
          std::string(jwt.substr(first + 1, second - first - 1)),
          std::string(jwt.substr(second + 1))};
}

TEST_F(VerifyEarTest, WhatTheSignerSignsIsTrustedAndSaysTheSame) {
  const TokenSigner signer(std::move(key_));
  const OpenedEar opened =
      VerifyEar(signer.SignEs256(SampleEar()), signer.keys(), options_);
  ASSERT_TRUE(opened.verdict.trusted())
      << opened.verdict.reasons[0].code << opened.verdict.reasons[0].element;
  EXPECT_TRUE(opened.verdict.reasons.empty());
  EXPECT_EQ(EncodeClaims(opened.ear), claims_);
}

TEST_F(VerifyEarTest, HeaderNamesAlgorithmKeyAndType) {
  const TokenSigner signer(std::move(key_));
  const std::string jwt = signer.SignEs256(SampleEar());
  ASSERT_OK_AND_ASSIGN(const Bytes header, ParseBase64Url(Parts(jwt)[0]));
  EXPECT_EQ(AsText(header),
            fmt::format(R"({{"alg":"ES256","kid":"{}","typ":"eat+jwt"}})",
                        signer.keys()[0].key_id()));
}

TEST_F(VerifyEarTest, SignsTheSameBytesForTheSameResult) {
  const TokenSigner signer(std::move(key_));
  const auto one = Parts(signer.SignEs256(SampleEar()));
  const auto two = Parts(signer.SignEs256(SampleEar()));
  EXPECT_EQ(one[0], two[0]);
  EXPECT_EQ(one[1], two[1]);
}

TEST_F(VerifyEarTest, WithoutAMlDsaKeyNoneIsMade) {
  const TokenSigner signer(std::move(key_));
  EXPECT_THAT(signer.SignMlDsa(SampleEar()),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(signer.keys().size(), 1u);
}

TEST_F(VerifyEarTest, OnlyThreePartsAreAToken) {
  const std::string jwt = SignAnything(key_, kPlainHeader, claims_);
  ASSERT_EQ(Judge(jwt), "trusted");
  const auto parts = Parts(jwt);
  for (const std::string& text :
       {std::string(), std::string("."), std::string(".."), "." + jwt,
        jwt + ".", jwt + ".x", parts[0] + "." + parts[1], parts[0],
        parts[1] + ".." + parts[2],
        R"({"payload":")" + parts[1] + R"(","signature":")" + parts[2] +
            "\"}"}) {
    EXPECT_EQ(Judge(text), "token-malformed") << text;
  }
}

TEST_F(VerifyEarTest, Base64UrlIsCanonicalInEveryPart) {
  const std::string jwt = SignAnything(key_, kPlainHeader, claims_);
  for (int part = 0; part < 3; ++part) {
    for (const char* more : {"=", "==", " ", "\n", "+", "/"}) {
      auto parts = Parts(jwt);
      parts[part] += more;
      EXPECT_EQ(Judge(fmt::format("{}", fmt::join(parts, "."))),
                "token-malformed")
          << part << more;
    }
  }
  // 64 bytes leave four bits over: 'A' and what differs in them only.
  auto parts = Parts(jwt);
  const std::string_view alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  parts[2].back() = alphabet[alphabet.find(parts[2].back()) + 1];
  EXPECT_EQ(Judge(fmt::format("{}", fmt::join(parts, "."))), "token-malformed");
}

TEST_F(VerifyEarTest, HeaderIsStrictJson) {
  for (const char* header :
       {"", "[]", "7", "{}", "{\"alg\":7}", "{\"alg\":\"ES256\"}x",
        "{\"alg\":\"none\",\"alg\":\"ES256\"}", "{\"alg\":\"ES256\"",
        R"({"alg":"ES256","kid":7})",
        R"({"alg":"ES256","x":[[[[[[[[[]]]]]]]]]})"}) {
    EXPECT_EQ(Judge(SignAnything(key_, header, claims_)), "token-malformed")
        << header;
  }
}

TEST_F(VerifyEarTest, NoExtensionIsUnderstoodThatMustBe) {
  for (const json& crit : {json({"b64"}), json({"exp"}), json::array()}) {
    EXPECT_EQ(JudgeHeader({{"alg", "ES256"}, {"crit", crit}, {"b64", false}}),
              "token-malformed");
  }
}

TEST_F(VerifyEarTest, TokensOfAnotherTypeAreNotResults) {
  for (const char* typ : {"JWT", "jwt", "eat+jwt", "application/eat+jwt"}) {
    EXPECT_EQ(JudgeHeader({{"alg", "ES256"}, {"typ", typ}}), "trusted") << typ;
  }
  for (const json& typ : {json("at+jwt"), json(""), json(7), json("JOSE")}) {
    EXPECT_EQ(JudgeHeader({{"alg", "ES256"}, {"typ", typ}}), "token-malformed")
        << typ;
  }
}

TEST_F(VerifyEarTest, ATokenPastTheLimitIsNotLookedAt) {
  const std::string padding(kMaxTokenSize, ' ');
  EXPECT_EQ(Judge(SignAnything(key_, kPlainHeader, claims_ + padding)),
            "token-malformed");
}

TEST_F(VerifyEarTest, AlgorithmNoneIsRefusedHoweverItIsWritten) {
  const auto parts = Parts(SignAnything(key_, kPlainHeader, claims_));
  for (const char* alg : {"none", "None", "NONE", "nOnE", ""}) {
    const std::string header = ToBase64Url(AsBytes(json{{"alg", alg}}.dump()));
    EXPECT_EQ(Judge(header + "." + parts[1] + "."), "token-algorithm") << alg;
    EXPECT_EQ(Judge(header + "." + parts[1] + "." + parts[2]),
              "token-algorithm")
        << alg;
  }
}

TEST_F(VerifyEarTest, APublicKeyIsNoSecretOfHmac) {
  ASSERT_OK_AND_ASSIGN(const std::string pem, ToPem(key_.public_key()));
  for (const std::string& secret : {pem, keys_[0].ToJwk()}) {
    for (const char* alg : {"HS256", "HS384", "HS512"}) {
      const std::string input =
          ToBase64Url(AsBytes(json{{"alg", alg}}.dump())) + "." +
          ToBase64Url(AsBytes(claims_));
      const DigestBytes mac =
          HmacSha256(SecretBytes(ToBytes(secret)), AsBytes(input));
      EXPECT_EQ(Judge(input + "." + ToBase64Url(mac)), "token-algorithm");
    }
  }
}

TEST_F(VerifyEarTest, TheHeaderCannotChooseAnotherAlgorithmThanTheKeys) {
  for (const char* alg :
       {"ES384", "ES512", "ES256K", "RS256", "PS256", "EdDSA", "Ed25519",
        "ML-DSA-65", "ML-DSA-87", "ML-DSA-44", "es256", "ES256 "}) {
    EXPECT_EQ(JudgeHeader({{"alg", alg}}), "token-algorithm") << alg;
    EXPECT_EQ(JudgeHeader({{"alg", alg}, {"kid", keys_[0].key_id()}}),
              "token-algorithm")
        << alg;
  }
}

TEST_F(VerifyEarTest, Es384VerifiesWithItsCurveOnly) {
  const Es384Token token = SignEs384(R"({"alg":"ES384"})", claims_);
  EXPECT_EQ(Judge(token.jwt), "token-algorithm");
  keys_.push_back(VerificationKey::FromEc(token.key));
  EXPECT_EQ(Judge(token.jwt), "trusted");
  const Es384Token other = SignEs384(R"({"alg":"ES384"})", claims_);
  EXPECT_EQ(Judge(other.jwt), "token-signature");
  // Signed with the other curve's key and named so.
  const Es384Token named = SignEs384(
      json{{"alg", "ES256"}, {"kid", keys_[1].key_id()}}.dump(), claims_);
  EXPECT_EQ(Judge(named.jwt), "token-algorithm");
}

TEST_F(VerifyEarTest, ANamedKeyIsTheOnlyOneThatIsTried) {
  const EcPrivateKey other = EcPrivateKey::Generate();
  keys_.push_back(VerificationKey::FromEc(other.public_key()));
  const json named_first = {{"alg", "ES256"}, {"kid", keys_[0].key_id()}};
  EXPECT_EQ(JudgeHeader(named_first), "trusted");
  EXPECT_EQ(Judge(SignAnything(other, named_first.dump(), claims_)),
            "token-signature");
  EXPECT_EQ(Judge(SignAnything(other, kPlainHeader, claims_)), "trusted");
}

TEST_F(VerifyEarTest, AKeyThatNobodyGaveIsUnknown) {
  for (const char* kid : {"", "another", "../../keys"}) {
    EXPECT_EQ(JudgeHeader({{"alg", "ES256"}, {"kid", kid}}),
              "token-key-unknown");
  }
  keys_.clear();
  EXPECT_EQ(JudgeHeader({{"alg", "ES256"}}), "token-key-unknown");
}

TEST_F(VerifyEarTest, KeysInTheHeaderCountForNothing) {
  const EcPrivateKey forger = EcPrivateKey::Generate();
  const json jwk =
      json::parse(VerificationKey::FromEc(forger.public_key()).ToJwk());
  const json headers[] = {
      {{"alg", "ES256"}, {"jwk", jwk}},
      {{"alg", "ES256"}, {"x5c", {"MIIB"}}},
      {{"alg", "ES256"}, {"jku", "https://forger.example/keys"}},
      {{"alg", "ES256"}, {"x5u", "https://forger.example/key"}},
  };
  for (const json& header : headers) {
    EXPECT_EQ(Judge(SignAnything(forger, header.dump(), claims_)),
              "token-signature")
        << header;
    EXPECT_EQ(JudgeHeader(header), "trusted") << header;
  }
  EXPECT_EQ(
      Judge(SignAnything(
          forger,
          json{{"alg", "ES256"}, {"jwk", jwk}, {"kid", jwk["kid"]}}.dump(),
          claims_)),
      "token-key-unknown");
}

TEST_F(VerifyEarTest, AStrippedOrCutSignatureIsNone) {
  const auto parts = Parts(SignAnything(key_, kPlainHeader, claims_));
  ASSERT_OK_AND_ASSIGN(const Bytes whole, ParseBase64Url(parts[2]));
  for (size_t size = 0; size < whole.size(); ++size) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_EQ(Judge(parts[0] + "." + parts[1] + "." + ToBase64Url(cut)),
              "token-signature");
  }
  for (const Bytes& forged : {Bytes(64, 0), Bytes(64, 0xFF), Bytes(65, 1)}) {
    EXPECT_EQ(Judge(parts[0] + "." + parts[1] + "." + ToBase64Url(forged)),
              "token-signature");
  }
}

TEST_F(VerifyEarTest, NoBitOfATokenIsFree) {
  const std::string jwt = SignAnything(
      key_, json{{"alg", "ES256"}, {"kid", keys_[0].key_id()}}.dump(), claims_);
  for (size_t at = 0; at < jwt.size(); ++at) {
    std::string changed = jwt;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 7)));
    EXPECT_NE(Judge(changed), "trusted") << at;
  }
}

TEST_F(VerifyEarTest, AnotherPayloadUnderTheSameSignatureIsRefused) {
  const auto one = Parts(SignAnything(key_, kPlainHeader, claims_));
  Ear better = SampleEar();
  better.submodules["vm"].trust_vector["configuration"] = 2;
  better.submodules["vm"].status = Tier::kAffirming;
  EXPECT_EQ(Judge(one[0] + "." + ToBase64Url(AsBytes(EncodeClaims(better))) +
                  "." + one[2]),
            "token-signature");
}

TEST_F(VerifyEarTest, ClaimsAreJudgedAfterTheSignature) {
  EXPECT_EQ(Judge(SignAnything(key_, kPlainHeader, "{}")), "token-claims");
  EXPECT_EQ(Judge(SignAnything(key_, kPlainHeader, "not JSON")),
            "token-malformed");
  EXPECT_EQ(
      Judge(SignAnything(EcPrivateKey::Generate(), kPlainHeader, "not JSON")),
      "token-signature");
}

TEST_F(VerifyEarTest, ExpiryHoldsWithLeewayAndNotAMomentLonger) {
  const std::string jwt = SignAnything(key_, kPlainHeader, claims_);
  const WallTime end = kNow + seconds(300);
  options_.leeway = seconds(10);
  options_.now = end + seconds(10) - milliseconds(1);
  EXPECT_EQ(Judge(jwt), "trusted");
  options_.now = end + seconds(10);
  EXPECT_EQ(Judge(jwt), "token-expired");
  options_.leeway = seconds(0);
  options_.now = end - milliseconds(1);
  EXPECT_EQ(Judge(jwt), "trusted");
  options_.now = end;
  EXPECT_EQ(Judge(jwt), "token-expired");
}

TEST_F(VerifyEarTest, WhatNeverExpiresIsRefusedOnDemand) {
  Ear ear = SampleEar();
  ear.expires.reset();
  const std::string jwt = SignAnything(key_, kPlainHeader, EncodeClaims(ear));
  EXPECT_EQ(Judge(jwt), "trusted");
  options_.require_expiry = true;
  EXPECT_EQ(Judge(jwt), "token-expired");
}

TEST_F(VerifyEarTest, NotBeforeAndIssuedAreNotInTheFuture) {
  Ear ear = SampleEar();
  options_.leeway = seconds(10);
  *ear.not_before = kNow + seconds(10);
  EXPECT_EQ(Judge(SignAnything(key_, kPlainHeader, EncodeClaims(ear))),
            "trusted");
  *ear.not_before = kNow + seconds(11);
  EXPECT_EQ(Judge(SignAnything(key_, kPlainHeader, EncodeClaims(ear))),
            "token-not-yet");
  ear.not_before.reset();
  ear.issued = kNow + seconds(11);
  EXPECT_EQ(Judge(SignAnything(key_, kPlainHeader, EncodeClaims(ear))),
            "token-not-yet");
}

TEST_F(VerifyEarTest, AnswersOneNonceOnly) {
  Ear ear = SampleEar();
  const std::string jwt = SignAnything(key_, kPlainHeader, EncodeClaims(ear));
  options_.nonce = ear.nonce;
  EXPECT_EQ(Judge(jwt), "trusted");
  options_.nonce->back() ^= 1;
  EXPECT_EQ(Judge(jwt), "token-nonce");
  options_.nonce = Bytes();
  EXPECT_EQ(Judge(jwt), "token-nonce");
  options_.nonce = ear.nonce;
  ear.nonce.clear();
  EXPECT_EQ(Judge(SignAnything(key_, kPlainHeader, EncodeClaims(ear))),
            "token-nonce");
}

TEST_F(VerifyEarTest, IsOfTheProfileThatIsAskedFor) {
  options_.profile = std::string(kProfile);
  const std::string jwt = SignAnything(key_, kPlainHeader, claims_);
  EXPECT_EQ(Judge(jwt), "trusted");
  options_.profile = "tag:github.com,2023:veraison/ear";
  EXPECT_EQ(Judge(jwt), "token-profile");
}

TEST_F(VerifyEarTest, AGenuineTokenGivesEveryReasonThatItIsNotFor) {
  options_.now = kNow + std::chrono::hours(1);
  options_.nonce = Bytes(16, 1);
  options_.profile = "other";
  const OpenedEar opened =
      VerifyEar(SignAnything(key_, kPlainHeader, claims_), keys_, options_);
  std::vector<std::string> codes;
  for (const Reason& reason : opened.verdict.reasons) {
    codes.push_back(reason.code);
  }
  EXPECT_THAT(codes, ::testing::ElementsAre("token-expired", "token-nonce",
                                            "token-profile"));
  EXPECT_TRUE(opened.ear.submodules.empty());
}

}  // namespace
}  // namespace vmattest::token
