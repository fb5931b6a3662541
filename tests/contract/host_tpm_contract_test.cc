#include <cstdlib>
#include <memory>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "enrollment/credential.h"
#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"
#include "fakes/fake_host_tpm.h"
#include "fmt/format.h"
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
using Anchor = tpm::LogRegisters::Anchor;
using State = tpm::KeyEpoch::State;

class Subject {
 public:
  virtual ~Subject() = default;
  virtual tpm::HostTpm& tpm() = 0;
  virtual void ExtendPcr(uint32_t index, ByteView digest) = 0;
  // A power cycle.
  virtual void Reset() = 0;
  // What the owner of the TPM can do to it.
  virtual void UndefineLogAnchor() = 0;
  virtual void Clear() = 0;
};

class FakeSubject final : public Subject {
 public:
  tpm::HostTpm& tpm() override { return fake_; }
  void ExtendPcr(uint32_t index, ByteView digest) override {
    fake_.ExtendPcr(index, digest);
  }
  void Reset() override { fake_.Reset(); }
  void UndefineLogAnchor() override { fake_.UndefineLogAnchor(); }
  void Clear() override { fake_.Clear(); }

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
  void UndefineLogAnchor() override { RunTool("tpm2_nvundefine", "0x1810130"); }
  void Clear() override {
    Reset();  // so that the counters, which it sets back, show it
    RunTool("tpm2_clear", "");
  }

 private:
  void RunTool(const std::string& tool, const std::string& arguments) {
    const std::string command = fmt::format("{} -T {} {} >/dev/null 2>&1", tool,
                                            swtpm_.tcti(), arguments);
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
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
  const Bytes head_ = Bytes(32, 0x42);
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
  EXPECT_THAT(tpm().ActivateCredential(data_, data_),
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

// The epoch and state of each of the purpose's keys.
using EpochStates = std::vector<std::pair<uint32_t, State>>;
EpochStates StatesOf(tpm::HostTpm& tpm, KeyPurpose purpose) {
  EpochStates states;
  const auto keys = tpm.ListKeys();
  EXPECT_THAT(keys, IsOk());
  for (const tpm::KeyEpoch& key :
       keys.ok() ? *keys : std::vector<tpm::KeyEpoch>()) {
    if (key.certification.purpose == purpose) {
      states.emplace_back(key.certification.epoch, key.state);
    }
  }
  return states;
}

TEST_P(HostTpmContract, KeysStartWithTheFirstEpochActive) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  EXPECT_EQ(StatesOf(tpm(), KeyPurpose::kConfig),
            EpochStates({{1, State::kActive}}));
}

TEST_P(HostTpmContract, RotatedKeyIsCertifiedAndSignsFromThenOn) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const tpm::Quote old,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  ASSERT_OK_AND_ASSIGN(const auto key, tpm().RotateKey(KeyPurpose::kConfig));
  EXPECT_EQ(key.epoch, 2U);
  EXPECT_EQ(StatesOf(tpm(), KeyPurpose::kConfig),
            EpochStates({{1, State::kOverlap}, {2, State::kActive}}));
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  EXPECT_TRUE(SignedBy(identity.ak_public, key.certify_info, key.signature));
  ASSERT_OK_AND_ASSIGN(const auto info,
                       evidence::ParseAttest(key.certify_info));
  EXPECT_EQ(info.extra_data,
            evidence::CertifyQualifyingData(KeyPurpose::kConfig, 2));
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  EXPECT_NE(quote.key_name, old.key_name);
  EXPECT_EQ(info.certified_name, quote.key_name);
  EXPECT_TRUE(SignedBy(key.public_area, quote.quoted, quote.signature));
}

TEST_P(HostTpmContract, RotationOfOnePurposeLeavesTheOthers) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const tpm::Quote before,
                       tpm().MakeQuote(KeyPurpose::kLedger, data_));
  ASSERT_THAT(tpm().RotateKey(KeyPurpose::kConfig), IsOk());
  ASSERT_OK_AND_ASSIGN(const tpm::Quote after,
                       tpm().MakeQuote(KeyPurpose::kLedger, data_));
  EXPECT_EQ(after.key_name, before.key_name);
}

TEST_P(HostTpmContract, ActiveKeyIsNotRetired) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  EXPECT_THAT(tpm().RetireKey(KeyPurpose::kConfig, 1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(tpm().MakeQuote(KeyPurpose::kConfig, data_), IsOk());
}

TEST_P(HostTpmContract, EpochThatNeverWasIsNotFound) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  for (const uint32_t epoch : {0U, 2U, 0xFFFFFFFFU}) {
    EXPECT_THAT(tpm().RetireKey(KeyPurpose::kConfig, epoch),
                StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(tpm().RevokeKey(KeyPurpose::kConfig, epoch),
                StatusIs(absl::StatusCode::kNotFound));
  }
}

TEST_P(HostTpmContract, RetiredKeyStaysInTheIdentityAndCannotBeRevoked) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_THAT(tpm().RotateKey(KeyPurpose::kConfig), IsOk());
  ASSERT_THAT(tpm().RetireKey(KeyPurpose::kConfig, 1), IsOk());
  EXPECT_THAT(tpm().RetireKey(KeyPurpose::kConfig, 1), IsOk());
  EXPECT_EQ(StatesOf(tpm(), KeyPurpose::kConfig),
            EpochStates({{1, State::kRetired}, {2, State::kActive}}));
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  EXPECT_EQ(identity.keys.front().epoch, 1U);
  EXPECT_THAT(tpm().RevokeKey(KeyPurpose::kConfig, 1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_P(HostTpmContract, RevocationIsTheWordOfTheAk) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  ASSERT_THAT(tpm().RotateKey(KeyPurpose::kConfig), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto revocation,
                       tpm().RevokeKey(KeyPurpose::kConfig, 1));
  EXPECT_EQ(revocation.purpose, KeyPurpose::kConfig);
  EXPECT_EQ(revocation.epoch, 1U);
  EXPECT_EQ(revocation.key_name, quote.key_name);
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  EXPECT_TRUE(SignedBy(identity.ak_public, revocation.certify_info,
                       revocation.signature));
  ASSERT_OK_AND_ASSIGN(const auto info,
                       evidence::ParseAttest(revocation.certify_info));
  EXPECT_EQ(info.type, evidence::kTpmStAttestCertify);
  EXPECT_EQ(info.certified_name, revocation.key_name);
  EXPECT_EQ(info.extra_data,
            evidence::RevokeQualifyingData(KeyPurpose::kConfig, 1));
  ASSERT_THAT(identity.revocations, SizeIs(1));
  EXPECT_EQ(identity.revocations[0].signature, revocation.signature);
  EXPECT_EQ(StatesOf(tpm(), KeyPurpose::kConfig),
            EpochStates({{1, State::kRevoked}, {2, State::kActive}}));
}

TEST_P(HostTpmContract, ActiveKeyThatIsRevokedIsRotatedFirst) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto revocation,
                       tpm().RevokeKey(KeyPurpose::kState, 1));
  EXPECT_EQ(StatesOf(tpm(), KeyPurpose::kState),
            EpochStates({{1, State::kRevoked}, {2, State::kActive}}));
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm().MakeQuote(KeyPurpose::kState, data_));
  EXPECT_NE(quote.key_name, revocation.key_name);
}

TEST_P(HostTpmContract, ClearedTpmNeedsReEnrolmentAndThenWorks) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto before, tpm().GetIdentity());
  ASSERT_THAT(tpm().WriteLogAnchor(4, head_), IsOk());
  subject_->Clear();
  EXPECT_THAT(tpm().Provision(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::StartsWith("needs re-enrolment")));
  EXPECT_THAT(tpm().ReEnroll("not this host"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(tpm().Provision(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(tpm().ReEnroll(before.host_id), IsOk());
  EXPECT_THAT(tpm().MakeQuote(KeyPurpose::kConfig, data_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm().ReadLogRegisters());
  EXPECT_NE(registers.anchor, Anchor::kWritten);
}

TEST_P(HostTpmContract, LogRegistersShowWhatWasWritten) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto fresh, tpm().ReadLogRegisters());
  EXPECT_NE(fresh.anchor, Anchor::kWritten);
  EXPECT_EQ(fresh.pcr, Bytes(32, 0));
  ASSERT_THAT(tpm().WriteLogAnchor(12, head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto written, tpm().ReadLogRegisters());
  EXPECT_EQ(written.anchor, Anchor::kWritten);
  EXPECT_EQ(written.size, 12U);
  EXPECT_EQ(written.head, head_);
  ASSERT_OK_AND_ASSIGN(const TpmClock clock, tpm().ReadClock());
  EXPECT_EQ(written.clock.reset_count, clock.reset_count);
  EXPECT_LE(written.clock.clock_ms, clock.clock_ms);
}

TEST_P(HostTpmContract, ExtendingTheLogExtendsAPcrThatQuotesCover) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto before, tpm().ReadLogRegisters());
  ASSERT_THAT(tpm().ExtendLog(data_), IsOk());
  ASSERT_THAT(tpm().ExtendLog(head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto after, tpm().ReadLogRegisters());
  const Bytes once = HashParts(HashAlgorithm::kSha256, {before.pcr, data_});
  EXPECT_EQ(after.pcr, HashParts(HashAlgorithm::kSha256, {once, head_}));
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm().MakeQuote(KeyPurpose::kConfig, data_));
  EXPECT_EQ(quote.pcr_banks.front().values.at(13), after.pcr);
}

TEST_P(HostTpmContract, LogTakesOnlyDigests) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  EXPECT_THAT(tpm().ExtendLog(Bytes(31)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(tpm().WriteLogAnchor(1, Bytes(33)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(tpm().CertifyLogAnchor(Bytes(0)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(HostTpmContract, ResetEmptiesTheLogPcrAndKeepsTheAnchor) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_THAT(tpm().ExtendLog(data_), IsOk());
  ASSERT_THAT(tpm().WriteLogAnchor(12, head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const uint64_t boots, tpm().CountBoot());
  ASSERT_OK_AND_ASSIGN(const auto before, tpm().ReadLogRegisters());
  subject_->Reset();
  ASSERT_THAT(QuoteSoon(data_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto after, tpm().ReadLogRegisters());
  EXPECT_EQ(after.pcr, Bytes(32, 0));
  EXPECT_EQ(after.anchor, Anchor::kWritten);
  EXPECT_EQ(after.size, 12U);
  EXPECT_EQ(after.head, head_);
  EXPECT_EQ(after.boot_count, boots);
  EXPECT_EQ(after.clock.reset_count, before.clock.reset_count + 1);
}

TEST_P(HostTpmContract, AnchorThatIsGoneIsUndefinedUntilItIsWritten) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_THAT(tpm().WriteLogAnchor(12, head_), IsOk());
  subject_->UndefineLogAnchor();
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto gone, tpm().ReadLogRegisters());
  EXPECT_EQ(gone.anchor, Anchor::kUndefined);
  EXPECT_THAT(tpm().CertifyLogAnchor(data_),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_THAT(tpm().WriteLogAnchor(13, head_), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto again, tpm().ReadLogRegisters());
  EXPECT_EQ(again.anchor, Anchor::kWritten);
}

TEST_P(HostTpmContract, EachBootIsCountedOnce) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const uint64_t first, tpm().CountBoot());
  ASSERT_OK_AND_ASSIGN(const uint64_t second, tpm().CountBoot());
  EXPECT_EQ(second, first + 1);
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm().ReadLogRegisters());
  EXPECT_EQ(registers.boot_count, second);
}

TEST_P(HostTpmContract, CertifiedAnchorIsTheWordOfTheAk) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_THAT(tpm().WriteLogAnchor(0x0102, head_), IsOk());
  const Bytes question = evidence::LogAnchorQualifyingData(Bytes(32, 7));
  ASSERT_OK_AND_ASSIGN(const auto made, tpm().CertifyLogAnchor(question));
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  EXPECT_TRUE(SignedBy(identity.ak_public, made.certify_info, made.signature));
  ASSERT_OK_AND_ASSIGN(const auto info,
                       evidence::ParseAttest(made.certify_info));
  EXPECT_EQ(info.magic, evidence::kTpmGenerated);
  EXPECT_EQ(info.type, evidence::kTpmStAttestNv);
  EXPECT_EQ(info.extra_data, question);
  EXPECT_EQ(info.nv_offset, 0);
  ByteWriter contents;
  contents.U64(0x0102).Raw(head_);
  EXPECT_EQ(info.nv_contents, contents.bytes());
  // The host's identity says which index that is, written.
  EXPECT_EQ(made.nv_public, identity.log_index);
  ByteWriter name;
  name.U16(kTpmAlgSha256)
      .Raw(Hash(HashAlgorithm::kSha256, ByteView(made.nv_public).subspan(2)));
  EXPECT_EQ(info.nv_index_name, name.bytes());
}

absl::StatusOr<Bytes> Opened(tpm::HostTpm& tpm,
                             const enrollment::Credential& credential) {
  ASSIGN_OR_RETURN(const SecretBytes secret,
                   tpm.ActivateCredential(credential.credential_blob,
                                          credential.encrypted_secret));
  return ToBytes(secret.Reveal(SecretAccess()));
}

TEST_P(HostTpmContract, OpensACredentialForItsEkAndAkAgainAndAgain) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  ASSERT_OK_AND_ASSIGN(const Bytes ak, evidence::NameOf(identity.ak_public));
  // A TPM has three places for transient objects and three for sessions.
  for (uint8_t i = 1; i <= 5; ++i) {
    ASSERT_OK_AND_ASSIGN(const auto credential,
                         enrollment::MakeCredential(identity.ek_public, ak,
                                                    SecretBytes(Bytes(32, i))));
    ASSERT_OK_AND_ASSIGN(const Bytes secret, Opened(tpm(), credential));
    EXPECT_EQ(secret, Bytes(32, i));
  }
  EXPECT_THAT(tpm().MakeQuote(KeyPurpose::kConfig, data_), IsOk());
}

TEST_P(HostTpmContract, OpensNoCredentialForAnotherKeyOrTpm) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  ASSERT_OK_AND_ASSIGN(const Bytes ak, evidence::NameOf(identity.ak_public));
  ASSERT_OK_AND_ASSIGN(const Bytes other_key,
                       evidence::NameOf(identity.keys.front().public_area));
  const SoftHost other_host;
  for (const auto& [ek_public, name] :
       {std::pair(identity.ek_public, other_key),
        std::pair(other_host.ek.public_area(), ak)}) {
    ASSERT_OK_AND_ASSIGN(
        const auto credential,
        enrollment::MakeCredential(ek_public, name, SecretBytes(Bytes(32, 7))));
    EXPECT_THAT(Opened(tpm(), credential),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(tpm().MakeQuote(KeyPurpose::kConfig, data_), IsOk());
}

TEST_P(HostTpmContract, OpensNoCredentialThatWasAltered) {
  ASSERT_THAT(tpm().Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm().GetIdentity());
  ASSERT_OK_AND_ASSIGN(const Bytes ak, evidence::NameOf(identity.ak_public));
  ASSERT_OK_AND_ASSIGN(const auto good,
                       enrollment::MakeCredential(identity.ek_public, ak,
                                                  SecretBytes(Bytes(32, 7))));
  for (const size_t at :
       {size_t{0}, size_t{8}, good.credential_blob.size() - 1}) {
    enrollment::Credential bad = good;
    bad.credential_blob[at] ^= 1;
    EXPECT_THAT(Opened(tpm(), bad),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << at;
  }
  for (const size_t at :
       {size_t{0}, size_t{8}, good.encrypted_secret.size() - 1}) {
    enrollment::Credential bad = good;
    bad.encrypted_secret[at] ^= 1;
    EXPECT_THAT(Opened(tpm(), bad),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << at;
  }
  EXPECT_THAT(Opened(tpm(), {}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Opened(tpm(), good), IsOk());
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
