#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/base64.h"
#include "base/strict_json.h"
#include "sample.h"
#include "support/matchers.h"
#include "token/jws.h"

namespace vmattest::token {
namespace {

using nlohmann::json;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kUnknown = absl::StatusCode::kUnimplemented;

// RFC 7515, appendix A.3.
constexpr std::string_view kRfc7515Key =
    R"({"kty":"EC","crv":"P-256",)"
    R"("x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})";
constexpr std::string_view kRfc7515Token =
    "eyJhbGciOiJFUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvb"
    "S9pc19yb290Ijp0cnVlfQ."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTU"
    "JqPP3-Kg6NU1Q";

json Rfc7515Key() { return json::parse(kRfc7515Key); }

template <class Change>
absl::Status ParseChanged(const Change& change) {
  json jwk = Rfc7515Key();
  change(jwk);
  return VerificationKey::FromJwk(jwk.dump()).status();
}

TEST(Jwk, VerifiesTheExampleOfRfc7515) {
  ASSERT_OK_AND_ASSIGN(const VerificationKey key,
                       VerificationKey::FromJwk(kRfc7515Key));
  EXPECT_EQ(key.algorithm(), "ES256");
  const OpenedJws opened = OpenJws(kRfc7515Token, std::span(&key, 1));
  EXPECT_FALSE(opened.problem);
  EXPECT_THAT(opened.payload, ::testing::HasSubstr("\"iss\":\"joe\""));
}

TEST(Jwk, ComesBackAsItWas) {
  ASSERT_OK_AND_ASSIGN(const VerificationKey key,
                       VerificationKey::FromJwk(kRfc7515Key));
  const std::string jwk = key.ToJwk();
  ASSERT_OK_AND_ASSIGN(const VerificationKey again,
                       VerificationKey::FromJwk(jwk));
  EXPECT_EQ(again.ToJwk(), jwk);
  EXPECT_EQ(again.key_id(), key.key_id());
  EXPECT_EQ(json::parse(jwk)["kid"], key.key_id());
}

TEST(Jwk, PadsCoordinatesThatBeginWithZero) {
  const VerificationKey key = VerificationKey::FromEc(
      {.curve = EcCurve::kP384, .x = Bytes(47, 1), .y = Bytes(48, 2)});
  EXPECT_EQ(json::parse(key.ToJwk())["x"], ToBase64Url([] {
              Bytes padded(48, 1);
              padded[0] = 0;
              return padded;
            }()));
}

TEST(Jwk, KeepsTheNameThatItCameWith) {
  json jwk = Rfc7515Key();
  jwk["kid"] = "verifier-2026";
  ASSERT_OK_AND_ASSIGN(const VerificationKey key,
                       VerificationKey::FromJwk(jwk.dump()));
  EXPECT_TRUE(key.IsNamed("verifier-2026"));
  EXPECT_TRUE(key.IsNamed(key.key_id()));
  EXPECT_FALSE(key.IsNamed(""));
  EXPECT_FALSE(key.IsNamed("verifier-2027"));
  EXPECT_EQ(json::parse(key.ToJwk())["kid"], "verifier-2026");
}

TEST(Jwk, IgnoresMembersThatItDoesNotKnow) {
  EXPECT_TRUE(ParseChanged([](json& jwk) {
                jwk["x5t"] = "AAAA";
                jwk["use"] = "sig";
                jwk["key_ops"] = {"verify"};
                jwk["alg"] = "ES256";
              }).ok());
}

TEST(Jwk, OfAPrivateKeyIsRefused) {
  for (const char* member : {"d", "priv", "k"}) {
    EXPECT_THAT(ParseChanged([&](json& jwk) { jwk[member] = "AAAA"; }),
                StatusIs(kInvalid, ::testing::HasSubstr("private")));
  }
}

TEST(Jwk, ForAnotherUseIsRefused) {
  EXPECT_THAT(ParseChanged([](json& jwk) { jwk["use"] = "enc"; }),
              StatusIs(kInvalid));
  EXPECT_THAT(ParseChanged([](json& jwk) { jwk["key_ops"] = {"sign"}; }),
              StatusIs(kInvalid));
  EXPECT_THAT(ParseChanged([](json& jwk) { jwk["key_ops"] = "verify"; }),
              StatusIs(kInvalid));
}

TEST(Jwk, WithAnAlgorithmThatIsNotItsCurvesIsRefused) {
  for (const char* alg : {"ES384", "HS256", "none", "ML-DSA-65"}) {
    EXPECT_THAT(ParseChanged([&](json& jwk) { jwk["alg"] = alg; }),
                StatusIs(kInvalid))
        << alg;
  }
}

TEST(Jwk, OfAnotherKindIsSaidToBeUnknown) {
  for (const char* kty : {"RSA", "OKP", "oct", "ec", ""}) {
    EXPECT_THAT(ParseChanged([&](json& jwk) { jwk["kty"] = kty; }),
                StatusIs(kUnknown))
        << kty;
  }
  EXPECT_THAT(ParseChanged([](json& jwk) { jwk["crv"] = "P-521"; }),
              StatusIs(kUnknown));
  EXPECT_THAT(VerificationKey::FromJwk(
                  R"({"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"})"),
              StatusIs(kUnknown));
}

TEST(Jwk, ThatIsNoPointOfItsCurveIsRefused) {
  EXPECT_THAT(ParseChanged([](json& jwk) { std::swap(jwk["x"], jwk["y"]); }),
              StatusIs(kInvalid));
  EXPECT_THAT(ParseChanged([](json& jwk) {
                jwk["x"] = jwk["y"] = ToBase64Url(Bytes(32, 0));
              }),
              StatusIs(kInvalid));
}

TEST(Jwk, WithMalformedMembersIsRefused) {
  for (const char* member : {"x", "y"}) {
    const std::string good = Rfc7515Key()[member];
    for (const json& value :
         {json(good + "="), json(good.substr(1)), json("AA" + good), json(7),
          json(good.substr(0, 42) + "B"), json(nullptr)}) {
      EXPECT_THAT(ParseChanged([&](json& jwk) { jwk[member] = value; }),
                  StatusIs(kInvalid))
          << value;
    }
  }
  for (const char* member : {"kty", "crv", "x", "y"}) {
    EXPECT_THAT(ParseChanged([&](json& jwk) { jwk.erase(member); }),
                StatusIs(kInvalid));
  }
  EXPECT_THAT(ParseChanged([](json& jwk) { jwk["kid"] = 1; }),
              StatusIs(kInvalid));
  EXPECT_THAT(VerificationKey::FromJwk(
                  R"({"kty":"AKP","alg":"ML-DSA-65","pub":"AAAA"})"),
              StatusIs(kInvalid));
  for (const char* text : {"", "[]", "{}", "7", "{\"kty\":\"EC\""}) {
    EXPECT_THAT(VerificationKey::FromJwk(text), StatusIs(kInvalid)) << text;
  }
  EXPECT_THAT(VerificationKey::FromJwk(R"({"kty":"RSA",)" +
                                       std::string(kRfc7515Key.substr(1))),
              StatusIs(kInvalid, ::testing::HasSubstr("twice")));
  EXPECT_THAT(VerificationKey::FromJwk(std::string(kRfc7515Key) +
                                       std::string(kMaxJwkSize, ' ')),
              StatusIs(kInvalid));
}

TEST(JwkSet, ComesBackAsItWas) {
  const std::vector<VerificationKey> keys = {
      VerificationKey::FromEc(EcPrivateKey::Generate().public_key()),
      VerificationKey::FromEc(SignEs384("{}", "{}").key)};
  ASSERT_OK_AND_ASSIGN(const std::vector<VerificationKey> again,
                       ParseJwkSet(ToJwkSet(keys)));
  EXPECT_EQ(ToJwkSet(again), ToJwkSet(keys));
  EXPECT_EQ(again.size(), 2u);
  ASSERT_OK_AND_ASSIGN(const std::vector<VerificationKey> none,
                       ParseJwkSet(ToJwkSet({})));
  EXPECT_TRUE(none.empty());
}

TEST(JwkSet, PassesOverKeysOfOtherKinds) {
  json set;
  set["keys"] = {{{"kty", "RSA"}, {"n", "AQAB"}}, Rfc7515Key()};
  ASSERT_OK_AND_ASSIGN(const std::vector<VerificationKey> keys,
                       ParseJwkSet(set.dump()));
  EXPECT_EQ(keys.size(), 1u);
}

TEST(JwkSet, WithAMalformedKeyIsRefused) {
  json broken = Rfc7515Key();
  broken["y"] = "AAAA";
  json secret = Rfc7515Key();
  secret["d"] = "AAAA";
  for (const json& key : {broken, secret, json(7)}) {
    json set;
    set["keys"] = {Rfc7515Key(), key};
    EXPECT_THAT(ParseJwkSet(set.dump()), StatusIs(kInvalid));
  }
  for (const char* text : {"{}", "[]", "{\"keys\":{}}", ""}) {
    EXPECT_THAT(ParseJwkSet(text), StatusIs(kInvalid)) << text;
  }
}

TEST(JwkSet, OfTooManyKeysIsRefused) {
  json set;
  for (size_t i = 0; i <= kMaxJwks; ++i) {
    set["keys"].push_back(Rfc7515Key());
  }
  EXPECT_THAT(ParseJwkSet(set.dump()), StatusIs(kInvalid));
}

}  // namespace
}  // namespace vmattest::token
