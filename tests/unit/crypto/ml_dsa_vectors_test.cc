// NIST's ACVP vectors, known-answer tests and Wycheproof, all of ML-DSA that
// goes through the external, pure interface.

#include <gtest/gtest.h>

#include "crypto/ml_dsa.h"
#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

using nlohmann::json;

constexpr auto kDeterministic = MlDsaKey::Signing::kDeterministic;

Bytes Unhex(const json& hex) {
  return ParseHex(hex.get<std::string>()).value();
}
Bytes UnhexOrEmpty(const json& test, const char* field) {
  return test.contains(field) ? Unhex(test[field]) : Bytes();
}

bool Accepts(MlDsaLevel level, ByteView key, ByteView message, ByteView context,
             ByteView signature) {
  const absl::StatusOr<MlDsaPublicKey> parsed =
      MlDsaPublicKey::Parse(level, key);
  return parsed.ok() && parsed->Verify(message, AsText(context), signature);
}

class MlDsaVectors : public ::testing::TestWithParam<MlDsaLevel> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(const MlDsaProvider* provider, MlDsaProvider::Open());
    ASSERT_NE(provider, nullptr);
  }
  [[nodiscard]] static std::string Number() {
    return std::string(ToString(GetParam())).substr(7);
  }
};
INSTANTIATE_TEST_SUITE_P(Levels, MlDsaVectors,
                         ::testing::Values(MlDsaLevel::k44, MlDsaLevel::k65,
                                           MlDsaLevel::k87),
                         [](const auto& level) {
                           return std::string(ToString(level.param)).substr(7);
                         });

TEST_P(MlDsaVectors, AcvpKeyGeneration) {
  VMATTEST_REQUIRE_VECTORS(folder, "mldsa-acvp");
  const json root = json::parse(testing::Slurp(folder / "ML-DSA-keyGen.json"));
  int tests = 0;
  for (const json& group : root["testGroups"]) {
    if (group["parameterSet"] != "ML-DSA-" + Number()) {
      continue;
    }
    for (const json& test : group["tests"]) {
      ASSERT_OK_AND_ASSIGN(
          const MlDsaKey key,
          MlDsaKey::FromSeed(GetParam(), SecretBytes(Unhex(test["seed"]))));
      EXPECT_EQ(key.public_key(), Unhex(test["pk"])) << test["tcId"];
      ++tests;
    }
  }
  EXPECT_GE(tests, 5);
}

TEST_P(MlDsaVectors, AcvpVerification) {
  VMATTEST_REQUIRE_VECTORS(folder, "mldsa-acvp");
  const json root =
      json::parse(testing::Slurp(folder / "ML-DSA-sigVer-external-pure.json"));
  int accepted = 0;
  int refused = 0;
  for (const json& group : root["testGroups"]) {
    if (group["parameterSet"] != "ML-DSA-" + Number()) {
      continue;
    }
    for (const json& test : group["tests"]) {
      const bool good =
          Accepts(GetParam(), Unhex(test["pk"]), Unhex(test["message"]),
                  Unhex(test["context"]), Unhex(test["signature"]));
      EXPECT_EQ(good, test["testPassed"].get<bool>()) << test["tcId"];
      (good ? accepted : refused) += 1;
    }
  }
  EXPECT_GE(accepted, 2);
  EXPECT_GE(refused, 7);
}

TEST_P(MlDsaVectors, KnownAnswersOfDeterministicSigning) {
  VMATTEST_REQUIRE_VECTORS(folder, "mldsa-acvp");
  const json root = json::parse(
      testing::Slurp(folder / ("kat-det-pure-" + Number() + ".json")));
  ASSERT_GE(root.size(), 10u);
  for (const json& test : root) {
    const Bytes message = Unhex(test["msg"]);
    const Bytes context = Unhex(test["ctx"]);
    Bytes signature = Unhex(test["sm"]);  // followed by the message
    ASSERT_EQ(signature.size(),
              MlDsaSignatureSize(GetParam()) + message.size());
    signature.resize(MlDsaSignatureSize(GetParam()));
    ASSERT_OK_AND_ASSIGN(
        const MlDsaKey key,
        MlDsaKey::FromSeed(GetParam(), SecretBytes(Unhex(test["xi"]))));
    EXPECT_EQ(key.public_key(), Unhex(test["pk"])) << test["count"];
    ASSERT_OK_AND_ASSIGN(const Bytes ours,
                         key.Sign(message, AsText(context), kDeterministic));
    EXPECT_EQ(ours, signature) << test["count"];
    EXPECT_TRUE(
        Accepts(GetParam(), key.public_key(), message, context, signature))
        << test["count"];
  }
}

TEST_P(MlDsaVectors, WycheproofVerification) {
  VMATTEST_REQUIRE_VECTORS(folder, "mldsa-wycheproof");
  const json root = json::parse(
      testing::Slurp(folder / ("mldsa_" + Number() + "_verify.json")));
  int accepted = 0;
  int refused = 0;
  for (const json& group : root["testGroups"]) {
    const Bytes key = Unhex(group["publicKey"]);
    for (const json& test : group["tests"]) {
      const bool good = Accepts(GetParam(), key, Unhex(test["msg"]),
                                UnhexOrEmpty(test, "ctx"), Unhex(test["sig"]));
      EXPECT_EQ(good, test["result"] == "valid")
          << test["tcId"] << " " << test["comment"];
      (good ? accepted : refused) += 1;
    }
  }
  EXPECT_EQ(accepted + refused, root["numberOfTests"].get<int>());
  EXPECT_GE(accepted, 40);
  EXPECT_GE(refused, 50);
}

bool HasFlag(const json& test, const char* flag) {
  for (const json& one : test["flags"]) {
    if (one == flag) {
      return true;
    }
  }
  return false;
}

void CheckKey(const json& group) {
  ASSERT_OK_AND_ASSIGN(
      const MlDsaKey key,
      MlDsaKey::FromSeed(MlDsaLevel::k65,
                         SecretBytes(Unhex(group["privateSeed"]))));
  EXPECT_EQ(key.public_key(), Unhex(group["publicKey"]));
}

void CheckSigning(const json& group, const json& test) {
  const std::string label = test["tcId"].dump() + " " + test["comment"].dump();
  const Bytes context = UnhexOrEmpty(test, "ctx");
  const Bytes message = Unhex(test["msg"]);
  const absl::StatusOr<MlDsaKey> key = MlDsaKey::FromSeed(
      MlDsaLevel::k65, SecretBytes(Unhex(group["privateSeed"])));
  const absl::StatusOr<Bytes> ours =
      key.ok() ? key->Sign(message, AsText(context), kDeterministic)
               : key.status();
  ASSERT_EQ(ours.ok(), test["result"] == "valid")
      << label << " " << ours.status().ToString();
  if (!ours.ok()) {
    return;
  }
  EXPECT_EQ(key->public_key(), Unhex(group["publicKey"])) << label;
  const Bytes published = Unhex(test["sig"]);
  EXPECT_TRUE(
      Accepts(MlDsaLevel::k65, key->public_key(), message, context, published))
      << label;
  // The randomness of such a case is not ours to choose.
  EXPECT_EQ(*ours == published, !HasFlag(test, "Randomized")) << label;
}

TEST(MlDsaSigningVectors, WycheproofSigningFromTheSeed) {
  VMATTEST_REQUIRE_VECTORS(folder, "mldsa-wycheproof");
  const json root =
      json::parse(testing::Slurp(folder / "mldsa_65_sign_seed.json"));
  int tests = 0;
  int internal = 0;
  for (const json& group : root["testGroups"]) {
    for (const json& test : group["tests"]) {
      if (!test.contains("msg")) {  // only the internal interface's `mu`
        ASSERT_TRUE(HasFlag(test, "Internal")) << test["tcId"];
        CheckKey(group);
        ++internal;
        continue;
      }
      CheckSigning(group, test);
      ++tests;
    }
  }
  EXPECT_EQ(tests + internal, root["numberOfTests"].get<int>());
  EXPECT_GE(tests, 50);
}

}  // namespace
}  // namespace vmattest
