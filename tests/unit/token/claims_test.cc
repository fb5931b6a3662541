#include "token/claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strict_json.h"
#include "sample.h"
#include "support/matchers.h"

namespace vmattest::token {
namespace {

using nlohmann::json;

// The sample's claims with `change` done to them.
template <class Change>
ParsedClaims ParseChanged(const Change& change) {
  json claims = json::parse(EncodeClaims(SampleEar()));
  change(claims);
  return ParseClaims(claims.dump());
}

template <class Change>
std::string RefusedElement(const Change& change) {
  const ParsedClaims parsed = ParseChanged(change);
  if (!parsed.problem) {
    return "accepted";
  }
  EXPECT_EQ(parsed.problem->code, "token-claims");
  return parsed.problem->element;
}

TEST(TierOf, FollowsTheRangesOfAr4si) {
  const std::pair<int, Tier> values[] = {{-128, Tier::kContraindicated},
                                         {-97, Tier::kContraindicated},
                                         {-96, Tier::kWarning},
                                         {-33, Tier::kWarning},
                                         {-32, Tier::kAffirming},
                                         {-2, Tier::kAffirming},
                                         {-1, Tier::kNone},
                                         {0, Tier::kNone},
                                         {1, Tier::kNone},
                                         {2, Tier::kAffirming},
                                         {31, Tier::kAffirming},
                                         {32, Tier::kWarning},
                                         {95, Tier::kWarning},
                                         {96, Tier::kContraindicated},
                                         {127, Tier::kContraindicated}};
  for (const auto& [claim, tier] : values) {
    EXPECT_EQ(TierOf(static_cast<TrustClaim>(claim)), tier) << claim;
  }
}

TEST(Claims, ComeBackAsTheyWere) {
  const std::string text = EncodeClaims(SampleEar());
  const ParsedClaims parsed = ParseClaims(text);
  ASSERT_FALSE(parsed.problem) << parsed.problem->element;
  EXPECT_EQ(EncodeClaims(parsed.ear), text);
  const Submodule& vm = parsed.ear.submodules.at("vm");
  EXPECT_EQ(vm.config_root, Bytes(32, 0xAB));
  EXPECT_EQ(vm.reasons.at(0).found, "quiet init=/bin/sh");
  EXPECT_EQ(parsed.ear.nonce, Bytes(16, 0x5A));
  EXPECT_EQ(parsed.ear.expires, kNow + std::chrono::minutes(5));
}

TEST(Claims, AreWrittenInOneOrderWithoutWhatIsEmpty) {
  Ear ear;
  ear.profile = "p";
  ear.submodules["b"].status = Tier::kNone;
  ear.submodules["a"].status = Tier::kWarning;
  EXPECT_EQ(EncodeClaims(ear),
            R"({"ear.verifier-id":{"build":"","developer":""},)"
            R"("eat_profile":"p","iat":0,"submods":{)"
            R"("a":{"ear.status":"warning"},"b":{"ear.status":"none"}}})");
}

TEST(Claims, AreValidNoLongerThanAskedFor) {
  Ear ear = SampleEar();
  const std::chrono::milliseconds part(250);
  ear.issued += part;
  *ear.not_before += part;
  *ear.expires += part;
  const ParsedClaims parsed = ParseClaims(EncodeClaims(ear));
  ASSERT_FALSE(parsed.problem);
  EXPECT_EQ(parsed.ear.issued, kNow);
  EXPECT_EQ(parsed.ear.not_before, kNow + std::chrono::seconds(1));
  EXPECT_EQ(parsed.ear.expires, kNow + std::chrono::minutes(5));
}

TEST(Claims, NeverSayABetterStatusThanTheirWorstClaim) {
  Ear ear = SampleEar();
  ear.submodules["vm"].status = Tier::kAffirming;
  const ParsedClaims parsed = ParseClaims(EncodeClaims(ear));
  ASSERT_FALSE(parsed.problem);
  EXPECT_EQ(parsed.ear.submodules.at("vm").status, Tier::kContraindicated);
}

TEST(Claims, WithABetterStatusThanTheirWorstClaimAreRefused) {
  for (const char* status : {"affirming", "warning"}) {
    EXPECT_EQ(RefusedElement([&](json& claims) {
                claims["submods"]["vm"]["ear.status"] = status;
              }),
              "submods.vm.ear.status");
  }
  EXPECT_EQ(RefusedElement([](json& claims) {
              claims["submods"]["vm"]["ear.status"] = "none";
            }),
            "accepted");
}

TEST(Claims, TakeAStatusAsWordOrNumber) {
  const std::pair<json, Tier> values[] = {
      {"none", Tier::kNone},
      {0, Tier::kNone},
      {"affirming", Tier::kAffirming},
      {2, Tier::kAffirming},
      {"warning", Tier::kWarning},
      {32, Tier::kWarning},
      {"contraindicated", Tier::kContraindicated},
      {96, Tier::kContraindicated}};
  for (const auto& [value, tier] : values) {
    const json& status = value;
    const ParsedClaims parsed = ParseChanged([&](json& claims) {
      claims["submods"]["vm"].erase("ear.trustworthiness-vector");
      claims["submods"]["vm"]["ear.status"] = status;
    });
    ASSERT_FALSE(parsed.problem) << value;
    EXPECT_EQ(parsed.ear.submodules.at("vm").status, tier);
  }
  for (const json& status : {json("Affirming"), json(3), json(-2), json(2.0),
                             json(true), json(nullptr), json("")}) {
    EXPECT_EQ(RefusedElement([&](json& claims) {
                claims["submods"]["vm"]["ear.status"] = status;
              }),
              "submods.vm.ear.status")
        << status;
  }
}

TEST(Claims, TakeOnlyNamesAndValuesOfAr4si) {
  for (const json& value : {json(128), json(-129), json(2.5), json("2"),
                            json(nullptr), json(UINT64_MAX)}) {
    EXPECT_EQ(
        RefusedElement([&](json& claims) {
          claims["submods"]["vm"]["ear.trustworthiness-vector"]["hardware"] =
              value;
        }),
        "submods.vm.ear.trustworthiness-vector.hardware")
        << value;
  }
  EXPECT_EQ(RefusedElement([](json& claims) {
              claims["submods"]["vm"]["ear.trustworthiness-vector"]["luck"] = 2;
            }),
            "submods.vm.ear.trustworthiness-vector.luck");
}

TEST(Claims, ThatEveryEarHasAreRequired) {
  for (const char* name :
       {"eat_profile", "iat", "ear.verifier-id", "submods"}) {
    EXPECT_EQ(RefusedElement([&](json& claims) { claims.erase(name); }), name);
  }
  for (const char* name : {"developer", "build"}) {
    EXPECT_EQ(RefusedElement(
                  [&](json& claims) { claims["ear.verifier-id"].erase(name); }),
              std::string("ear.verifier-id.") + name);
  }
  EXPECT_EQ(
      RefusedElement([](json& claims) { claims["submods"] = json::object(); }),
      "submods");
  EXPECT_EQ(RefusedElement([](json& claims) {
              claims["submods"]["vm"].erase("ear.status");
            }),
            "submods.vm.ear.status");
}

TEST(Claims, OfAnotherTypeAreRefused) {
  for (const char* name :
       {"eat_profile", "iat", "nbf", "exp", "eat_nonce", "jti",
        "ear.verifier-id", "submods", "vmattest.binding"}) {
    for (const json& value :
         {json(-1), json(1.5), json(nullptr), json::array({1})}) {
      EXPECT_EQ(RefusedElement([&](json& claims) { claims[name] = value; }),
                name)
          << value;
    }
  }
  for (const char* name :
       {"ear.trustworthiness-vector", "ear.appraisal-policy-id",
        "vmattest.vm-uuid", "vmattest.host-id", "vmattest.config-root",
        "vmattest.ak", "vmattest.reasons", "vmattest.fixes"}) {
    EXPECT_EQ(RefusedElement(
                  [&](json& claims) { claims["submods"]["vm"][name] = 7; }),
              std::string("submods.vm.") + name);
  }
}

TEST(Claims, WithTimesPastTheYear9999AreRefused) {
  EXPECT_EQ(RefusedElement([](json& c) { c["exp"] = 253402300799; }),
            "accepted");
  EXPECT_EQ(RefusedElement([](json& c) { c["exp"] = 253402300800; }), "exp");
  EXPECT_EQ(RefusedElement([](json& c) { c["exp"] = UINT64_MAX; }), "exp");
}

TEST(Claims, HaveOneNonceOfAtMost64Bytes) {
  EXPECT_EQ(RefusedElement([](json& c) { c["eat_nonce"] = {"WlpaWg"}; }),
            "accepted");
  for (const json& value :
       {json(""), json("Wlp="), json("Wlq"), json({"WlpaWg", "WlpaWg"}),
        json::array(), json(std::string(88, 'A'))}) {
    EXPECT_EQ(RefusedElement([&](json& c) { c["eat_nonce"] = value; }),
              "eat_nonce")
        << value;
  }
}

TEST(Claims, ThatNobodyKnowsAreIgnored) {
  EXPECT_EQ(RefusedElement([](json& claims) {
              claims["aud"] = "me";
              claims["submods"]["vm"]["ear.veraison.policy-claims"] = {1, 2};
              claims["ear.verifier-id"]["more"] = nullptr;
            }),
            "accepted");
}

TEST(Claims, ThatAreNoStrictJsonAreMalformed) {
  const std::string text = EncodeClaims(SampleEar());
  const std::string twice = "{\"iat\":1," + text.substr(1);
  const std::string deep = "{\"x\":" + std::string(40, '[') +
                           std::string(40, ']') + "," + text.substr(1);
  for (const std::string& payload : {std::string(), text + "x", text.substr(1),
                                     twice, deep, std::string("\xff")}) {
    const ParsedClaims parsed = ParseClaims(payload);
    ASSERT_TRUE(parsed.problem) << payload;
    EXPECT_EQ(parsed.problem->code, "token-malformed");
  }
  for (const char* payload : {"[]", "7", "null", "\"text\""}) {
    const ParsedClaims parsed = ParseClaims(payload);
    ASSERT_TRUE(parsed.problem);
    EXPECT_EQ(parsed.problem->code, "token-claims");
  }
}

TEST(Claims, ShowHostileValuesShortAndInAscii) {
  const ParsedClaims parsed = ParseChanged([](json& claims) {
    claims["submods"]["\x1b[2J" + std::string(500, 'a')] =
        std::string("\n\x7f") + std::string(500, 'b');
  });
  ASSERT_TRUE(parsed.problem);
  for (const std::string& shown :
       {parsed.problem->element, parsed.problem->found}) {
    EXPECT_LT(shown.size(), 120u);
    for (const char c : shown) {
      EXPECT_TRUE(c >= ' ' && c <= '~') << static_cast<int>(c);
    }
  }
}

}  // namespace
}  // namespace vmattest::token
