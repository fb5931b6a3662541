#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evidence/seal_policy.h"
#include "support/matchers.h"
#include "support/sealed_seed_builder.h"
#include "support/soft_tpm.h"
#include "verifier/key_certification.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

// Post-quantum keys of an anchor: rule S3, field by field.

namespace vmattest::verifier {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::SealedSeedBuilder;
using testing::SoftHost;
using testing::SoftKey;
using testing::StatusIs;

class SealedSeed : public ::testing::Test {
 protected:
  SealedSeed() : identity(host.Identity()) {
    identity.seal_authority = authority.public_area();
  }

  absl::Status Add(std::vector<evidence::PqKey> keys) {
    identity.pq_keys = std::move(keys);
    return anchors.Add(wire::HostIdentityToJson(identity));
  }
  // Refused, with purpose and epoch named and `what` said.
  void ExpectRefused(const evidence::PqKey& key, const std::string& what) {
    EXPECT_THAT(Add({key}), StatusIs(absl::StatusCode::kInvalidArgument,
                                     AllOf(HasSubstr("key config epoch 1"),
                                           HasSubstr(what))));
    EXPECT_TRUE(anchors.host_ids().empty());
  }

  SoftHost host;
  SoftKey authority;
  evidence::HostIdentity identity;
  SealedSeedBuilder seed{host, authority.name()};
  Anchors anchors;
};

TEST_F(SealedSeed, IsKnownByKeyIdOnceItWasAdded) {
  ASSERT_THAT(Add({seed.Build()}), IsOk());
  const auto& keys = anchors.Find(host.host_id())->pq_keys;
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_EQ(keys.begin()->second.public_key, seed.public_key);
  EXPECT_EQ(keys.begin()->second.purpose, KeyPurpose::kConfig);
  EXPECT_EQ(keys.begin()->second.epoch, 1u);
  EXPECT_EQ(keys.begin()->second.algorithm, "ml-dsa-65");
  // The same file again adds nothing and is no contradiction.
  EXPECT_THAT(Add({seed.Build()}), IsOk());
  EXPECT_EQ(anchors.Find(host.host_id())->pq_keys.size(), 1u);
}

TEST_F(SealedSeed, S3_RefusesEachWrongAttribute) {
  struct Case {
    uint32_t attributes;
    const char* said;
  };
  for (const Case& wrong :
       {Case{0x490, "fixedTPM is clear"}, Case{0x482, "fixedParent is clear"},
        Case{0x4D2, "userWithAuth is set"},
        Case{0x412, "adminWithPolicy is clear"},
        Case{0x092, "attributes are 0x00000092"},
        Case{0x4B2, "attributes are 0x000004b2"}}) {
    seed.attributes = wrong.attributes;
    ExpectRefused(seed.Build(), wrong.said);
  }
}

TEST_F(SealedSeed, S3_RefusesAnotherPolicy) {
  seed.policy = Bytes(32, 0);
  ExpectRefused(seed.Build(), "the sealed object's policy is 0000");
}

TEST_F(SealedSeed, S3_RefusesAnotherAuthorityHostOrPurpose) {
  const SoftHost other_host("other");
  for (const Bytes& policy :
       {evidence::SealAuthPolicy(SoftKey().name(), host.host_id(),
                                 KeyPurpose::kConfig),
        evidence::SealAuthPolicy(authority.name(), other_host.host_id(),
                                 KeyPurpose::kConfig),
        evidence::SealAuthPolicy(authority.name(), host.host_id(),
                                 KeyPurpose::kState)}) {
    seed.policy = policy;
    ExpectRefused(seed.Build(), "the sealed object's policy is");
  }
}

TEST_F(SealedSeed, S3_RefusesWrongCreationPcrs) {
  seed.creation_pcrs = {};
  ExpectRefused(seed.Build(), "creation PCRs of 0 banks");
  seed.creation_pcrs = {{0x000B, {}}};
  ExpectRefused(seed.Build(), "boot PCR 0 is not sealed to");
  seed.creation_pcrs = {{0x000B, {0, 1, 2, 3, 4, 5, 6}}};
  ExpectRefused(seed.Build(), "boot PCR 7 is not sealed to");
  seed.creation_pcrs = {{0x000B, {0, 1, 2, 3, 4, 5, 6, 7, 10}}};
  ExpectRefused(seed.Build(), "PCR 10 must not");
  seed.creation_pcrs = {{0x0004, {0, 1, 2, 3, 4, 5, 6, 7}}};
  ExpectRefused(seed.Build(), "bank 0x0004");
}

TEST_F(SealedSeed, S3_RefusesSeedOfAnotherPublicKey) {
  seed.outside_info = evidence::SeedOutsideInfo(
      "ml-dsa-65", KeyPurpose::kConfig, 1, Bytes(1952, 0x01));
  ExpectRefused(seed.Build(), "created for another public key");
  // All of it is sound, but for the key that is shown.
  SealedSeedBuilder sound(host, authority.name());
  evidence::PqKey key = sound.Build();
  key.public_key[0] ^= 1;
  ExpectRefused(key, "created for another public key");
}

TEST_F(SealedSeed, S3_RefusesAnotherEpochOrPurposeThanWasCertified) {
  evidence::PqKey key = seed.Build();
  key.epoch = 2;
  EXPECT_THAT(Add({key}), StatusIs(absl::StatusCode::kInvalidArgument,
                                   HasSubstr("key config epoch 2")));
  key = seed.Build();
  key.purpose = KeyPurpose::kLedger;
  EXPECT_THAT(Add({key}), StatusIs(absl::StatusCode::kInvalidArgument,
                                   HasSubstr("key ledger epoch 1")));
}

TEST_F(SealedSeed, S3_RefusesCertifyInfoAboutSomethingElse) {
  seed.edit_attest = [](evidence::Attest& info) { info.magic = 0xFF; };
  ExpectRefused(seed.Build(), "not made by a TPM");
  seed.edit_attest = [](evidence::Attest& info) {
    info.type = evidence::kTpmStAttestCertify;
  };
  ExpectRefused(seed.Build(), "of type 0x8017");
  seed.edit_attest = [](evidence::Attest& info) { info.extra_data[3] ^= 1; };
  ExpectRefused(seed.Build(), "qualifying data");
  seed.edit_attest = [](evidence::Attest& info) { info.created_name[9] ^= 1; };
  ExpectRefused(seed.Build(), "the sealed object's name is");
  seed.edit_attest = [](evidence::Attest& info) { info.creation_hash[0] ^= 1; };
  ExpectRefused(seed.Build(), "other creation data");
  seed.edit_attest = [](evidence::Attest& info) {
    info.qualified_signer[5] ^= 1;
  };
  ExpectRefused(seed.Build(), "signer");
}

TEST_F(SealedSeed, S3_RefusesSignatureThatIsNotTheAks) {
  evidence::PqKey key = seed.Build();
  key.signature = SoftKey().Sign(key.certify_info);
  ExpectRefused(key, "not by the AK");
}

TEST_F(SealedSeed, S3_RefusesWhatIsNotSealedData) {
  seed.type = 0x0025;  // TPM_ALG_SYMCIPHER
  ExpectRefused(seed.Build(), "is not sealed data");
}

TEST_F(SealedSeed, RefusesEveryBitFlipOfWhatTheTpmMade) {
  const evidence::PqKey sound = seed.Build();
  for (Bytes evidence::PqKey::*field :
       {&evidence::PqKey::sealed_public, &evidence::PqKey::creation_data,
        &evidence::PqKey::certify_info, &evidence::PqKey::signature}) {
    for (size_t i = 0; i < (sound.*field).size(); ++i) {
      evidence::PqKey key = sound;
      (key.*field)[i] ^= static_cast<uint8_t>(1u << (i % 8));
      EXPECT_THAT(Add({key}), StatusIs(absl::StatusCode::kInvalidArgument))
          << "byte " << i;
    }
  }
  EXPECT_TRUE(anchors.host_ids().empty());
}

TEST_F(SealedSeed, RefusesKeysWithoutASealAuthority) {
  identity.seal_authority.clear();
  EXPECT_THAT(Add({seed.Build()}), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr("seal_authority")));
}

TEST_F(SealedSeed, RefusesAKeyThatIsListedTwice) {
  EXPECT_THAT(
      Add({seed.Build(), seed.Build()}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("listed twice")));
}

TEST_F(SealedSeed, S2_RefusesOneKeyUnderTwoPurposes) {
  SealedSeedBuilder other(host, authority.name());
  other.purpose = KeyPurpose::kLedger;
  EXPECT_THAT(Add({seed.Build(), other.Build()}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("pinned for config epoch 1 too")));
}

TEST_F(SealedSeed, RefusesTwoKeysForOnePurposeAndEpoch) {
  SealedSeedBuilder other(host, authority.name());
  other.public_key = Bytes(1952, 0x01);
  EXPECT_THAT(
      Add({seed.Build(), other.Build()}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("another key")));
}

}  // namespace
}  // namespace vmattest::verifier
