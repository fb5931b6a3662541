#include "vmattest/verifier/ledger_key.h"

#include <gmock/gmock.h>

#include "crypto/digest.h"
#include "crypto/ec_private_key.h"
#include "crypto/ecdsa_der.h"
#include "evidence/ledger_key.h"
#include "support/matchers.h"
#include "verifier/reason_codes.h"
#include "verifier_fixture.h"
#include "wire/ledger_key_codec.h"

namespace vmattest::verifier {
namespace {

class S33_LedgerKeyTest : public VerifierFixture {
 protected:
  S33_LedgerKeyTest() {
    builder.key = KeyPurpose::kLedger;
    statement.header = builder.header;
    statement.header.vm_uuid.clear();
    statement.header.vm_name.clear();
    statement.log = "ledger.example/a";
    statement.key_spki = *EncodeSpki(key.public_key());
  }
  LedgerKeyAppraisal Appraise() {
    absl::StatusOr<LedgerKeyAppraisal> appraisal =
        VerifyLedgerKey(wire::EncodeEvidence(builder.Seal(
                            std::string(evidence::kLedgerKeyPayloadType),
                            wire::EncodeLedgerKeyStatement(statement))),
                        anchors, demands, "ledger.example/a", now);
    EXPECT_TRUE(appraisal.ok()) << appraisal.status().ToString();
    return appraisal.ok() ? *std::move(appraisal) : LedgerKeyAppraisal();
  }
  std::string Code(const LedgerKeyAppraisal& appraisal) {
    return appraisal.verdict.reasons.empty()
               ? "trusted"
               : appraisal.verdict.reasons[0].code;
  }

  const EcPrivateKey key = EcPrivateKey::Generate();
  evidence::LedgerKeyStatement statement;
  Policy demands;
};

TEST_F(S33_LedgerKeyTest, SaysWhichKeyTheTpmVouchesFor) {
  const LedgerKeyAppraisal appraisal = Appraise();
  EXPECT_EQ(Code(appraisal), "trusted");
  EXPECT_TRUE(appraisal.verdict.trusted());
  EXPECT_EQ(appraisal.key_spki, statement.key_spki);
  EXPECT_EQ(appraisal.log, "ledger.example/a");
  EXPECT_FALSE(appraisal.claims.ak_name.empty());
}

TEST_F(S33_LedgerKeyTest, S2_OnlyTheLedgerKeySignsIt) {
  builder.key = KeyPurpose::kConfig;
  EXPECT_EQ(Code(Appraise()), reason::kKeyPurpose);
}

TEST_F(S33_LedgerKeyTest, IsForOneLedger) {
  statement.log = "ledger.example/b";
  EXPECT_EQ(Code(Appraise()), reason::kStatementField);
}

TEST_F(S33_LedgerKeyTest, IsRefusedWithFieldsThatCannotBe) {
  const evidence::LedgerKeyStatement good = statement;
  statement.key_spki.pop_back();
  EXPECT_EQ(Code(Appraise()), reason::kStatementField);
  statement = good;
  statement.header.vm_uuid = "a045410c-221a-45fb-b0ef-341be7ce6025";
  EXPECT_EQ(Code(Appraise()), reason::kStatementField);
}

TEST_F(S33_LedgerKeyTest, IsRefusedWhenItIsOld) {
  demands.max_age = std::chrono::hours(24);
  now += std::chrono::hours(25);
  EXPECT_EQ(Code(Appraise()), reason::kTimeTooOld);
}

TEST_F(S33_LedgerKeyTest, AReaderOfTheEntryComparesItWithItsEvidence) {
  const Bytes evidence = wire::EncodeEvidence(
      builder.Seal(std::string(evidence::kLedgerKeyPayloadType),
                   wire::EncodeLedgerKeyStatement(statement)));
  const LedgerKeyBinding good{
      .host_id = Appraise().claims.host_id,
      .key_spki = statement.key_spki,
      .evidence_hash = Hash(HashAlgorithm::kSha256, evidence)};
  const auto code = [&](const LedgerKeyBinding& binding) {
    const auto appraisal = VerifyBoundLedgerKey(
        evidence, binding, anchors, demands, "ledger.example/a", now);
    EXPECT_TRUE(appraisal.ok());
    return appraisal.ok() && !appraisal->verdict.trusted()
               ? appraisal->verdict.reasons.at(0).element
               : "trusted";
  };
  EXPECT_EQ(code(good), "trusted");
  LedgerKeyBinding other = good;
  other.evidence_hash[0] ^= 1;
  EXPECT_EQ(code(other), "entry.key_evidence_hash");
  other = good;
  other.host_id = "another";
  EXPECT_EQ(code(other), "entry.host_id");
  other = good;
  other.key_spki = *EncodeSpki(EcPrivateKey::Generate().public_key());
  EXPECT_EQ(code(other), "entry.key_spki");
}

TEST_F(S33_LedgerKeyTest, AStatementOfItIsNoConfiguration) {
  const auto appraisal =
      Verify(wire::EncodeEvidence(
                 builder.Seal(std::string(evidence::kLedgerKeyPayloadType),
                              wire::EncodeLedgerKeyStatement(statement))),
             anchors, demands, now);
  ASSERT_TRUE(appraisal.ok());
  EXPECT_EQ(appraisal->verdict.reasons.at(0).code,
            reason::kPayloadTypeUnexpected);
}

}  // namespace
}  // namespace vmattest::verifier
