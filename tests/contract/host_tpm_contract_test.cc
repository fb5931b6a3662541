#include <memory>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"
#include "fakes/fake_host_tpm.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "tpm/esys/esys_host_tpm.h"

// What every HostTpm does: the fake's bytes and the TPM's are held to the same
// claims.

namespace vmattest::testing {
namespace {

using ::testing::SizeIs;

class Subject {
 public:
  virtual ~Subject() = default;
  virtual tpm::HostTpm& tpm() = 0;
  virtual void ExtendPcr(uint32_t index, ByteView digest) = 0;
  // A power cycle.
  virtual void Reset() = 0;
};

class FakeSubject final : public Subject {
 public:
  tpm::HostTpm& tpm() override { return fake_; }
  void ExtendPcr(uint32_t index, ByteView digest) override {
    fake_.ExtendPcr(index, digest);
  }
  void Reset() override { fake_.Reset(); }

 private:
  FakeHostTpm fake_;
};

class EsysSubject final : public Subject {
 public:
  EsysSubject() : tpm_(Options()) {}
  tpm::HostTpm& tpm() override { return tpm_; }
  void ExtendPcr(uint32_t index, ByteView digest) override {
    swtpm_.ExtendPcr(index, digest);
  }
  void Reset() override {
    swtpm_.Kill();
    swtpm_.Start();
  }

 private:
  tpm::EsysHostTpmOptions Options() {
    tpm::EsysHostTpmOptions options;
    options.tcti = swtpm_.tcti();
    options.pcrs = {0, 1, 2, 3, 4, 5, 6, 7, 13};
    options.key_auth = SecretBytes(Bytes(32, 0x5A));
    options.pin_file = dir_.path() / "tpm.json";
    options.hostname = "host-1";
    return options;
  }

  TempDir dir_;
  Swtpm swtpm_;
  tpm::EsysHostTpm tpm_;
};

using SubjectFactory = std::unique_ptr<Subject> (*)();

class HostTpmContract : public ::testing::TestWithParam<SubjectFactory> {
 protected:
  tpm::HostTpm& tpm() { return subject_->tpm(); }
  // The port lets a call after a reset answer UNAVAILABLE; again then works.
  absl::StatusOr<tpm::Quote> QuoteSoon(ByteView data) {
    absl::StatusOr<tpm::Quote> quote =
        tpm().MakeQuote(KeyPurpose::kConfig, data);
    for (int i = 0; i < 3 && absl::IsUnavailable(quote.status()); ++i) {
      if (tpm().Provision().ok()) {
        quote = tpm().MakeQuote(KeyPurpose::kConfig, data);
      }
    }
    return quote;
  }

  const Bytes data_ = Bytes(32, 0xA5);
  const std::unique_ptr<Subject> subject_ = GetParam()();
};

evidence::Attest Parsed(const tpm::Quote& quote) {
  const auto attest = evidence::ParseAttest(quote.quoted);
  EXPECT_THAT(attest, IsOk());
  return attest.ok() ? *attest : evidence::Attest();
}

bool SignedBy(ByteView tpm2b_public, ByteView message, ByteView signature) {
  const auto area = evidence::ParseEccPublic(tpm2b_public);
  const auto parsed = evidence::ParseEcdsaSignature(signature);
  EXPECT_THAT(area, IsOk());
  EXPECT_THAT(parsed, IsOk());
  return area.ok() && parsed.ok() &&
         VerifyEcdsa(area->key, Hash(HashAlgorithm::kSha256, message),
                     parsed->r, parsed->s);
}

TEST_P(HostTpmContract, AnswersNothingBeforeItIsProvisioned) {
  EXPECT_THAT(tpm().GetIdentity(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(tpm().MakeQuote(KeyPurpose::kConfig, data_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_P(HostTpmContract, ProvisioningTwiceKeepsTheIdentity) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto first, tpm().GetIdentity());
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto second, tpm().GetIdentity());
  EXPECT_EQ(first.host_id, second.host_id);
  EXPECT_EQ(first.ak_public, second.ak_public);
  ASSERT_FALSE(second.keys.empty());
  EXPECT_EQ(first.keys.front().public_area, second.keys.front().public_area);
}

TEST_P(HostTpmContract, HostIdIsTheNameOfTheEk) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  ASSERT_OK_AND_ASSIGN(const Bytes name, evidence::NameOf(identity.ek_public));
  EXPECT_EQ(identity.host_id, ToHex(ByteView(name).subspan(2)));
  EXPECT_EQ(identity.hostname, "host-1");
}

TEST_P(HostTpmContract, AkIsARestrictedSigningKey) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  ASSERT_OK_AND_ASSIGN(const auto ak,
                       evidence::ParseEccPublic(identity.ak_public));
  EXPECT_TRUE(evidence::IsRestrictedSigningKey(ak.attributes));
}

TEST_P(HostTpmContract, PurposeKeyIsCertifiedByTheAk) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  ASSERT_FALSE(identity.keys.empty());
  const evidence::KeyCertification& key = identity.keys.front();
  EXPECT_EQ(key.purpose, KeyPurpose::kConfig);
  ASSERT_OK_AND_ASSIGN(const auto area,
                       evidence::ParseEccPublic(key.public_area));
  EXPECT_TRUE(evidence::IsRestrictedSigningKey(area.attributes));
  ASSERT_OK_AND_ASSIGN(const auto info,
                       evidence::ParseAttest(key.certify_info));
  EXPECT_EQ(info.type, evidence::kTpmStAttestCertify);
  EXPECT_EQ(info.certified_name, area.name);
  EXPECT_EQ(info.extra_data,
            evidence::CertifyQualifyingData(key.purpose, key.epoch));
  EXPECT_TRUE(SignedBy(identity.ak_public, key.certify_info, key.signature));
  ASSERT_OK_AND_ASSIGN(const auto ak,
                       evidence::ParseEccPublic(identity.ak_public));
  ASSERT_OK_AND_ASSIGN(
      const Bytes signer,
      evidence::PrimaryQualifiedName(evidence::kTpmRhEndorsement, ak.name));
  EXPECT_EQ(info.qualified_signer, signer);
}

TEST_P(HostTpmContract, QuoteIsSignedByThePurposeKeyOverTheQuestion) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  const evidence::Attest attest = Parsed(quote);
  EXPECT_EQ(attest.magic, evidence::kTpmGenerated);
  EXPECT_EQ(attest.type, evidence::kTpmStAttestQuote);
  EXPECT_EQ(attest.extra_data, data_);
  const Bytes& key = identity.keys.front().public_area;
  EXPECT_TRUE(SignedBy(key, quote.quoted, quote.signature));
  ASSERT_OK_AND_ASSIGN(const Bytes name, evidence::NameOf(key));
  EXPECT_EQ(quote.key_name, name);
}

TEST_P(HostTpmContract, QuoteCoversThePcrValuesThatItComesWith) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  const evidence::Attest attest = Parsed(quote);
  ASSERT_OK_AND_ASSIGN(const Bytes digest,
                       evidence::PcrDigest(kTpmAlgSha256, attest.pcr_selections,
                                           quote.pcr_banks));
  EXPECT_EQ(attest.pcr_digest, digest);
  ASSERT_THAT(quote.pcr_banks, SizeIs(1));
  EXPECT_EQ(quote.pcr_banks.front().values.count(0), 1U);
}

TEST_P(HostTpmContract, QuoteFollowsAPcrThatIsExtendedInBetween) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_THAT(tpm().MakeQuote(KeyPurpose::kConfig, data_), IsOk());
  const Bytes before(32, 0);
  const Bytes event(32, 0x77);
  subject_->ExtendPcr(13, event);
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  Bytes both = before;
  both.insert(both.end(), event.begin(), event.end());
  EXPECT_EQ(quote.pcr_banks.front().values.at(13),
            Hash(HashAlgorithm::kSha256, both));
  ASSERT_OK_AND_ASSIGN(
      const Bytes digest,
      evidence::PcrDigest(kTpmAlgSha256, Parsed(quote).pcr_selections,
                          quote.pcr_banks));
  EXPECT_EQ(Parsed(quote).pcr_digest, digest);
}

TEST_P(HostTpmContract, RefusesQualifyingDataThatIsNoDigest) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  EXPECT_THAT(tpm().MakeQuote(KeyPurpose::kConfig, Bytes(31)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(HostTpmContract, ClockOfAQuoteIsNotBeforeTheClockReadBefore) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const TpmClock clock, tpm().ReadClock());
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  const TpmClock quoted = Parsed(quote).clock;
  EXPECT_EQ(quoted.reset_count, clock.reset_count);
  EXPECT_GE(quoted.clock_ms, clock.clock_ms);
}

TEST_P(HostTpmContract, WorksAgainAfterAResetAndTheQuoteSaysSo) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto before, tpm().GetIdentity());
  ASSERT_OK_AND_ASSIGN(const tpm::Quote first,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  subject_->Reset();
  ASSERT_OK_AND_ASSIGN(const tpm::Quote second, QuoteSoon(data_));
  EXPECT_EQ(Parsed(second).clock.reset_count,
            Parsed(first).clock.reset_count + 1);
  EXPECT_EQ(second.key_name, first.key_name);
  ASSERT_OK_AND_ASSIGN(const auto after, tpm().GetIdentity());
  EXPECT_EQ(after.host_id, before.host_id);
}

INSTANTIATE_TEST_SUITE_P(Fake, HostTpmContract,
                         ::testing::Values(+[]() -> std::unique_ptr<Subject> {
                           return std::make_unique<FakeSubject>();
                         }));
INSTANTIATE_TEST_SUITE_P(EsysOnSwtpm, HostTpmContract,
                         ::testing::Values(+[]() -> std::unique_ptr<Subject> {
                           return std::make_unique<EsysSubject>();
                         }));

}  // namespace
}  // namespace vmattest::testing
