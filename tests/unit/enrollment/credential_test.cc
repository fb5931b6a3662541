#include "enrollment/credential.h"

#include "crypto/digest.h"
#include "enrollment/ek_public.h"
#include "enrollment/tpm_kdf.h"
#include "evidence/tpm_structures.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/soft_tpm.h"

namespace vmattest::enrollment {
namespace {

using testing::EncodeEccPublic;
using testing::IsOk;
using testing::kEkAttributes;
using testing::SoftKey;
using testing::StatusIs;

SecretBytes Secret(size_t size = 32) { return SecretBytes(Bytes(size, 0x42)); }
Bytes Revealed(const SecretBytes& secret) {
  return ToBytes(secret.Reveal(SecretAccess()));
}

TEST(TpmKdf, KdfaIsTheLibrarysFormula) {
  const SecretBytes key(Bytes(32, 0x11));
  const Bytes context(34, 0x22);
  // Two blocks, the second one cut.
  Bytes expected;
  for (uint32_t i = 1; i <= 2; ++i) {
    ByteWriter block;
    block.U32(i).Raw("STORAGE").U8(0).Raw(context).U32(48 * 8);
    const Bytes part = HmacSha256(key, block.bytes());
    expected.insert(expected.end(), part.begin(), part.end());
  }
  expected.resize(48);
  EXPECT_EQ(Revealed(Kdfa(HashAlgorithm::kSha256, key, "STORAGE", context, 48)),
            expected);
}

TEST(TpmKdf, KdfeIsTheLibrarysFormula) {
  const SecretBytes z(Bytes(48, 0x33));
  const Bytes u(48, 0x44);
  const Bytes v(48, 0x55);
  ByteWriter block;
  block.U32(1).Raw(Bytes(48, 0x33)).Raw("IDENTITY").U8(0).Raw(u).Raw(v);
  EXPECT_EQ(Revealed(Kdfe(HashAlgorithm::kSha384, z, "IDENTITY", u, v, 48)),
            Hash(HashAlgorithm::kSha384, block.bytes()));
}

class CredentialTest : public ::testing::Test {
 protected:
  absl::StatusOr<Credential> Make() const {
    return MakeCredential(ek_.public_area(), ak_.name(), Secret());
  }
  // The EK's public area with other attributes, and so on.
  evidence::EccPublicArea Area() const {
    return evidence::ParseEccPublic(ek_.public_area()).value();
  }
  absl::Status Try(const evidence::EccPublicArea& area) const {
    return MakeCredential(EncodeEccPublic(area), ak_.name(), Secret()).status();
  }

  const SoftKey ek_{kEkAttributes};
  const SoftKey ak_;
};

TEST_F(CredentialTest, OpensWithItsEkAndItsObject) {
  ASSERT_OK_AND_ASSIGN(const Credential made, Make());
  ASSERT_OK_AND_ASSIGN(
      const SecretBytes opened,
      ek_.Activate(ak_.name(), made.credential_blob, made.encrypted_secret));
  EXPECT_EQ(Revealed(opened), Revealed(Secret()));
}

TEST_F(CredentialTest, OpensWithNothingElse) {
  ASSERT_OK_AND_ASSIGN(const Credential made, Make());
  EXPECT_THAT(ek_.Activate(SoftKey().name(), made.credential_blob,
                           made.encrypted_secret),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(
      SoftKey(kEkAttributes)
          .Activate(ak_.name(), made.credential_blob, made.encrypted_secret),
      StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(CredentialTest, IsAnotherOneEachTime) {
  ASSERT_OK_AND_ASSIGN(const Credential one, Make());
  ASSERT_OK_AND_ASSIGN(const Credential two, Make());
  EXPECT_NE(one.encrypted_secret, two.encrypted_secret);
  EXPECT_NE(one.credential_blob, two.credential_blob);
}

TEST_F(CredentialTest, RefusesSecretsAndNamesOfOtherSizes) {
  const Bytes& ek = ek_.public_area();
  for (const size_t size : {size_t{0}, size_t{15}, size_t{33}}) {
    EXPECT_THAT(MakeCredential(ek, ak_.name(), Secret(size)),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(MakeCredential(ek, ak_.name(), Secret(16)), IsOk());
  Bytes name = ak_.name();
  name.pop_back();
  EXPECT_THAT(MakeCredential(ek, name, Secret()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(MakeCredential(ek, {}, Secret()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(CredentialTest, RefusesKeysThatAreNoEk) {
  EXPECT_THAT(MakeCredential(ak_.public_area(), ak_.name(), Secret()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Try(Area()), IsOk());
  // fixedTPM, fixedParent, sensitiveDataOrigin, restricted, decrypt.
  for (const uint32_t bit : {1u, 4u, 5u, 16u}) {
    evidence::EccPublicArea area = Area();
    area.attributes &= ~(1u << bit);
    EXPECT_THAT(Try(area), StatusIs(absl::StatusCode::kInvalidArgument)) << bit;
  }
  evidence::EccPublicArea signs = Area();
  signs.attributes |= 1u << 18;
  EXPECT_THAT(Try(signs), StatusIs(absl::StatusCode::kInvalidArgument));
  evidence::EccPublicArea off_curve = Area();
  off_curve.key.x[5] ^= 1;
  EXPECT_THAT(Try(off_curve), StatusIs(absl::StatusCode::kInvalidArgument));
  evidence::EccPublicArea scheme = Area();
  scheme.scheme = testing::kTpmAlgEcdsa;
  EXPECT_THAT(Try(scheme), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(CredentialTest, RefusesEveryTruncationOfAnEk) {
  const Bytes& ek = ek_.public_area();
  for (size_t size = 0; size < ek.size(); ++size) {
    Bytes cut(ek.begin(), ek.begin() + static_cast<ptrdiff_t>(size));
    if (size >= 2) {
      cut[0] = 0;
      cut[1] = static_cast<uint8_t>(size - 2);
    }
    EXPECT_THAT(MakeCredential(cut, ak_.name(), Secret()),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << size;
  }
}

TEST_F(CredentialTest, EkUnderOtherAttributesIsTheSameKeyAndNoTemplate) {
  evidence::EccPublicArea area = Area();
  area.auth_policy = Bytes(32, 1);
  ASSERT_OK_AND_ASSIGN(const EkPublic real, ParseEkPublic(ek_.public_area()));
  ASSERT_OK_AND_ASSIGN(const EkPublic other,
                       ParseEkPublic(EncodeEccPublic(area)));
  EXPECT_EQ(EkTemplateOf(real), "L-2");
  EXPECT_EQ(EkTemplateOf(other), "");
  ASSERT_OK_AND_ASSIGN(const Bytes one, EkFingerprint(ek_.public_area()));
  ASSERT_OK_AND_ASSIGN(const Bytes two, EkFingerprint(EncodeEccPublic(area)));
  EXPECT_EQ(one, two);
}

// docs/formats/enrollment.md has the same example.
TEST(EnrollmentProofTest, IsTheDocumentedOne) {
  const SecretBytes secret(
      *ParseHex("000102030405060708090a0b0c0d0e0f"
                "101112131415161718191a1b1c1d1e1f"));
  EXPECT_EQ(ToHex(EnrollmentProof(secret, AsBytes("identity"))),
            "82e3fb1cc96a31b81740756abc389bed0613c0fb558e48e3f84b81ce7458d8e2");
}

TEST(EnrollmentProofTest, DependsOnSecretAndIdentity) {
  const Bytes proof = EnrollmentProof(Secret(), AsBytes("identity"));
  EXPECT_NE(proof, EnrollmentProof(Secret(), AsBytes("identitz")));
  EXPECT_NE(proof, EnrollmentProof(Secret(31), AsBytes("identity")));
}

}  // namespace
}  // namespace vmattest::enrollment
