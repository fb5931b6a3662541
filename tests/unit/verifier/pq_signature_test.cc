#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/ml_dsa.h"
#include "pq_fixture.h"
#include "support/matchers.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

MlDsaKey MakeKey(MlDsaLevel level) {
  return MlDsaKey::FromSeed(level, GenerateMlDsaSeed()).value();
}

// Evidence with both signatures, by keys that are pinned.
class PqSignatureTest : public PqFixture {
 protected:
  PqSignatureTest() {
    Pin(key.level(), KeyPurpose::kConfig, 1, key.public_key());
    builder.ml_dsa = &key;
  }

  static evidence::RawSignature& MlDsaOf(evidence::Evidence& evidence) {
    return std::get<evidence::RawSignature>(
        evidence.envelope.signatures.at(1).body);
  }

  const MlDsaKey key = MakeKey(MlDsaLevel::k65);
};

TEST_F(PqSignatureTest, VerifiesBothSignatures) {
  const Appraisal appraisal = Appraise(builder.Build());
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
  EXPECT_THAT(appraisal.claims.signatures,
              ElementsAre(SignatureClaim{"tpm2-quote", "verified"},
                          SignatureClaim{"ml-dsa-65", "verified"}));
}

TEST_F(PqSignatureTest, VerifiesMlDsa87) {
  const MlDsaKey larger = MakeKey(MlDsaLevel::k87);
  Pin(larger.level(), KeyPurpose::kConfig, 1, larger.public_key());
  builder.ml_dsa = &larger;
  policy.required_signatures = {"ml-dsa-87"};
  EXPECT_TRUE(Appraise(builder.Build()).verdict.trusted());
}

TEST_F(PqSignatureTest, MeetsAPolicyThatRequiresIt) {
  policy.required_signatures = {"tpm2-quote", "ml-dsa-65"};
  EXPECT_TRUE(Appraise(builder.Build()).verdict.trusted());
  policy.required_signatures.emplace_back("ml-dsa-87");
  ExpectReason(builder.Build(), reason::kSignatureRequired);
}

TEST_F(PqSignatureTest, RejectsAStrippedSignature) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.pop_back();
  ExpectReason(evidence, reason::kSignatureMissing);
}

// The statement does not list what was stripped: only a policy sees that.
TEST_F(PqSignatureTest, RejectsEvidenceThatNeverHadIt) {
  builder.ml_dsa = nullptr;
  EXPECT_TRUE(Appraise(builder.Build()).verdict.trusted());
  policy.required_signatures = {"ml-dsa-65"};
  ExpectReason(builder.Build(), reason::kSignatureRequired);
}

TEST_F(PqSignatureTest, RejectsSignaturesSwappedBetweenEnvelopes) {
  evidence::Evidence one = builder.Build();
  builder.header.sequence = 2;
  evidence::Evidence other = builder.Build();
  std::swap(MlDsaOf(one), MlDsaOf(other));
  ExpectReason(one, reason::kPqSignature);
  ExpectReason(other, reason::kPqSignature);
}

TEST_F(PqSignatureTest, RejectsADuplicate) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.push_back(evidence.envelope.signatures.back());
  ExpectReason(evidence, reason::kSignatureDuplicate);
}

TEST_F(PqSignatureTest, RejectsBothLevelsAtOnce) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.push_back(evidence.envelope.signatures.back());
  evidence.envelope.signatures.back().algorithm = "ml-dsa-87";
  ExpectReason(evidence, reason::kSignatureDuplicate);
  builder.header.signature_algorithms = {"tpm2-quote", "ml-dsa-87"};
  ExpectReason(builder.Build(), reason::kSignatureDuplicate);
}

// The statement lists ML-DSA-87, which is signed by the quote.
TEST_F(PqSignatureTest, RejectsADowngrade) {
  const MlDsaKey larger = MakeKey(MlDsaLevel::k87);
  Pin(larger.level(), KeyPurpose::kConfig, 1, larger.public_key());
  builder.ml_dsa = &larger;
  evidence::Evidence evidence = builder.Build();
  evidence::Signature& signature = evidence.envelope.signatures.back();
  signature.algorithm = "ml-dsa-65";
  signature.body = evidence::RawSignature{
      key.key_id(),
      key.Sign(evidence::PreAuthEncoding(evidence.envelope.payload_type,
                                         evidence.envelope.payload),
               evidence::kMlDsaContext)
          .value()};
  ExpectReason(evidence, reason::kSignatureMissing);
}

TEST_F(PqSignatureTest, RejectsAKeyOfTheOtherLevel) {
  const MlDsaKey larger = MakeKey(MlDsaLevel::k87);
  Pin(larger.level(), KeyPurpose::kConfig, 1, larger.public_key());
  evidence::Evidence evidence = builder.Build();
  MlDsaOf(evidence).key_id = larger.key_id();
  ExpectReason(evidence, reason::kPqKeyPurpose);
}

TEST_F(PqSignatureTest, S4_RejectsAKeyThatNobodyPinned) {
  const MlDsaKey other = MakeKey(MlDsaLevel::k65);
  builder.ml_dsa = &other;
  ExpectReason(builder.Build(), reason::kPqKeyUnknown);
}

TEST_F(PqSignatureTest, S4_RejectsAKeyThatIsPinnedForAnotherHost) {
  testing::FakeHostTpm other_tpm("host-2");
  const MlDsaKey other = MakeKey(MlDsaLevel::k65);
  PinAt(other_tpm, other.level(), KeyPurpose::kConfig, 1, other.public_key());
  builder.ml_dsa = &other;
  ExpectReason(builder.Build(), reason::kPqKeyUnknown);
}

TEST_F(PqSignatureTest, RejectsAnotherKeysSignatureUnderAPinnedKeysName) {
  const MlDsaKey other = MakeKey(MlDsaLevel::k65);
  builder.ml_dsa = &other;
  evidence::Evidence evidence = builder.Build();
  MlDsaOf(evidence).key_id = key.key_id();
  ExpectReason(evidence, reason::kPqSignature);
}

TEST_F(PqSignatureTest, S2_RejectsAKeyOfAnotherPurpose) {
  const MlDsaKey state = MakeKey(MlDsaLevel::k65);
  Pin(state.level(), KeyPurpose::kState, 1, state.public_key());
  builder.ml_dsa = &state;
  const Appraisal appraisal = Appraise(builder.Build());
  EXPECT_EQ(Codes(appraisal), reason::kPqKeyPurpose);
  EXPECT_THAT(appraisal.verdict.reasons.front().expected, HasSubstr("config"));
  EXPECT_THAT(appraisal.verdict.reasons.front().found, HasSubstr("state"));
}

TEST_F(PqSignatureTest, RejectsAKeyOfAnotherEpoch) {
  const MlDsaKey next = MakeKey(MlDsaLevel::k65);
  Pin(next.level(), KeyPurpose::kConfig, 2, next.public_key());
  builder.ml_dsa = &next;
  ExpectReason(builder.Build(), reason::kPqKeyPurpose);
}

TEST_F(PqSignatureTest, RejectsASignatureUnderAnotherContext) {
  evidence::Evidence evidence = builder.Build();
  const Bytes signed_bytes = evidence::PreAuthEncoding(
      evidence.envelope.payload_type, evidence.envelope.payload);
  for (const std::string_view context : {"", "vmattest/envelope/v2"}) {
    MlDsaOf(evidence).signature = key.Sign(signed_bytes, context).value();
    ExpectReason(evidence, reason::kPqSignature);
  }
  MlDsaOf(evidence).signature =
      key.Sign(signed_bytes, evidence::kMlDsaContext).value();
  EXPECT_TRUE(Appraise(evidence).verdict.trusted());
}

TEST_F(PqSignatureTest, RejectsASignatureOverTheBarePayload) {
  evidence::Evidence evidence = builder.Build();
  MlDsaOf(evidence).signature =
      key.Sign(evidence.envelope.payload, evidence::kMlDsaContext).value();
  ExpectReason(evidence, reason::kPqSignature);
}

TEST_F(PqSignatureTest, RejectsASignatureOfAnotherSize) {
  evidence::Evidence evidence = builder.Build();
  MlDsaOf(evidence).signature.push_back(0);
  ExpectReason(evidence, reason::kPqSignature);
  MlDsaOf(evidence).signature.clear();
  ExpectReason(evidence, reason::kPqSignature);
}

TEST_F(PqSignatureTest, RejectsFlippedBits) {
  evidence::Evidence evidence = builder.Build();
  Bytes& signature = MlDsaOf(evidence).signature;
  for (size_t bit = 0; bit < signature.size() * 8; bit += 397) {
    const auto mask = static_cast<uint8_t>(1u << (bit % 8));
    signature[bit / 8] ^= mask;
    ExpectReason(evidence, reason::kPqSignature);
    signature[bit / 8] ^= mask;
  }
  Bytes& key_id = MlDsaOf(evidence).key_id;
  key_id[7] ^= 1;
  ExpectReason(evidence, reason::kPqKeyUnknown);
}

TEST_F(PqSignatureTest, SaysWhichSignatureHeldWhereTheOtherDidNot) {
  evidence::Evidence evidence = builder.Build();
  MlDsaOf(evidence).signature[0] ^= 1;
  EXPECT_THAT(Appraise(evidence).claims.signatures,
              ElementsAre(SignatureClaim{"tpm2-quote", "verified"},
                          SignatureClaim{"ml-dsa-65", "unchecked"}));
}

// Anchors.

TEST_F(PqSignatureTest, S2_AnchorsRefuseOneKeyForTwoPurposes) {
  const auto added =
      AddKey(fake, key.level(), KeyPurpose::kState, 1, key.public_key());
  EXPECT_THAT(added, StatusIs(absl::StatusCode::kInvalidArgument,
                              HasSubstr("key-reused")));
}

TEST_F(PqSignatureTest, AnchorsRefuseKeysOfAnotherSizeOrAlgorithm) {
  evidence::HostIdentity identity = Identity(fake);
  identity.pq_keys = {
      SealedKey(fake, "ml-dsa-87", KeyPurpose::kConfig, 1, key.public_key())};
  EXPECT_THAT(
      anchors.Add(wire::HostIdentityToJson(identity)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1952 bytes")));
  identity.pq_keys = {
      SealedKey(fake, "ml-dsa-44", KeyPurpose::kConfig, 1, key.public_key())};
  EXPECT_THAT(anchors.Add(wire::HostIdentityToJson(identity)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::verifier
