#include "tpm/esys/esys_host_tpm.h"

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "unit/tpm/esys/esys_fixture.h"

// The adapter's own claims, on a real TPM 2.0; the port's are in
// tests/contract/host_tpm_contract_test.cc.

namespace vmattest::tpm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::StatusIs;
using testing::Swtpm;
using testing::TempDir;

constexpr uint32_t kLockout = 0x921;  // TPM_RC_LOCKOUT

using EsysHostTpmTest = EsysFixture;

TEST_F(EsysHostTpmTest, NextProcessFindsTheSameKeysAndCertifications) {
  evidence::HostIdentity first;
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_OK_AND_ASSIGN(first, tpm.GetIdentity());
  }
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto second, tpm.GetIdentity());
  EXPECT_EQ(second.host_id, first.host_id);
  EXPECT_EQ(second.ak_public, first.ak_public);
  EXPECT_EQ(second.keys.at(0).certify_info, first.keys.at(0).certify_info);
  EXPECT_EQ(second.log_index, first.log_index);
  EXPECT_THAT(swtpm_.Handles(kPersistent),
              ElementsAre(kBase, kBase + 1, kBase + 2, kBase + 3, kBase + 4,
                          kBase + 5, kBase + 6));
}

TEST_F(EsysHostTpmTest, KeyThatWasEvictedComesBackTheSame) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const Quote before, QuoteOn(tpm));
  Evict(kBase + 1);
  ASSERT_OK_AND_ASSIGN(const Quote after, QuoteOn(tpm));
  EXPECT_EQ(after.key_name, before.key_name);
}

TEST_F(EsysHostTpmTest, ThousandQuotesLeakNeitherHandleNorSession) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  for (int i = 0; i < 1000; ++i) {
    ASSERT_THAT(QuoteOn(tpm), IsOk());
  }
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kLoadedSession), SizeIs(1));
}

TEST_F(EsysHostTpmTest, EndingLeavesNothingInTheTpm) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_THAT(QuoteOn(tpm), IsOk());
  }
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kLoadedSession), IsEmpty());
}

TEST_F(EsysHostTpmTest, FailedProvisioningLeavesNothingInTheTpm) {
  swtpm_.Persist(swtpm_.LeaveObject(), kBase + 1);
  EsysHostTpm tpm(Options());
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(tpm.Provision().ok());
  }
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kLoadedSession), IsEmpty());
}

TEST_F(EsysHostTpmTest, StartsInATpmThatACrashLeftFull) {
  for (int i = 0; i < 3; ++i) {
    swtpm_.LeaveObject();
    swtpm_.LeaveSession();
  }
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
}

TEST_F(EsysHostTpmTest, SessionFlushedByAnotherClientIsReopened) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  Run(fmt::format("tpm2_flushcontext -T {} -l", swtpm_.tcti()));
  ASSERT_THAT(swtpm_.Handles(kLoadedSession), IsEmpty());
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  Run(fmt::format("tpm2_flushcontext -T {} -l", swtpm_.tcti()));
  EXPECT_THAT(tpm.ReadClock(), IsOk());
}

TEST_F(EsysHostTpmTest, TwoClientsOnOneTpmBothWork) {
  EsysHostTpm first(Options());
  ASSERT_THAT(first.Provision(), IsOk());
  // Takes the first one's session, and its number.
  EsysHostTpm second(Options());
  ASSERT_THAT(second.Provision(), IsOk());
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(QuoteOn(first), IsOk());
    EXPECT_THAT(QuoteOn(second), IsOk());
  }
}

TEST_F(EsysHostTpmTest, TpmThatDisappearsIsUnavailableUntilItComesBack) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  swtpm_.Kill();
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(tpm.ReadClock(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(tpm.GetIdentity(), IsOk());
  swtpm_.Start();
  EXPECT_THAT(QuoteOn(tpm), IsOk());
}

TEST_F(EsysHostTpmTest, TpmThatIsNotThereYetIsUnavailable) {
  swtpm_.Kill();
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kUnavailable));
  swtpm_.Start();
  EXPECT_THAT(tpm.Provision(), IsOk());
}

TEST_F(EsysHostTpmTest, ResetIsSurvivedWithoutAnyoneNoticing) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const TpmClock before, tpm.ReadClock());
  swtpm_.Kill();
  swtpm_.Start();
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  ASSERT_OK_AND_ASSIGN(const TpmClock after, tpm.ReadClock());
  EXPECT_EQ(after.reset_count, before.reset_count + 1);
}

TEST_F(EsysHostTpmTest, ClockThatCannotBeStoredDoesNotStopQuotes) {
  EsysHostTpmOptions options = Options();
  const auto folder = dir_.path() / "state";
  std::filesystem::create_directory(folder);
  options.pin_file = folder / "tpm.json";
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  std::filesystem::remove_all(folder);
  swtpm_.Kill();
  swtpm_.Start();
  EXPECT_THAT(QuoteOn(tpm), IsOk());
}

TEST_F(EsysHostTpmTest, KeysThatCannotBePinnedAreNotUsed) {
  EsysHostTpmOptions options = Options();
  options.pin_file = dir_.path() / "missing" / "tpm.json";
  EsysHostTpm tpm(std::move(options));
  EXPECT_FALSE(tpm.Provision().ok());
  EXPECT_FALSE(tpm.GetIdentity().ok());
}

TEST_F(EsysHostTpmTest, AnotherTpmIsRefusedAndGetsNoKeys) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
  }
  const std::string pin = ReadPin();
  swtpm_.ReplaceWithFreshOne();
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        StartsWith("needs re-enrolment")));
  EXPECT_THAT(swtpm_.Handles(kPersistent), IsEmpty());
  EXPECT_EQ(ReadPin(), pin);
}

TEST_F(EsysHostTpmTest, TpmReplacedUnderARunningProcessIsRefused) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  swtpm_.ReplaceWithFreshOne();
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     StartsWith("needs re-enrolment")));
  EXPECT_THAT(swtpm_.Handles(kPersistent), IsEmpty());
}

TEST_F(EsysHostTpmTest, S6_ClearedTpmIsNoticedByItsClock) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
  }
  swtpm_.Kill();
  swtpm_.Start();
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
  }
  // TPM2_Clear: the same seed, hence the same EK, but the counters are zero.
  Run(fmt::format("tpm2_clear -T {}", swtpm_.tcti()));
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("clock went back")));
}

TEST_F(EsysHostTpmTest, ForeignObjectAtAHandleIsNamedAndKept) {
  swtpm_.Persist(swtpm_.LeaveObject(), kBase);
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("0x81010100")));
  EXPECT_EQ(swtpm_.TryQuote(kBase, "right"), 0U);
}

TEST_F(EsysHostTpmTest, S7_KeysNeedTheirAuthorisation) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
  }
  EXPECT_NE(swtpm_.TryQuote(kBase, ""), 0U);
  EXPECT_NE(swtpm_.TryQuote(kBase + 1, ""), 0U);
  EsysHostTpmOptions options = Options();
  options.key_auth = SecretBytes(Bytes(32, 0x5B));
  EsysHostTpm tpm(std::move(options));
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("authorisation of the AK")));
}

TEST_F(EsysHostTpmTest, WorksWithOwnerAndEndorsementAuthorisations) {
  Run(fmt::format("tpm2_changeauth -T {} -c owner owner-secret",
                  swtpm_.tcti()));
  Run(fmt::format("tpm2_changeauth -T {} -c endorsement endorsement-secret",
                  swtpm_.tcti()));
  {
    EsysHostTpm tpm(Options());
    EXPECT_THAT(tpm.Provision(),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         HasSubstr("refuses the authorisation")));
  }
  EsysHostTpmOptions options = Options();
  options.owner_auth = SecretBytes(ToBytes("owner-secret"));
  options.endorsement_auth = SecretBytes(ToBytes("endorsement-secret"));
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(QuoteOn(tpm), IsOk());
}

TEST_F(EsysHostTpmTest, DictionaryLockoutDoesNotStopOurKeys) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  const uint32_t guarded = swtpm_.LeaveObject();
  uint32_t code = 0;
  for (int i = 0; i < 40 && code != kLockout; ++i) {
    code = swtpm_.TryQuote(guarded, "wrong");
  }
  ASSERT_EQ(code, kLockout);
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  EsysHostTpm next(Options());
  EXPECT_THAT(next.Provision(), IsOk());
}

TEST_F(EsysHostTpmTest, S9_BankThatFirmwareDidNotMeasureIsRefused) {
  swtpm_.Kill();
  swtpm_.Start(/*measure=*/false);
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("PCR 0 of bank 0x000b")));
}

TEST_F(EsysHostTpmTest, S9_EmptySelectionIsRefused) {
  EsysHostTpmOptions options = Options();
  options.pcrs.clear();
  EsysHostTpm tpm(std::move(options));
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("selection is empty")));
}

TEST_F(EsysHostTpmTest, OptionsThatCannotWorkAreRefused) {
  EsysHostTpmOptions beyond = Options();
  beyond.pcrs = {24};
  EXPECT_THAT(EsysHostTpm(std::move(beyond)).Provision(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EsysHostTpmOptions open = Options();
  open.key_auth = SecretBytes();
  EXPECT_THAT(EsysHostTpm(std::move(open)).Provision(),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EsysHostTpmOptions transient = Options();
  transient.persistent_handle_base = 0x80000000;
  EXPECT_THAT(EsysHostTpm(std::move(transient)).Provision(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(EsysHostTpmTest, S1_LogPcrThatCannotBeOneIsRefused) {
  for (const uint32_t pcr : {0, 7, 10, 16, 17, 23, 24}) {
    EsysHostTpmOptions options = Options();
    options.log_pcr = pcr;
    EXPECT_THAT(EsysHostTpm(std::move(options)).Provision(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(fmt::format("PCR {} ", pcr))));
  }
  EXPECT_THAT(swtpm_.Handles(kPersistent), IsEmpty());
}

TEST_F(EsysHostTpmTest, IndexesOutsideTheOwnersRangeAreRefused) {
  for (const uint32_t index : {0x01C0000AU, 0x01000000U, kBootCounter}) {
    EsysHostTpmOptions options = Options();
    options.log_index = index;
    EXPECT_THAT(EsysHostTpm(std::move(options)).Provision(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(fmt::format("{:#x}", index))));
  }
}

TEST_F(EsysHostTpmTest, InactiveBankIsNamed) {
  EsysHostTpmOptions options = Options();
  options.pcr_bank = 0x0027;  // SHA3-256
  EsysHostTpm tpm(std::move(options));
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("bank 0x0027")));
  EXPECT_THAT(swtpm_.Handles(kPersistent), IsEmpty());
}

TEST_F(EsysHostTpmTest, QuotesTheSha384BankAndAllPcrs) {
  EsysHostTpmOptions options = Options();
  options.pcr_bank = 0x000C;
  options.pcrs.clear();
  for (uint32_t pcr = 24; pcr-- > 0;) {
    options.pcrs.push_back(pcr);
  }
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
  ASSERT_THAT(quote.pcr_banks, SizeIs(1));
  EXPECT_THAT(quote.pcr_banks.front().values, SizeIs(24));
  EXPECT_THAT(quote.pcr_banks.front().values.at(23), SizeIs(48));
}

TEST_F(EsysHostTpmTest, S2_EachPurposeHasAKeyOfItsOwn) {
  EsysHostTpmOptions options = Options();
  options.purposes = {KeyPurpose::kConfig, KeyPurpose::kState};
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  ASSERT_THAT(identity.keys, SizeIs(2));
  EXPECT_NE(identity.keys[0].public_area, identity.keys[1].public_area);
  ASSERT_OK_AND_ASSIGN(const Quote config, QuoteOn(tpm));
  ASSERT_OK_AND_ASSIGN(const Quote state,
                       tpm.MakeQuote(KeyPurpose::kState, data_));
  EXPECT_NE(config.key_name, state.key_name);
  EXPECT_THAT(tpm.MakeQuote(KeyPurpose::kLedger, data_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("ledger")));
}

TEST_F(EsysHostTpmTest, PurposeThatIsAddedLaterKeepsTheOthers) {
  {
    EsysHostTpmOptions options = Options();
    options.purposes = {KeyPurpose::kConfig};
    EsysHostTpm tpm(std::move(options));
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_THAT(swtpm_.Handles(kPersistent), ElementsAre(kBase, kBase + 1));
  }
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  EXPECT_THAT(tpm.MakeQuote(KeyPurpose::kLiveness, data_), IsOk());
}

TEST_F(EsysHostTpmTest, DamagedPinFileStopsItAndIsKept) {
  dir_.Write("tpm.json", "not json");
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("tpm.json")));
  EXPECT_EQ(ReadPin(), "not json");
}

TEST_F(EsysHostTpmTest, DamagedCertificationIsMadeAnew) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(std::optional<TpmPin> pin, LoadPin(pin_file()));
  pin->keys.at(0).certification.certify_info.back() ^= 1;
  ASSERT_THAT(StorePin(pin_file(), *pin), IsOk());
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  EXPECT_NE(identity.keys.at(0).certify_info,
            pin->keys.at(0).certification.certify_info);
}

TEST_F(EsysHostTpmTest, Tpm2CheckquoteAcceptsItsQuote) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
  ASSERT_OK_AND_ASSIGN(const auto key, evidence::ParseEccPublic(
                                           identity.keys.at(0).public_area));
  ASSERT_OK_AND_ASSIGN(const std::string pem, ToPem(key.key));
  dir_.Write("ak.pem", pem);
  dir_.Write("quote.msg", AsText(quote.quoted));
  dir_.Write("quote.sig", AsText(quote.signature));
  const std::string dir = dir_.path().string();
  Run(
      fmt::format("tpm2_pcrread -T {} -F serialized -o {}/quote.pcrs "
                  "sha256:0,1,2,3,4,5,6,7,13",
                  swtpm_.tcti(), dir));
  const auto check = [&](ByteView qualifying) {
    return std::system(fmt::format("tpm2_checkquote -u {0}/ak.pem -m "
                                   "{0}/quote.msg -s {0}/quote.sig -f "
                                   "{0}/quote.pcrs -g sha256 -q {1} "
                                   ">/dev/null 2>&1",
                                   dir, ToHex(qualifying))
                           .c_str());
  };
  EXPECT_EQ(check(data_), 0);
  EXPECT_NE(check(Bytes(32, 0xA6)), 0);
}

TEST(EsysHostTpmWithCertificate, UsesTheEkThatHasOne) {
  const TempDir dir;
  const Swtpm swtpm(Swtpm::Setup::kEkCertificate);
  EsysHostTpmOptions options;
  options.tcti = swtpm.tcti();
  options.key_auth = SecretBytes(Bytes(32, 0x5A));
  options.pin_file = dir.path() / "tpm.json";
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  ASSERT_OK_AND_ASSIGN(const auto ek,
                       evidence::ParseEccPublic(identity.ek_public));
  ASSERT_GT(identity.ek_certificate.size(), 100U);
  EXPECT_EQ(identity.ek_certificate[0], 0x30);  // DER SEQUENCE
  const Bytes& der = identity.ek_certificate;
  EXPECT_NE(
      std::search(der.begin(), der.end(), ek.key.x.begin(), ek.key.x.end()),
      der.end());
  EXPECT_THAT(tpm.MakeQuote(KeyPurpose::kConfig, Bytes(32, 1)), IsOk());
}

}  // namespace
}  // namespace vmattest::tpm
