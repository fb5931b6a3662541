// Tokens and claims of Veraison and Confidential Containers (vectors/ear-eat).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/strict_json.h"
#include "sample.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "token/claims.h"

namespace vmattest::token {
namespace {

using nlohmann::json;

struct Expected {
  const char* code;
  const char* with_another_key;
};

// What the README beside the vectors says of each, in our codes.
const std::map<std::string, Expected>& Expectations() {
  static const std::map<std::string, Expected> kExpectations = {
      {"ear-affirming", {"trusted", "token-signature"}},
      {"ear-none", {"token-algorithm", "token-algorithm"}},
      {"ear-leading-dot", {"token-malformed", "token-malformed"}},
      {"arc-raw-evidence", {"trusted", "token-signature"}},
      {"arc-trustee-realm-expired", {"token-expired", "token-signature"}}};
  return kExpectations;
}

TEST(ThirdPartyTokens, AreJudgedWithTheGivenKeyAsTheirReadmeSays) {
  VMATTEST_REQUIRE_VECTORS(folder, "ear-eat");
  const json tokens = json::parse(testing::Slurp(folder / "tokens.json"));
  EXPECT_EQ(tokens.size(), Expectations().size());
  const VerificationKey another =
      VerificationKey::FromEc(EcPrivateKey::Generate().public_key());
  for (const json& token : tokens) {
    const std::string id = token["id"];
    SCOPED_TRACE(id);
    const auto expected = Expectations().find(id);
    ASSERT_NE(expected, Expectations().end());
    ASSERT_OK_AND_ASSIGN(const VerificationKey key,
                         VerificationKey::FromJwk(token["key"].dump()));
    const std::string jwt = token["token"];
    const VerifyOptions options{.now = kNow};
    EXPECT_EQ(CodeOf(VerifyEar(jwt, std::span(&key, 1), options)),
              expected->second.code);
    EXPECT_EQ(CodeOf(VerifyEar(jwt, std::span(&another, 1), options)),
              expected->second.with_another_key);
    EXPECT_EQ(CodeOf(VerifyEar(jwt, {}, options)).substr(0, 6), "token-");
  }
}

TEST(ThirdPartyTokens, ThatExpiredWereGoodInTheirTime) {
  VMATTEST_REQUIRE_VECTORS(folder, "ear-eat");
  for (const json& token :
       json::parse(testing::Slurp(folder / "tokens.json"))) {
    if (token["id"] != "arc-trustee-realm-expired") {
      continue;
    }
    ASSERT_OK_AND_ASSIGN(const VerificationKey key,
                         VerificationKey::FromJwk(token["key"].dump()));
    const OpenedEar opened = VerifyEar(
        token["token"].get<std::string>(), std::span(&key, 1),
        {.now = WallTime(
             std::chrono::seconds(token["claims"]["iat"].get<int64_t>()))});
    ASSERT_TRUE(opened.verdict.trusted()) << CodeOf(opened);
    const Submodule& cpu = opened.ear.submodules.at("cpu0");
    EXPECT_EQ(cpu.status, Tier::kAffirming);
    EXPECT_EQ(cpu.trust_vector.at("executables"), 3);
    EXPECT_EQ(opened.ear.developer, "https://confidentialcontainers.org");
    return;
  }
  FAIL() << "no such token";
}

TEST(ThirdPartyClaims, AreRead) {
  VMATTEST_REQUIRE_VECTORS(folder, "ear-eat");
  const std::map<std::string, Tier> statuses = {
      {"ear-claims.json", Tier::kAffirming},
      {"ear-claims-tv-ok.json", Tier::kAffirming},
      {"ear-claims-extension-ok.json", Tier::kAffirming},
      {"rust-ear-claims.json", Tier::kAffirming},
      {"trustee-example.token.json", Tier::kContraindicated}};
  size_t found = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder / "claims")) {
    const std::string name = entry.path().filename();
    SCOPED_TRACE(name);
    const ParsedClaims parsed = ParseClaims(testing::Slurp(entry.path()));
    // "-ko": a key attestation of Veraison's extensions that is none; what is
    // not ours to understand is not ours to refuse.
    ASSERT_FALSE(parsed.problem) << parsed.problem->element;
    if (const auto status = statuses.find(name); status != statuses.end()) {
      EXPECT_EQ(parsed.ear.submodules.begin()->second.status, status->second);
      ++found;
    }
    const ParsedClaims again = ParseClaims(EncodeClaims(parsed.ear));
    ASSERT_FALSE(again.problem);
    EXPECT_EQ(EncodeClaims(again.ear), EncodeClaims(parsed.ear));
  }
  EXPECT_EQ(found, statuses.size());
}

TEST(ThirdPartyEats, ThatAreNoAttestationResultsAreRefused) {
  VMATTEST_REQUIRE_VECTORS(folder, "ear-eat");
  for (const auto& entry :
       std::filesystem::directory_iterator(folder / "eat-payloads")) {
    if (entry.path().extension() == ".json") {
      EXPECT_TRUE(ParseClaims(testing::Slurp(entry.path())).problem)
          << entry.path();
    }
  }
}

}  // namespace
}  // namespace vmattest::token
