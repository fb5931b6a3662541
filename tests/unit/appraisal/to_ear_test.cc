#include <gmock/gmock.h>

#include "appraisal_fixture.h"
#include "crypto/ec_private_key.h"
#include "token/ear.h"

namespace vmattest::appraisal {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using token::Tier;

class ToEarTest : public AppraisalFixture {
 protected:
  token::Ear Result() { return ToEar(Decide(), request, now); }

  // What a relying party makes of it.
  static token::Ear SentAndRead(token::Ear ear, WallTime now) {
    ear.developer = "vmattest.org";
    ear.build = "test";
    ear.token_id = "1";
    const token::TokenSigner signer(EcPrivateKey::Generate());
    const token::OpenedEar opened = token::VerifyEar(
        signer.SignEs256(ear), signer.keys(), {.now = now, .nonce = {}});
    EXPECT_TRUE(opened.verdict.trusted())
        << (opened.verdict.reasons.empty() ? ""
                                           : opened.verdict.reasons[0].code);
    return opened.ear;
  }
};

TEST_F(ToEarTest, AnAllowedVmIsAffirmed) {
  request.nonce = Bytes(16, 1);
  builder.header.nonce = *request.nonce;
  reference.pcrs = {{0, {builder.pcrs.values.at(0)}}};
  const token::Ear ear = SentAndRead(Result(), now);
  const token::Submodule& config = ear.submodules.at("config");
  EXPECT_EQ(config.status, Tier::kAffirming);
  EXPECT_THAT(config.trust_vector, Contains(Pair("configuration", 2)));
  EXPECT_EQ(config.policy_id, "web@1");
  EXPECT_TRUE(config.reasons.empty());
  const token::Submodule& host_part = ear.submodules.at("host");
  EXPECT_EQ(host_part.status, Tier::kAffirming);
  EXPECT_THAT(
      host_part.trust_vector,
      UnorderedElementsAre(Pair("instance-identity", 2), Pair("hardware", 2)));
  EXPECT_EQ(ear.profile, token::kProfile);
  EXPECT_EQ(ear.nonce, *request.nonce);
  EXPECT_EQ(ear.expires, now + std::chrono::hours(1));
}

TEST_F(ToEarTest, S16_TheBindingNamesAllThatAKeptVerdictDependsOn) {
  const token::Ear ear = Result();
  const Decision decision = Decide();
  EXPECT_THAT(
      ear.binding,
      UnorderedElementsAre(
          Pair("vm", decision.claims.vm_uuid), Pair("host", host.host_id()),
          Pair("root", ToHex(decision.claims.root)),
          Pair("ak", ToHex(host.ak.name())), Pair("reset_count", "7"),
          Pair("reference", "web@1"), Pair("mode", "enforce"),
          Pair("policy", "tag:vmattest.org,2026:appraisal/v1")));
}

TEST_F(ToEarTest, AChangedConfigurationIsContraindicatedAndTheHostIsNot) {
  builder.leaves.front().value += "x";
  const token::Ear ear = SentAndRead(Result(), now);
  const token::Submodule& config = ear.submodules.at("config");
  EXPECT_EQ(config.status, Tier::kContraindicated);
  EXPECT_THAT(config.trust_vector, Contains(Pair("configuration", 96)));
  EXPECT_EQ(Codes(config.reasons), "reference-leaf-changed reference-root");
  EXPECT_EQ(config.fixes.size(), 2u);
  EXPECT_EQ(ear.submodules.at("host").status, Tier::kAffirming);
}

TEST_F(ToEarTest, ChangedContentIsWhatExecutablesSay) {
  builder.leaves.push_back(
      {"os/kernel/content", LeafType::kDigest, "sha256:00"});
  builder.edit_statement = [](evidence::ConfigStatement& statement) {
    statement.content = "chain";
  };
  reference = Learned();
  EXPECT_THAT(Result().submodules.at("config").trust_vector,
              Contains(Pair("executables", 3)));
  builder.leaves.back().value = "sha256:01";
  EXPECT_THAT(Result().submodules.at("config").trust_vector,
              Contains(Pair("executables", 33)));
}

TEST_F(ToEarTest, ARefusedHostIsContraindicatedForBoth) {
  reference.pcrs = {{0, {Bytes(32, 9)}}};
  const token::Ear ear = SentAndRead(Result(), now);
  EXPECT_THAT(ear.submodules.at("host").trust_vector,
              Contains(Pair("hardware", 97)));
  EXPECT_EQ(ear.submodules.at("host").status, Tier::kContraindicated);
  EXPECT_EQ(ear.submodules.at("config").status, Tier::kContraindicated);
  EXPECT_THAT(ear.submodules.at("config").trust_vector,
              Contains(Pair("configuration", 2)));
}

TEST_F(ToEarTest, AnUnknownVmIsRefused) {
  reference.vm_uuids = {"11111111-f6a4-8304-79aa-97f2502e193f"};
  const token::Ear ear = SentAndRead(Result(), now);
  const token::Submodule& config = ear.submodules.at("config");
  EXPECT_EQ(config.status, Tier::kContraindicated);
  EXPECT_THAT(config.trust_vector, ElementsAre(Pair("configuration", 36)));
  EXPECT_TRUE(config.policy_id.empty());
}

TEST_F(ToEarTest, WhatIsNotGenuineSaysSoAndBindsNothing) {
  const testing::SoftHost stranger;
  testing::EvidenceBuilder theirs(stranger);
  const Bytes foreign = theirs.BuildFile();
  token::Ear ear = SentAndRead(ToEar(Decide(foreign), request, now), now);
  EXPECT_THAT(ear.submodules.at("host").trust_vector,
              ElementsAre(Pair("instance-identity", 97)));
  EXPECT_THAT(ear.submodules.at("config").trust_vector,
              ElementsAre(Pair("configuration", 99)));
  EXPECT_TRUE(ear.binding.empty());
  ear = SentAndRead(ToEar(Decide(Bytes{1}), request, now), now);
  EXPECT_THAT(ear.submodules.at("host").trust_vector,
              ElementsAre(Pair("instance-identity", 99)));
  EXPECT_EQ(ear.submodules.at("config").status, Tier::kContraindicated);
}

TEST_F(ToEarTest, HoweverMuchIsWrongItFitsIntoAToken) {
  for (int i = 0; i < 500; ++i) {
    builder.leaves.push_back({"xml/" + std::to_string(1'000 + i),
                              LeafType::kElement, std::string(5'000, '\1')});
  }
  token::Ear ear = SentAndRead(Result(), now);
  EXPECT_EQ(ear.submodules.at("config").reasons.back().code, "reference-more");
  builder.leaves.resize(builder.leaves.size() - 500);
  for (int i = 0; i < 500; ++i) {
    builder.leaves.push_back(
        {"x/" + std::to_string(1'000 + i), LeafType::kText, "y"});
  }
  ear = SentAndRead(Result(), now);
  EXPECT_EQ(ear.submodules.at("config").reasons.size(), kMaxEarReasons + 1);
}

}  // namespace
}  // namespace vmattest::appraisal
