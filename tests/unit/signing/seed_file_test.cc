#include "signing/seed_file.h"

#include "crypto/ml_dsa.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::signing {
namespace {

using testing::IsOk;
using testing::StatusIs;

tpm::SealedSeed Seed() {
  tpm::SealedSeed seed;
  seed.key = {.algorithm = "ml-dsa-65",
              .purpose = KeyPurpose::kLedger,
              .epoch = 3,
              .public_key = Bytes(MlDsaPublicKeySize(MlDsaLevel::k65), 1),
              .sealed_public = Bytes(80, 2),
              .creation_data = Bytes(120, 3),
              .certify_info = Bytes(130, 4),
              .signature = Bytes(72, 5)};
  seed.private_area = Bytes(160, 6);
  return seed;
}

TEST(SeedFile, ComesBackAsItWas) {
  const Bytes bytes = EncodeSeedFile(Seed());
  ASSERT_OK_AND_ASSIGN(const tpm::SealedSeed seed, ParseSeedFile(bytes));
  EXPECT_EQ(seed.key.purpose, KeyPurpose::kLedger);
  EXPECT_EQ(seed.key.epoch, 3U);
  EXPECT_EQ(seed.private_area, Bytes(160, 6));
  EXPECT_EQ(EncodeSeedFile(seed), bytes);
}

TEST(SeedFile, DestroyedSeedKeepsItsPublicKey) {
  tpm::SealedSeed seed = Seed();
  seed.private_area.clear();
  EXPECT_THAT(ParseSeedFile(EncodeSeedFile(seed)), IsOk());
}

TEST(SeedFile, RefusesEveryTruncationAndATail) {
  Bytes bytes = EncodeSeedFile(Seed());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THAT(ParseSeedFile(ByteView(bytes).first(size)),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  bytes.push_back(0);
  EXPECT_THAT(ParseSeedFile(bytes),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SeedFile, RefusesAnotherVersion) {
  Bytes bytes = EncodeSeedFile(Seed());
  bytes[22] = '2';
  EXPECT_THAT(ParseSeedFile(bytes),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SeedFile, RefusesAPublicKeyOfAnotherAlgorithm) {
  tpm::SealedSeed seed = Seed();
  seed.key.algorithm = "ml-dsa-87";
  EXPECT_THAT(ParseSeedFile(EncodeSeedFile(seed)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  seed.key.algorithm = "ml-dsa-44";
  EXPECT_THAT(ParseSeedFile(EncodeSeedFile(seed)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SeedFile, RefusesUnknownPurposeEpochZeroAndLargeParts) {
  tpm::SealedSeed seed = Seed();
  seed.key.purpose = static_cast<KeyPurpose>(7);
  EXPECT_THAT(ParseSeedFile(EncodeSeedFile(seed)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  seed = Seed();
  seed.key.epoch = 0;
  EXPECT_THAT(ParseSeedFile(EncodeSeedFile(seed)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  seed = Seed();
  seed.private_area.assign(4097, 0);
  EXPECT_THAT(ParseSeedFile(EncodeSeedFile(seed)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::signing
