#include "vmattest/verifier/verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/evidence_builder.h"
#include "support/matchers.h"
#include "verifier/reason_codes.h"
#include "verifier_fixture.h"
#include "wire/codec.h"

namespace vmattest::verifier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

class VerifierTest : public VerifierFixture {};

evidence::TpmQuoteSignature& QuoteOf(evidence::Evidence& evidence) {
  return std::get<evidence::TpmQuoteSignature>(
      evidence.envelope.signatures.front().body);
}

TEST_F(VerifierTest, TrustsSoundEvidence) {
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
  EXPECT_THAT(appraisal.verdict.reasons, IsEmpty());
}

TEST_F(VerifierTest, TrustsAnyPlaceInABatch) {
  for (const uint64_t size : {1, 2, 3, 5, 8, 13}) {
    builder.batch_size = size;
    for (builder.batch_index = 0; builder.batch_index < size;
         ++builder.batch_index) {
      EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted())
          << builder.batch_index << " of " << size;
    }
  }
}

TEST_F(VerifierTest, TrustsEveryHashAlgorithm) {
  for (const HashAlgorithm algorithm : kAllHashAlgorithms) {
    builder.algorithm = algorithm;
    EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted())
        << ToString(algorithm);
  }
}

TEST_F(VerifierTest, ClaimsSayWhatTheEvidenceSays) {
  builder.cached = {{"disk/vda/digest", 1'699'999'000'000}};
  policy.nonce = builder.header.nonce;
  const Claims claims = Appraise(builder.BuildFile()).claims;
  EXPECT_EQ(claims.host_id, host.host_id());
  EXPECT_EQ(claims.hostname, "host-1");
  EXPECT_EQ(claims.vm_uuid, builder.header.vm_uuid);
  EXPECT_EQ(claims.vm_name, "web-1");
  EXPECT_EQ(claims.vm_state, "running");
  EXPECT_EQ(claims.time_unix_ms, testing::EvidenceBuilder::kTimeUnixMs);
  EXPECT_EQ(claims.measured_at, builder.header.measured_at);
  EXPECT_EQ(claims.quoted_at, builder.quoted_at);
  EXPECT_EQ(claims.leaf_count, builder.leaves.size() + 1);
  EXPECT_THAT(claims.cached_paths, ElementsAre("disk/vda/digest"));
  EXPECT_THAT(claims.signatures,
              ElementsAre(SignatureClaim{"tpm2-quote", "verified"}));
  EXPECT_THAT(claims.pcr_banks, ElementsAre(builder.pcrs));
  EXPECT_EQ(claims.ak, "pinned");
  EXPECT_EQ(claims.freshness, "nonce");
}

TEST_F(VerifierTest, SaysThatFreshnessWasNotCheckedWithoutANonce) {
  EXPECT_EQ(Appraise(builder.BuildFile()).claims.freshness, "not-checked");
}

TEST_F(VerifierTest, CannotDecideWithoutAnchors) {
  EXPECT_THAT(Verify(builder.BuildFile(), Anchors(), policy, now),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(VerifierTest, ClaimsOfRejectedEvidenceAreNotCalledPinned) {
  evidence::Evidence evidence = builder.Build();
  evidence.leaves.back().value = "web-2";
  const Appraisal appraisal = Appraise(wire::EncodeEvidence(evidence));
  EXPECT_FALSE(appraisal.genuine);
  EXPECT_EQ(appraisal.claims.ak, "unknown");
  EXPECT_EQ(appraisal.claims.freshness, "not-checked");
}

TEST_F(VerifierTest, GenuineEvidenceOfAnotherConfigurationIsStillGenuine) {
  policy.expected_root = DigestBytes(32, 0);
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_FALSE(appraisal.verdict.trusted());
  EXPECT_TRUE(appraisal.genuine);
  EXPECT_EQ(appraisal.claims.ak, "pinned");
}

// Tampering, each with its own reason.

TEST_F(VerifierTest, RejectsTruncationAtEveryLength) {
  const Bytes file = builder.BuildFile();
  for (size_t size = 0; size < file.size(); ++size) {
    const Appraisal appraisal = Appraise(ByteView(file).first(size));
    ASSERT_FALSE(appraisal.verdict.trusted()) << size << " bytes";
  }
  ExpectReason(ByteView(file).first(file.size() / 2),
               reason::kEvidenceMalformed);
}

TEST_F(VerifierTest, RejectsEverySingleBitFlip) {
  Bytes file = builder.BuildFile();
  for (size_t bit = 0; bit < file.size() * 8; ++bit) {
    const auto mask = static_cast<uint8_t>(1u << (bit % 8));
    file[bit / 8] ^= mask;
    const Appraisal appraisal = Appraise(file);
    ASSERT_FALSE(appraisal.verdict.trusted())
        << "bit " << bit % 8 << " of byte " << bit / 8;
    ASSERT_FALSE(appraisal.verdict.reasons.empty());
    file[bit / 8] ^= mask;
  }
  EXPECT_TRUE(Appraise(file).verdict.trusted());
}

TEST_F(VerifierTest, RejectsTrailingBytes) {
  Bytes file = builder.BuildFile();
  file.push_back(0);
  ExpectReason(file, reason::kEvidenceMalformed);
}

TEST_F(VerifierTest, RejectsProofOfAnotherBatch) {
  builder.batch_size = 5;
  builder.batch_index = 2;
  evidence::Evidence evidence = builder.Build();
  builder.header.sequence = 2;
  evidence::Evidence other = builder.Build();
  QuoteOf(evidence).batch = QuoteOf(other).batch;
  EXPECT_TRUE(Appraise(wire::EncodeEvidence(evidence)).verdict.trusted())
      << "neighbours are the same, so is the path";
  QuoteOf(evidence).batch.path.front()[0] ^= 1;
  ExpectReason(evidence, reason::kBatchRoot);
}

TEST_F(VerifierTest, RejectsQuoteSplicedFromAnotherEnvelope) {
  evidence::Evidence evidence = builder.Build();
  builder.header.sequence = 2;
  evidence::Evidence other = builder.Build();
  evidence.envelope.signatures = other.envelope.signatures;
  ExpectReason(evidence, reason::kBatchRoot);
}

TEST_F(VerifierTest, RejectsAnotherBatchSizeOrIndex) {
  builder.batch_size = 6;
  builder.batch_index = 1;
  const evidence::Evidence sound = builder.Build();
  for (const uint64_t size : {5, 7, 8}) {
    evidence::Evidence evidence = sound;
    QuoteOf(evidence).batch.size = size;
    ExpectReason(evidence, reason::kBatchRoot);
  }
  evidence::Evidence evidence = sound;
  QuoteOf(evidence).batch.index = 2;
  ExpectReason(evidence, reason::kBatchRoot);
  QuoteOf(evidence).batch.index = 6;
  ExpectReason(evidence, reason::kBatchPathMalformed);
}

TEST_F(VerifierTest, RejectsPathOfWrongLength) {
  builder.batch_size = 6;
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).batch.path.pop_back();
  ExpectReason(evidence, reason::kBatchPathMalformed);
  QuoteOf(evidence).batch.path.resize(4, DigestBytes(32, 1));
  ExpectReason(evidence, reason::kBatchPathMalformed);
  QuoteOf(evidence).batch.path.resize(3);
  QuoteOf(evidence).batch.path.back().pop_back();
  ExpectReason(evidence, reason::kBatchPathMalformed);
}

TEST_F(VerifierTest, RejectsReplayForAnotherNonce) {
  policy.nonce = Bytes(32, 0x77);
  ExpectReason(builder.BuildFile(), reason::kNonceMismatch);
}

TEST_F(VerifierTest, RejectsMissingNonceWhereOneIsDemanded) {
  policy.nonce = builder.header.nonce;
  builder.header.nonce.clear();
  ExpectReason(builder.BuildFile(), reason::kNonceMismatch);
}

TEST_F(VerifierTest, RejectsChangedPayload) {
  evidence::Evidence evidence = builder.Build();
  auto statement = wire::ParseConfigStatement(evidence.envelope.payload);
  ASSERT_THAT(statement, IsOk());
  statement->vm_state = "shutoff";
  evidence.envelope.payload = wire::EncodeConfigStatement(*statement);
  ExpectReason(evidence, reason::kBatchRoot);
}

TEST_F(VerifierTest, RejectsUnknownPayloadType) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.payload_type = "application/vnd.vmattest.other";
  ExpectReason(evidence, reason::kPayloadTypeUnknown);
}

TEST_F(VerifierTest, RejectsPayloadThatIsNoStatement) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.payload = ToBytes("not a statement");
  ExpectReason(evidence, reason::kStatementMalformed);
}

TEST_F(VerifierTest, RejectsStatementOfAnotherVersion) {
  builder.header.version = 2;
  ExpectReason(builder.BuildFile(), reason::kStatementVersion);
}

TEST_F(VerifierTest, RejectsQuoteThatIsNoStructure) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).quoted.pop_back();
  ExpectReason(evidence, reason::kQuoteMalformed);
}

TEST_F(VerifierTest, RejectsSignatureThatIsNoStructure) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).signature[1] = 0x14;  // RSASSA
  ExpectReason(evidence, reason::kQuoteSignatureMalformed);
}

TEST_F(VerifierTest, RejectsChangedQuote) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).quoted.back() ^= 1;
  ExpectReason(evidence, reason::kQuoteSignature);
}

TEST_F(VerifierTest, RejectsSignatureWithAnotherHash) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).signature[3] = 0x0C;  // SHA-384
  ExpectReason(evidence, reason::kQuoteSignature);
}

// What the TPM says.

TEST_F(VerifierTest, RejectsQuoteWithAnotherMagic) {
  builder.edit_quote = [](evidence::Attest& a) { a.magic = 0x00544347; };
  ExpectReason(builder.BuildFile(), reason::kQuoteMagic);
}

TEST_F(VerifierTest, RejectsCertificationGivenAsQuote) {
  builder.edit_quote = [](evidence::Attest& a) {
    a.type = evidence::kTpmStAttestCertify;
  };
  ExpectReason(builder.BuildFile(), reason::kQuoteType);
}

TEST_F(VerifierTest, RejectsQuoteOfAnotherSigner) {
  builder.edit_quote = [this](evidence::Attest& a) {
    a.qualified_signer = host.ak.qualified_name();
  };
  ExpectReason(builder.BuildFile(), reason::kQuoteSigner);
}

TEST_F(VerifierTest, S9_RejectsEmptySelection) {
  builder.edit_quote = [](evidence::Attest& a) { a.pcr_selections.clear(); };
  ExpectReason(builder.BuildFile(), reason::kPcrSelectionEmpty);
  builder.edit_quote = [](evidence::Attest& a) {
    a.pcr_selections.front().indexes.clear();
  };
  ExpectReason(builder.BuildFile(), reason::kPcrSelectionEmpty);
}

TEST_F(VerifierTest, RejectsBankOfSha1) {
  builder.edit_quote = [](evidence::Attest& a) {
    a.pcr_selections.front().bank = 0x0004;
  };
  ExpectReason(builder.BuildFile(), reason::kPcrBank);
}

TEST_F(VerifierTest, RejectsTwoBanks) {
  builder.edit_quote = [](evidence::Attest& a) {
    a.pcr_selections.push_back({.bank = testing::kTpmAlgSha384, .indexes = {}});
  };
  ExpectReason(builder.BuildFile(), reason::kPcrBank);
}

TEST_F(VerifierTest, RejectsQuoteWithoutARequiredPcr) {
  builder.pcrs.values.erase(4);
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_EQ(Codes(appraisal), reason::kPcrRequired);
  EXPECT_EQ(appraisal.verdict.reasons.front().element, "PCR 4");
}

TEST_F(VerifierTest, RejectsMissingPcrValue) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).pcr_banks.front().values.erase(3);
  ExpectReason(evidence, reason::kPcrValueMissing);
  QuoteOf(evidence).pcr_banks.clear();
  ExpectReason(evidence, reason::kPcrValueMissing);
}

TEST_F(VerifierTest, RejectsPcrValueThatIsNotQuoted) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).pcr_banks.front().values[17] = DigestBytes(32, 1);
  ExpectReason(evidence, reason::kPcrValueUnselected);
}

TEST_F(VerifierTest, RejectsBankThatIsNotQuoted) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).pcr_banks.push_back(
      {.bank = testing::kTpmAlgSha384, .values = {}});
  ExpectReason(evidence, reason::kPcrValueUnselected);
}

TEST_F(VerifierTest, RejectsPcrValueOfAnotherSize) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).pcr_banks.front().values[2].push_back(0);
  ExpectReason(evidence, reason::kPcrValueSize);
}

TEST_F(VerifierTest, RejectsChangedPcrValue) {
  evidence::Evidence evidence = builder.Build();
  QuoteOf(evidence).pcr_banks.front().values[2][0] ^= 1;
  ExpectReason(evidence, reason::kPcrDigest);
}

TEST_F(VerifierTest, S9_RejectsUnmeasuredBank) {
  builder.pcrs.values[6].assign(32, 0);
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_EQ(Codes(appraisal), reason::kPcrUnmeasured);
  EXPECT_THAT(appraisal.verdict.reasons.front().element, HasSubstr("PCR 6"));
}

// Clocks.

TEST_F(VerifierTest, S6_RejectsMeasurementBeforeAReset) {
  builder.header.measured_at.reset_count = 6;
  ExpectReason(builder.BuildFile(), reason::kClockReset);
}

TEST_F(VerifierTest, S6_RejectsMeasurementBeforeARestart) {
  builder.quoted_at.restart_count = 1;
  ExpectReason(builder.BuildFile(), reason::kClockRestart);
}

TEST_F(VerifierTest, RejectsMeasurementAfterTheQuote) {
  builder.header.measured_at.clock_ms = 61'001;
  ExpectReason(builder.BuildFile(), reason::kClockBackwards);
}

TEST_F(VerifierTest, S8_RejectsOldMeasurementUnderFreshSignature) {
  builder.quoted_at.clock_ms = 60'000 + 30 * 60'000;
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  ++builder.quoted_at.clock_ms;
  ExpectReason(builder.BuildFile(), reason::kMeasurementTooOld);
}

TEST_F(VerifierTest, RecordsAnUnsafeClockWithoutRefusingIt) {
  builder.quoted_at.safe = false;
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_TRUE(appraisal.verdict.trusted());
  EXPECT_FALSE(appraisal.claims.quoted_at.safe);
}

TEST_F(VerifierTest, RejectsStatementFromTheFuture) {
  builder.header.time_unix_ms += 120'001;
  ExpectReason(builder.BuildFile(), reason::kTimeInFuture);
  builder.header.time_unix_ms = std::numeric_limits<int64_t>::max();
  ExpectReason(builder.BuildFile(), reason::kTimeInFuture);
}

TEST_F(VerifierTest, RejectsStatementOlderThanAllowed) {
  policy.max_age = std::chrono::seconds(60);
  builder.header.time_unix_ms -= 60'000;
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  --builder.header.time_unix_ms;
  ExpectReason(builder.BuildFile(), reason::kTimeTooOld);
  builder.header.time_unix_ms = std::numeric_limits<int64_t>::min();
  ExpectReason(builder.BuildFile(), reason::kTimeTooOld);
}

// The statement's own checks.

TEST_F(VerifierTest, RejectsNonceOfWrongSize) {
  builder.header.nonce = Bytes(15, 1);
  ExpectReason(builder.BuildFile(), reason::kStatementField);
  builder.header.nonce = Bytes(65, 1);
  ExpectReason(builder.BuildFile(), reason::kStatementField);
}

TEST_F(VerifierTest, RejectsInvalidFields) {
  builder.edit_statement = [](evidence::ConfigStatement& s) {
    s.content = "some";
  };
  ExpectReason(builder.BuildFile(), reason::kStatementField);
  builder.edit_statement = [](evidence::ConfigStatement& s) {
    s.xml_kind = "";
  };
  ExpectReason(builder.BuildFile(), reason::kStatementField);
  builder.edit_statement = [](evidence::ConfigStatement& s) {
    s.header.vm_uuid = "6695EB01-F6A4-8304-79AA-97F2502E193F";
  };
  ExpectReason(builder.BuildFile(), reason::kStatementField);
}

TEST_F(VerifierTest, RejectsUnknownSchema) {
  builder.edit_statement = [](evidence::ConfigStatement& s) {
    s.schema_version = 2;
  };
  ExpectReason(builder.BuildFile(), reason::kSchemaUnsupported);
}

TEST_F(VerifierTest, RejectsEditedLeaf) {
  evidence::Evidence evidence = builder.Build();
  evidence.leaves.back().value = "web-2";
  ExpectReason(evidence, reason::kLeavesRoot);
}

TEST_F(VerifierTest, RejectsLeafOfAnotherType) {
  evidence::Evidence evidence = builder.Build();
  evidence.leaves.back().type = LeafType::kElement;
  ExpectReason(evidence, reason::kLeavesRoot);
}

TEST_F(VerifierTest, RejectsReorderedLeaves) {
  evidence::Evidence evidence = builder.Build();
  std::swap(evidence.leaves[1], evidence.leaves[2]);
  ExpectReason(evidence, reason::kLeafOrder);
  std::swap(evidence.leaves[1], evidence.leaves[2]);
  std::swap(evidence.leaves[0], evidence.leaves[1]);
  ExpectReason(evidence, reason::kLeafOrder);
}

TEST_F(VerifierTest, RejectsDuplicatedLeaf) {
  evidence::Evidence evidence = builder.Build();
  evidence.leaves[2] = evidence.leaves[1];
  ExpectReason(evidence, reason::kLeafOrder);
}

TEST_F(VerifierTest, RejectsDroppedAndAddedLeaves) {
  evidence::Evidence evidence = builder.Build();
  evidence.leaves.push_back({"zzz", LeafType::kText, "more"});
  ExpectReason(evidence, reason::kLeafCount);
  evidence.leaves.resize(evidence.leaves.size() - 2);
  ExpectReason(evidence, reason::kLeafCount);
  evidence.leaves.clear();
  ExpectReason(evidence, reason::kLeafCount);
}

TEST_F(VerifierTest, S18_RejectsHeaderLeafThatContradictsTheTree) {
  evidence::Evidence evidence = builder.Build();
  evidence.leaves.front().value = "schema=1 algorithm=sha384 leaves=6";
  ExpectReason(evidence, reason::kLeavesMalformed);
}

TEST_F(VerifierTest, RejectsCachedPathThatIsNoLeaf) {
  builder.cached = {{"disk/vdz/digest", 1}};
  ExpectReason(builder.BuildFile(), reason::kCachedPath);
}

// The caller's policy.

TEST_F(VerifierTest, ComparesWithTheExpectedRoot) {
  const Appraisal sound = Appraise(builder.BuildFile());
  policy.expected_root = sound.claims.root;
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  builder.leaves.front().value = "4";
  ExpectReason(builder.BuildFile(), reason::kConfigRoot);
}

TEST_F(VerifierTest, NamesEveryLeafThatDiffers) {
  policy.expected_leaves = builder.leaves;
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  builder.leaves[0].value = "4";
  builder.leaves[3].path = "memory/min";
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_EQ(Codes(appraisal),
            "config-leaf-changed config-leaf-removed config-leaf-added");
  EXPECT_EQ(appraisal.verdict.reasons[0].element, "cpu/count");
  EXPECT_EQ(appraisal.verdict.reasons[0].expected, "integer 2");
  EXPECT_EQ(appraisal.verdict.reasons[0].found, "integer 4");
  EXPECT_EQ(appraisal.verdict.reasons[1].element, "memory/max");
  EXPECT_EQ(appraisal.verdict.reasons[2].element, "memory/min");
}

TEST_F(VerifierTest, RejectsAnotherVm) {
  policy.expected_vm_uuid = "00000000-0000-0000-0000-000000000001";
  ExpectReason(builder.BuildFile(), reason::kVmMismatch);
}

TEST_F(VerifierTest, RejectsCachedContentWhereFreshIsRequired) {
  policy.require_fresh_content = true;
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  builder.cached = {{"disk/vda/digest", 5}};
  const Appraisal appraisal = Appraise(builder.BuildFile());
  EXPECT_EQ(Codes(appraisal), reason::kContentCached);
  EXPECT_EQ(appraisal.verdict.reasons.front().element, "disk/vda/digest");
}

TEST_F(VerifierTest, RejectsPcrValueThatIsNotAllowed) {
  policy.allowed_pcr_values[0] = {Bytes(32, 1), builder.pcrs.values[0]};
  EXPECT_TRUE(Appraise(builder.BuildFile()).verdict.trusted());
  policy.allowed_pcr_values[1] = {Bytes(32, 1)};
  policy.allowed_pcr_values[9] = {Bytes(32, 1)};
  EXPECT_EQ(Codes(Appraise(builder.BuildFile())),
            "pcr-value-not-allowed pcr-value-not-allowed");
}

TEST_F(VerifierTest, GivesEveryReasonOfThePolicyButOfNoOtherKind) {
  policy.expected_vm_uuid = "00000000-0000-0000-0000-000000000001";
  policy.expected_root = DigestBytes(32, 9);
  EXPECT_EQ(Codes(Appraise(builder.BuildFile())),
            "vm-uuid-mismatch config-root-mismatch");
  policy.nonce = Bytes(32, 0x77);
  EXPECT_EQ(Codes(Appraise(builder.BuildFile())), reason::kNonceMismatch);
}

}  // namespace
}  // namespace vmattest::verifier
