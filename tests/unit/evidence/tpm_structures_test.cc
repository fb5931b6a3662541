#include "evidence/tpm_structures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "support/matchers.h"
#include "support/soft_tpm.h"

namespace vmattest::evidence {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Attest SampleQuote() {
  Attest attest;
  attest.magic = kTpmGenerated;
  attest.type = kTpmStAttestQuote;
  attest.qualified_signer = Bytes(34, 1);
  attest.extra_data = Bytes(32, 2);
  attest.clock = {.clock_ms = 0x0102030405060708,
                  .reset_count = 9,
                  .restart_count = 10,
                  .safe = true};
  attest.firmware_version = 11;
  attest.pcr_selections = {{.bank = 0x000B, .indexes = {0, 7, 8, 23}}};
  attest.pcr_digest = Bytes(32, 3);
  return attest;
}

Attest SampleCertify() {
  Attest attest = SampleQuote();
  attest.type = kTpmStAttestCertify;
  attest.certified_name = Bytes(34, 4);
  attest.certified_qualified_name = Bytes(34, 5);
  return attest;
}

TEST(Attest, ReadsEveryFieldOfAQuote) {
  const Attest sample = SampleQuote();
  ASSERT_OK_AND_ASSIGN(const Attest parsed,
                       ParseAttest(testing::EncodeAttest(sample)));
  EXPECT_EQ(parsed.magic, kTpmGenerated);
  EXPECT_EQ(parsed.type, kTpmStAttestQuote);
  EXPECT_EQ(parsed.qualified_signer, sample.qualified_signer);
  EXPECT_EQ(parsed.extra_data, sample.extra_data);
  EXPECT_EQ(parsed.clock, sample.clock);
  EXPECT_EQ(parsed.firmware_version, 11u);
  ASSERT_EQ(parsed.pcr_selections.size(), 1u);
  EXPECT_EQ(parsed.pcr_selections[0].bank, 0x000B);
  EXPECT_THAT(parsed.pcr_selections[0].indexes, ElementsAre(0, 7, 8, 23));
  EXPECT_EQ(parsed.pcr_digest, sample.pcr_digest);
}

TEST(Attest, ReadsTheNamesOfACertification) {
  ASSERT_OK_AND_ASSIGN(const Attest parsed,
                       ParseAttest(testing::EncodeAttest(SampleCertify())));
  EXPECT_EQ(parsed.type, kTpmStAttestCertify);
  EXPECT_EQ(parsed.certified_name, Bytes(34, 4));
  EXPECT_EQ(parsed.certified_qualified_name, Bytes(34, 5));
  EXPECT_TRUE(parsed.pcr_selections.empty());
}

TEST(Attest, ReturnsAForeignMagicAsFound) {
  Attest sample = SampleQuote();
  sample.magic = 0x12345678;
  EXPECT_EQ(ParseAttest(testing::EncodeAttest(sample))->magic, 0x12345678u);
}

TEST(Attest, RefusesEveryTruncationAndTrailingBytes) {
  for (const Attest& sample : {SampleQuote(), SampleCertify()}) {
    Bytes bytes = testing::EncodeAttest(sample);
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_THAT(ParseAttest(ByteView(bytes).first(size)), StatusIs(kInvalid))
          << size;
    }
    bytes.push_back(0);
    EXPECT_THAT(ParseAttest(bytes), StatusIs(kInvalid, HasSubstr("trailing")));
  }
}

TEST(Attest, RefusesOtherTypes) {
  Attest sample = SampleQuote();
  sample.type = 0x8016;  // TPM_ST_ATTEST_SESSION_AUDIT
  EXPECT_THAT(ParseAttest(testing::EncodeAttest(sample)),
              StatusIs(kInvalid, HasSubstr("0x8016")));
}

TEST(Attest, RefusesSafeFlagThatIsNeitherYesNorNo) {
  const Attest sample = SampleQuote();
  Bytes bytes = testing::EncodeAttest(sample);
  const size_t safe = 4 + 2 + 2 + 34 + 2 + 32 + 8 + 4 + 4;
  ASSERT_EQ(bytes[safe], 1);
  bytes[safe] = 2;
  EXPECT_THAT(ParseAttest(bytes), StatusIs(kInvalid, HasSubstr("safe")));
}

TEST(Attest, RefusesCountsThatWouldCostMemory) {
  Bytes bytes = testing::EncodeAttest(SampleQuote());
  const size_t count = bytes.size() - 34 - 6 - 4;
  ASSERT_EQ(bytes[count + 3], 1);
  bytes[count] = 0xFF;
  EXPECT_THAT(ParseAttest(bytes), StatusIs(kInvalid, HasSubstr("banks")));
  bytes[count] = 0;
  bytes[count + 6] = 5;  // sizeofSelect
  EXPECT_THAT(ParseAttest(bytes), StatusIs(kInvalid, HasSubstr("bitmap")));
}

TEST(EcdsaSignature, ReadsHashRAndS) {
  const EcdsaSignature sample = {
      .hash = 0x000B, .r = Bytes(32, 1), .s = Bytes(31, 2)};
  ASSERT_OK_AND_ASSIGN(
      const EcdsaSignature parsed,
      ParseEcdsaSignature(testing::EncodeEcdsaSignature(sample)));
  EXPECT_EQ(parsed.hash, 0x000B);
  EXPECT_EQ(parsed.r, sample.r);
  EXPECT_EQ(parsed.s, sample.s);
}

TEST(EcdsaSignature, RefusesOtherSchemesTruncationAndTrailingBytes) {
  Bytes bytes = testing::EncodeEcdsaSignature(
      {.hash = 0x000B, .r = Bytes(32, 1), .s = Bytes(32, 2)});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ParseEcdsaSignature(ByteView(bytes).first(size)),
                StatusIs(kInvalid));
  }
  bytes.push_back(0);
  EXPECT_THAT(ParseEcdsaSignature(bytes), StatusIs(kInvalid));
  bytes.pop_back();
  bytes[1] = 0x14;
  EXPECT_THAT(ParseEcdsaSignature(bytes),
              StatusIs(kInvalid, HasSubstr("not ECDSA")));
}

EccPublicArea SampleArea() {
  return {.name_algorithm = 0x000B,
          .attributes = testing::kSigningKeyAttributes,
          .auth_policy = Bytes(32, 9),
          .scheme = 0x0018,
          .scheme_hash = 0x000B,
          .key = {EcCurve::kP256, Bytes(32, 1), Bytes(32, 2)},
          .name = {}};
}

TEST(EccPublic, ReadsEveryField) {
  const Bytes bytes = testing::EncodeEccPublic(SampleArea());
  ASSERT_OK_AND_ASSIGN(const EccPublicArea parsed, ParseEccPublic(bytes));
  EXPECT_EQ(parsed.name_algorithm, 0x000B);
  EXPECT_EQ(parsed.attributes, testing::kSigningKeyAttributes);
  EXPECT_EQ(parsed.auth_policy, Bytes(32, 9));
  EXPECT_EQ(parsed.scheme, 0x0018);
  EXPECT_EQ(parsed.scheme_hash, 0x000B);
  EXPECT_EQ(parsed.key.curve, EcCurve::kP256);
  EXPECT_EQ(parsed.key.x, Bytes(32, 1));
  EXPECT_EQ(parsed.key.y, Bytes(32, 2));
  ByteWriter name;
  name.U16(0x000B).Raw(
      Hash(HashAlgorithm::kSha256, ByteView(bytes).subspan(2)));
  EXPECT_EQ(parsed.name, name.bytes());
}

TEST(EccPublic, ReadsStorageKeysAndP384) {
  EccPublicArea area = SampleArea();
  area.attributes = testing::kEkAttributes;
  area.scheme = testing::kTpmAlgNull;
  area.key = {EcCurve::kP384, Bytes(48, 1), Bytes(48, 2)};
  ASSERT_OK_AND_ASSIGN(const EccPublicArea parsed,
                       ParseEccPublic(testing::EncodeEccPublic(area)));
  EXPECT_EQ(parsed.key.curve, EcCurve::kP384);
  EXPECT_EQ(parsed.scheme, testing::kTpmAlgNull);
}

TEST(EccPublic, RefusesEveryTruncationAndTrailingBytes) {
  Bytes bytes = testing::EncodeEccPublic(SampleArea());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ParseEccPublic(ByteView(bytes).first(size)),
                StatusIs(kInvalid));
  }
  bytes.push_back(0);
  EXPECT_THAT(ParseEccPublic(bytes), StatusIs(kInvalid));
  ++bytes[1];  // the size says so, the area does not
  EXPECT_THAT(ParseEccPublic(bytes), StatusIs(kInvalid, HasSubstr("trailing")));
}

TEST(EccPublic, RefusesOtherTypesCurvesAndNameAlgorithms) {
  const Bytes sample = testing::EncodeEccPublic(SampleArea());
  Bytes rsa = sample;
  rsa[3] = 0x01;
  EXPECT_THAT(ParseEccPublic(rsa), StatusIs(kInvalid, HasSubstr("not ECC")));
  Bytes sha1 = sample;
  sha1[5] = 0x04;
  EXPECT_THAT(ParseEccPublic(sha1),
              StatusIs(kInvalid, HasSubstr("name algorithm")));
  Bytes curve = sample;
  curve[2 + 2 + 2 + 4 + 2 + 32 + 2 + 4 + 1] = 0x10;
  EXPECT_THAT(ParseEccPublic(curve), StatusIs(kInvalid, HasSubstr("curve")));
}

TEST(Names, PrimaryQualifiedNameIsHashOfHierarchyAndName) {
  const Bytes name = testing::SoftKey().name();
  ByteWriter content;
  content.U32(kTpmRhEndorsement).Raw(name);
  ByteWriter expected;
  expected.U16(0x000B).Raw(Hash(HashAlgorithm::kSha256, content.bytes()));
  EXPECT_EQ(PrimaryQualifiedName(kTpmRhEndorsement, name).value(),
            expected.bytes());
  EXPECT_THAT(PrimaryQualifiedName(kTpmRhEndorsement, Bytes(1, 0)),
              StatusIs(kInvalid));
  EXPECT_THAT(PrimaryQualifiedName(kTpmRhEndorsement, Bytes(34, 0xFF)),
              StatusIs(kInvalid));
}

TEST(PcrDigest, TakesValuesBySelectionThenByIndex) {
  const PcrValues sha256 = {.bank = 0x000B,
                            .values = {{1, Bytes(32, 1)}, {7, Bytes(32, 7)}}};
  const PcrValues sha384 = {.bank = 0x000C, .values = {{0, Bytes(48, 9)}}};
  ByteWriter content;
  content.Raw(Bytes(48, 9)).Raw(Bytes(32, 1)).Raw(Bytes(32, 7));
  EXPECT_EQ(PcrDigest(0x000B,
                      {{.bank = 0x000C, .indexes = {0}},
                       {.bank = 0x000B, .indexes = {1, 7}}},
                      {sha256, sha384})
                .value(),
            Hash(HashAlgorithm::kSha256, content.bytes()));
}

TEST(PcrDigest, NamesTheValueThatIsMissing) {
  EXPECT_THAT(
      PcrDigest(0x000B, {{.bank = 0x000B, .indexes = {3}}}, {}),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("PCR 3")));
  EXPECT_THAT(PcrDigest(0x0004, {}, {}), StatusIs(kInvalid));
}

TEST(KeyAttributes, S9_RestrictedSigningKeysOnly) {
  EXPECT_TRUE(IsRestrictedSigningKey(testing::kSigningKeyAttributes));
  EXPECT_FALSE(IsRestrictedSigningKey(testing::kEkAttributes));
  for (const uint32_t bit : {1u, 4u, 5u, 16u, 18u}) {
    EXPECT_FALSE(
        IsRestrictedSigningKey(testing::kSigningKeyAttributes & ~(1u << bit)))
        << bit;
  }
  EXPECT_FALSE(
      IsRestrictedSigningKey(testing::kSigningKeyAttributes | (1u << 17)));
}

}  // namespace
}  // namespace vmattest::evidence
