#include <algorithm>

#include "support/tpm_proxy.h"
#include "tpm/esys/esys_epochs.h"
#include "unit/tpm/esys/esys_fixture.h"

// A TPM that was lost or cleared is noticed, and the way on is re-enrolment.

namespace vmattest::tpm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using ::testing::StartsWith;
using testing::StatusIs;
using State = KeyEpoch::State;

constexpr uint32_t kNvDefineSpace = 0x12A;  // TPM_CC

class EsysReEnroll : public EsysFixture {
 protected:
  // The id of the host that this makes.
  std::string Enrol() {
    EsysHostTpm tpm(Options());
    EXPECT_THAT(tpm.Provision(), IsOk());
    const auto identity = tpm.GetIdentity();
    EXPECT_THAT(identity, IsOk());
    return identity.ok() ? identity->host_id : "";
  }
  std::vector<std::string> PutAside() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      const std::string name = entry.path().filename();
      if (name.starts_with("tpm.json.")) {
        names.push_back(name);
      }
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  void Clear() { RunTool("tpm2_clear", ""); }
};

TEST_F(EsysReEnroll, ReplacedTpmIsRefusedUntilTheHostIsEnrolledAgain) {
  const std::string old_id = Enrol();
  const std::string old_pin = ReadPin();
  swtpm_.ReplaceWithFreshOne();
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        StartsWith("needs re-enrolment")));
  EXPECT_THAT(swtpm_.Handles(kPersistent), IsEmpty());
  ASSERT_THAT(tpm.ReEnroll(old_id), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  EXPECT_NE(identity.host_id, old_id);
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  ASSERT_THAT(PutAside(), SizeIs(1));
  EXPECT_EQ(PutAside()[0], "tpm.json." + old_id.substr(0, 16) + ".1");
  std::ifstream in(dir_.path() / PutAside()[0]);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), old_pin);
  EsysHostTpm next(Options());
  ASSERT_THAT(next.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto again, next.GetIdentity());
  EXPECT_EQ(again.host_id, identity.host_id);
}

TEST_F(EsysReEnroll, RunningProcessGoesOnWithTheNewTpm) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto before, tpm.GetIdentity());
  ASSERT_THAT(tpm.ReadLogRegisters(), IsOk());
  swtpm_.ReplaceWithFreshOne();
  EXPECT_THAT(QuoteOn(tpm), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     StartsWith("needs re-enrolment")));
  ASSERT_THAT(tpm.ReEnroll(before.host_id), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto after, tpm.GetIdentity());
  EXPECT_NE(after.host_id, before.host_id);
  EXPECT_NE(after.ek_public, before.ek_public);
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  EXPECT_THAT(tpm.ExtendLog(Bytes(32, 1)), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm.ReadLogRegisters());
  EXPECT_EQ(registers.anchor, LogRegisters::Anchor::kUnwritten);
}

TEST_F(EsysReEnroll, WrongHostIdChangesNothing) {
  const std::string old_id = Enrol();
  const std::string old_pin = ReadPin();
  swtpm_.ReplaceWithFreshOne();
  EsysHostTpm tpm(Options());
  for (const std::string& wrong :
       {std::string(), old_id.substr(1), std::string(64, '0'), old_id + " "}) {
    EXPECT_THAT(tpm.ReEnroll(wrong),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(ReadPin(), old_pin);
  EXPECT_THAT(PutAside(), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kPersistent), IsEmpty());
}

TEST_F(EsysReEnroll, HostThatWasNeverEnrolledCannotBeEnrolledAgain) {
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.ReEnroll(std::string(64, '0')),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no host is enrolled")));
  EXPECT_FALSE(std::filesystem::exists(pin_file()));
}

TEST_F(EsysReEnroll, TpmThatIsMerelyAwayIsNotCleared) {
  const std::string old_id = Enrol();
  const std::string old_pin = ReadPin();
  swtpm_.Kill();
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(tpm.ReEnroll(old_id), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(ReadPin(), old_pin);
  EXPECT_THAT(PutAside(), IsEmpty());
  swtpm_.Start();
  EXPECT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  EXPECT_EQ(identity.host_id, old_id);
}

TEST_F(EsysReEnroll, S6_ClearedTpmGetsNoKeysAndNoIndexes) {
  Enrol();
  swtpm_.Kill();
  swtpm_.Start();
  Enrol();
  Clear();
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       StartsWith("needs re-enrolment: its clock went back")));
  EXPECT_THAT(swtpm_.Handles(kPersistent), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kLogIndex), IsEmpty());
}

TEST_F(EsysReEnroll, S6_ClearedTpmWhoseClockShowsNothingIsNoticedByItsKeys) {
  Enrol();
  Clear();
  // As if the pin file had been written long before the clearing.
  TpmPin pin = LoadedPin();
  pin.last_clock = {};
  ASSERT_THAT(StorePin(pin_file(), pin), IsOk());
  EsysHostTpm tpm(Options());
  EXPECT_THAT(tpm.Provision(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       StartsWith("needs re-enrolment: none")));
  EXPECT_THAT(swtpm_.Handles(kPersistent), IsEmpty());
}

TEST_F(EsysReEnroll, SameEndorsementKeyGoesOnCountingEpochs) {
  evidence::HostIdentity before;
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_THAT(tpm.RevokeKey(KeyPurpose::kConfig, 1), IsOk());
    ASSERT_OK_AND_ASSIGN(before, tpm.GetIdentity());
  }
  swtpm_.Kill();
  swtpm_.Start();
  Enrol();
  Clear();
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.ReEnroll(before.host_id), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto after, tpm.GetIdentity());
  EXPECT_EQ(after.host_id, before.host_id);
  // The seed would make the revoked key again: it must not come back.
  ASSERT_THAT(after.revocations, SizeIs(1));
  ASSERT_OK_AND_ASSIGN(const auto keys, tpm.ListKeys());
  ASSERT_THAT(keys, SizeIs(6 + 1 + 6));
  EXPECT_EQ(keys[0].state, State::kRevoked);
  EXPECT_EQ(keys[1].state, State::kRetired);
  EXPECT_EQ(keys[2].state, State::kActive);
  EXPECT_EQ(keys[2].certification.epoch, 3U);
  ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
  EXPECT_EQ(quote.pcr_banks.at(0).values.count(13), 1U);
}

TEST_F(EsysReEnroll, KeysOfAnotherInstallationInTheTpmAreReplaced) {
  const std::string old_id = Enrol();
  const std::string old_pin = ReadPin();
  // The host gets a TPM that served another one, with another authorisation.
  swtpm_.ReplaceWithFreshOne();
  std::filesystem::remove(pin_file());
  {
    EsysHostTpmOptions other = Options();
    other.key_auth = SecretBytes(Bytes(32, 0x77));
    EsysHostTpm tpm(std::move(other));
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
  }
  dir_.Write("tpm.json", old_pin);
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.ReEnroll(old_id), IsOk());
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  EXPECT_THAT(tpm.WriteLogAnchor(1, Bytes(32, 1)), IsOk());
  EXPECT_THAT(swtpm_.Handles(kPersistent), SizeIs(7));
}

TEST_F(EsysReEnroll, ForeignObjectIsNamedKeptAndTheOldIdentityStays) {
  const std::string old_id = Enrol();
  const std::string old_pin = ReadPin();
  swtpm_.ReplaceWithFreshOne();
  swtpm_.Persist(swtpm_.LeaveObject(), kBase);
  EsysHostTpm tpm(Options());
  EXPECT_THAT(
      tpm.ReEnroll(old_id),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0x81010100")));
  EXPECT_THAT(swtpm_.Handles(kPersistent), SizeIs(1));
  EXPECT_EQ(ReadPin(), old_pin);
  Evict(kBase);
  EXPECT_THAT(tpm.ReEnroll(old_id), IsOk());
}

TEST_F(EsysReEnroll, PowerCutInTheMiddleKeepsTheOldIdentityUntilItIsDone) {
  const std::string old_id = Enrol();
  const std::string old_pin = ReadPin();
  swtpm_.ReplaceWithFreshOne();
  testing::TpmProxy proxy(swtpm_.socket());
  for (const uint32_t code :
       {testing::kTpmCcCreatePrimary, testing::kTpmCcEvictControl,
        testing::kTpmCcCertify, kNvDefineSpace}) {
    EsysHostTpmOptions options = Options();
    options.tcti = proxy.tcti();
    EsysHostTpm tpm(std::move(options));
    proxy.AlterAnswer(code, [&](Bytes& answer) {
      swtpm_.Kill();
      answer = NotStarted();
    });
    EXPECT_FALSE(tpm.ReEnroll(old_id).ok()) << code;
    proxy.Behave();
    swtpm_.Start();
    EXPECT_EQ(ReadPin(), old_pin);
    EXPECT_THAT(PutAside(), IsEmpty());
    EXPECT_THAT(tpm.Provision(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          StartsWith("needs re-enrolment")));
  }
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.ReEnroll(old_id), IsOk());
  EXPECT_THAT(swtpm_.Handles(kPersistent), SizeIs(7));
}

TEST_F(EsysReEnroll, SecondTimePutsTheOldOneAsideUnderAnotherNumber) {
  const std::string id = Enrol();
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.ReEnroll(id), IsOk());
  ASSERT_THAT(tpm.ReEnroll(id), IsOk());
  ASSERT_THAT(PutAside(), SizeIs(2));
  EXPECT_TRUE(PutAside()[1].ends_with(".2"));
}

}  // namespace
}  // namespace vmattest::tpm
