#include "support/matchers.h"
#include "verifier/reason_codes.h"
#include "verifier_fixture.h"

namespace vmattest::verifier {
namespace {

using testing::SoftHost;
using testing::SoftKey;

class KeyChainTest : public VerifierFixture {
 protected:
  // Evidence by a purpose key of another kind, soundly certified by the AK.
  evidence::Evidence WithKey(const SoftKey& key,
                             const evidence::Attest& certification) {
    evidence::Evidence evidence = builder.Build();
    evidence.keys = {host.CertifyWith(KeyPurpose::kConfig, key, certification)};
    auto& quote = std::get<evidence::TpmQuoteSignature>(
        evidence.envelope.signatures.front().body);
    auto attest = evidence::ParseAttest(quote.quoted).value();
    attest.qualified_signer = key.qualified_name();
    quote.quoted = testing::EncodeAttest(attest);
    quote.signature = key.Sign(quote.quoted);
    quote.key_name = key.name();
    return evidence;
  }
  evidence::Evidence WithKey(const SoftKey& key) {
    return WithKey(key, host.CertifyInfo(KeyPurpose::kConfig, key));
  }
};

TEST_F(KeyChainTest, TrustsANewKeyThatThePinnedAkCertified) {
  EXPECT_TRUE(
      Appraise(wire::EncodeEvidence(WithKey(SoftKey()))).verdict.trusted());
}

TEST_F(KeyChainTest, RejectsHostThatIsNotPinned) {
  const SoftHost stranger("stranger");
  testing::EvidenceBuilder other(stranger);
  ExpectReason(other.BuildFile(), reason::kHostUnknown);
}

TEST_F(KeyChainTest, RejectsKeyOfAnotherHostsAk) {
  const SoftHost stranger("stranger");
  testing::EvidenceBuilder other(stranger);
  other.header.host_id = host.host_id();
  ExpectReason(other.BuildFile(), reason::kCertificationSignature);
}

TEST_F(KeyChainTest, RejectsKeyOfAnotherHostsAkEvenIfBothArePinned) {
  const SoftHost neighbour("neighbour");
  ASSERT_THAT(anchors.Add(wire::HostIdentityToJson(neighbour.Identity())),
              testing::IsOk());
  testing::EvidenceBuilder other(neighbour);
  EXPECT_TRUE(Appraise(other.BuildFile()).verdict.trusted());
  other.header.host_id = host.host_id();
  ExpectReason(other.BuildFile(), reason::kCertificationSignature);
}

TEST_F(KeyChainTest, S2_RejectsKeyOfAnotherPurpose) {
  builder.key = KeyPurpose::kState;
  ExpectReason(builder.BuildFile(), reason::kKeyPurpose);
}

TEST_F(KeyChainTest, S2_RejectsKeyPinnedForAnotherPurpose) {
  ExpectReason(WithKey(host.purpose_keys.at(KeyPurpose::kState)),
               reason::kKeyReused);
}

TEST_F(KeyChainTest, S2_RejectsCertificationForAnotherPurpose) {
  const SoftKey key;
  ExpectReason(WithKey(key, host.CertifyInfo(KeyPurpose::kLedger, key)),
               reason::kCertificationPurpose);
}

TEST_F(KeyChainTest, RejectsAnotherEpochThanCertified) {
  evidence::Evidence evidence = builder.Build();
  evidence.keys.front().epoch = 2;
  ExpectReason(evidence, reason::kCertificationPurpose);
}

TEST_F(KeyChainTest, S2_RejectsTheAkAsPurposeKey) {
  ExpectReason(WithKey(host.ak), reason::kKeyReused);
}

TEST_F(KeyChainTest, S9_RejectsKeyThatSignsAnything) {
  for (const uint32_t attributes : {
           testing::kSigningKeyAttributes & ~(1u << 16),  // restricted
           testing::kSigningKeyAttributes & ~(1u << 18),  // sign
           testing::kSigningKeyAttributes & ~(1u << 1),   // fixedTPM
           testing::kSigningKeyAttributes & ~(1u << 4),   // fixedParent
           testing::kSigningKeyAttributes & ~(1u << 5)    // origin
       }) {
    ExpectReason(WithKey(SoftKey(attributes)), reason::kKeyAttributes);
  }
}

TEST_F(KeyChainTest, RejectsCertificationThatTheTpmDidNotMake) {
  builder.edit_certification = [](evidence::Attest& a) { a.magic ^= 1; };
  ExpectReason(builder.BuildFile(), reason::kCertificationMagic);
}

TEST_F(KeyChainTest, RejectsQuoteGivenAsCertification) {
  builder.edit_certification = [](evidence::Attest& a) {
    a.type = evidence::kTpmStAttestQuote;
  };
  ExpectReason(builder.BuildFile(), reason::kCertificationType);
}

TEST_F(KeyChainTest, RejectsCertificationByAnotherKeyOfTheHost) {
  builder.edit_certification = [this](evidence::Attest& a) {
    a.qualified_signer = host.ek.qualified_name();
  };
  ExpectReason(builder.BuildFile(), reason::kCertificationSigner);
}

TEST_F(KeyChainTest, RejectsCertificationOfAnotherName) {
  builder.edit_certification = [this](evidence::Attest& a) {
    a.certified_name = host.ak.name();
  };
  ExpectReason(builder.BuildFile(), reason::kCertificationName);
}

TEST_F(KeyChainTest, RejectsKeyOutsideTheEndorsementHierarchy) {
  constexpr uint32_t kOwner = 0x40000001;
  const SoftKey& key = host.purpose_keys.at(KeyPurpose::kConfig);
  builder.edit_certification = [&](evidence::Attest& a) {
    a.certified_qualified_name =
        evidence::PrimaryQualifiedName(kOwner, key.name()).value();
  };
  ExpectReason(builder.BuildFile(), reason::kCertificationName);
}

TEST_F(KeyChainTest, RejectsSwappedCertifications) {
  evidence::Evidence evidence = builder.Build();
  const auto state = host.Certify(KeyPurpose::kState);
  evidence.keys.front().certify_info = state.certify_info;
  ExpectReason(evidence, reason::kCertificationSignature);
  evidence.keys.front().signature = state.signature;
  ExpectReason(evidence, reason::kCertificationPurpose);
}

TEST_F(KeyChainTest, RejectsCertificationThatIsNoStructure) {
  evidence::Evidence evidence = builder.Build();
  evidence.keys.front().certify_info.pop_back();
  ExpectReason(evidence, reason::kCertificationMalformed);
}

TEST_F(KeyChainTest, RejectsKeyThatIsNoStructure) {
  evidence::Evidence evidence = builder.Build();
  evidence.keys.front().public_area.pop_back();
  ExpectReason(evidence, reason::kKeyMalformed);
}

TEST_F(KeyChainTest, RejectsMissingRepeatedAndForeignKeys) {
  const evidence::Evidence sound = builder.Build();
  evidence::Evidence evidence = sound;
  evidence.keys.clear();
  ExpectReason(evidence, reason::kKeyMissing);
  evidence.keys = {sound.keys.front(), sound.keys.front()};
  ExpectReason(evidence, reason::kKeyUnused);
  evidence.keys = {sound.keys.front(), host.Certify(KeyPurpose::kState)};
  ExpectReason(evidence, reason::kKeyUnused);
}

// The set of signatures.

class SignatureSetTest : public VerifierFixture {
 protected:
  static evidence::Signature MlDsa() {
    return {.algorithm = "ml-dsa-65",
            .body = evidence::RawSignature{Bytes(32, 1), Bytes(3309, 2)}};
  }
};

TEST_F(SignatureSetTest, RejectsStrippedSignature) {
  builder.header.signature_algorithms = {"tpm2-quote", "ml-dsa-65"};
  ExpectReason(builder.BuildFile(), reason::kSignatureMissing);
}

TEST_F(SignatureSetTest, RejectsEnvelopeWithoutSignatures) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.clear();
  ExpectReason(evidence, reason::kSignatureMissing);
}

TEST_F(SignatureSetTest, RejectsStatementThatListsNoSignature) {
  builder.header.signature_algorithms.clear();
  ExpectReason(builder.BuildFile(), reason::kSignatureUnlisted);
}

TEST_F(SignatureSetTest, RejectsEvidenceWithoutAQuote) {
  builder.header.signature_algorithms = {"ml-dsa-65"};
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures = {MlDsa()};
  ExpectReason(evidence, reason::kSignatureRequired);
}

TEST_F(SignatureSetTest, RejectsDuplicatedSignature) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.push_back(evidence.envelope.signatures.front());
  ExpectReason(evidence, reason::kSignatureDuplicate);
  builder.header.signature_algorithms = {"tpm2-quote", "tpm2-quote"};
  ExpectReason(builder.BuildFile(), reason::kSignatureDuplicate);
}

TEST_F(SignatureSetTest, RejectsAddedSignature) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.push_back(MlDsa());
  ExpectReason(evidence, reason::kSignatureUnlisted);
}

TEST_F(SignatureSetTest, RejectsReorderedSignatures) {
  builder.header.signature_algorithms = {"tpm2-quote", "ml-dsa-65"};
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.insert(evidence.envelope.signatures.begin(),
                                      MlDsa());
  ExpectReason(evidence, reason::kSignatureOrder);
}

TEST_F(SignatureSetTest, RejectsSwappedBodies) {
  builder.header.signature_algorithms = {"tpm2-quote", "ml-dsa-65"};
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.push_back(MlDsa());
  std::swap(evidence.envelope.signatures[0].body,
            evidence.envelope.signatures[1].body);
  ExpectReason(evidence, reason::kSignatureBody);
}

TEST_F(SignatureSetTest, RejectsUnknownAlgorithm) {
  builder.header.signature_algorithms = {"tpm2-quote", "none"};
  ExpectReason(builder.BuildFile(), reason::kSignatureUnknown);
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.front().algorithm = "tpm2-quoted";
  ExpectReason(evidence, reason::kSignatureUnknown);
}

TEST_F(SignatureSetTest, RejectsRequiredSignatureThatIsNotThere) {
  policy.required_signatures = {"tpm2-quote", "ml-dsa-65"};
  ExpectReason(builder.BuildFile(), reason::kSignatureRequired);
}

TEST_F(SignatureSetTest, S4_RejectsSignatureByAKeyThatNobodyListed) {
  builder.header.signature_algorithms = {"tpm2-quote", "ml-dsa-65"};
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.push_back(MlDsa());
  ExpectReason(evidence, reason::kPqKeyUnknown);
}

TEST_F(KeyChainTest, ACertificationThatTheAnchorHoldsIsGoodToTheLastBit) {
  evidence::Evidence evidence = builder.Build();
  for (const evidence::KeyCertification& key : host.Identity().keys) {
    if (key.purpose == KeyPurpose::kConfig) {
      evidence.keys = {key};
    }
  }
  Anchors same;
  evidence::HostIdentity identity = host.Identity();
  identity.keys = evidence.keys;
  ASSERT_TRUE(same.Add(wire::HostIdentityToJson(identity)).ok());
  anchors = std::move(same);
  EXPECT_EQ(Codes(Appraise(wire::EncodeEvidence(evidence))), "");
  evidence.keys[0].signature.back() ^= 1;
  ExpectReason(evidence, "key-certification-signature");
}

}  // namespace
}  // namespace vmattest::verifier
