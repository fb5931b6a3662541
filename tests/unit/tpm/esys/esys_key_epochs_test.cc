#include <algorithm>

#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"
#include "nlohmann/json.hpp"
#include "support/tpm_proxy.h"
#include "tpm/esys/esys_epochs.h"
#include "unit/tpm/esys/esys_fixture.h"

// Epochs of purpose keys on a real TPM, and what a crash between any two steps
// of a rotation leaves. The port's own claims are in
// tests/contract/host_tpm_contract_test.cc.

namespace vmattest::tpm {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StatusIs;
using State = KeyEpoch::State;

constexpr uint32_t kFirst = kBase + 1;
constexpr uint32_t kSecond = kBase + 9;
constexpr uint32_t kThird = kBase + 17;

class EsysKeyEpochs : public EsysFixture {
 protected:
  State StateOf(EsysHostTpm& tpm, uint32_t epoch) {
    const auto keys = tpm.ListKeys();
    EXPECT_THAT(keys, IsOk());
    if (keys.ok()) {
      for (const KeyEpoch& key : *keys) {
        if (key.certification.purpose == KeyPurpose::kConfig &&
            key.certification.epoch == epoch) {
          return key.state;
        }
      }
    }
    ADD_FAILURE() << "no epoch " << epoch;
    return State::kActive;
  }
  // The pin file as if the last change to it had not been made.
  void RestorePin(const std::string& text) { dir_.Write("tpm.json", text); }
};

TEST_F(EsysKeyEpochs, AllSixPurposesHaveAKeyByDefault) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto keys, tpm.ListKeys());
  ASSERT_THAT(keys, SizeIs(6));
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(keys[i].certification.purpose), i + 1);
    EXPECT_EQ(keys[i].certification.epoch, 1U);
    EXPECT_EQ(keys[i].state, State::kActive);
    EXPECT_GT(keys[i].since_unix_ms, 1'700'000'000'000);
    EXPECT_THAT(tpm.MakeQuote(keys[i].certification.purpose, data_), IsOk());
  }
}

TEST_F(EsysKeyEpochs, FirstPinFileIsUpgradedAndItsKeyKept) {
  evidence::HostIdentity before;
  {
    EsysHostTpmOptions options = Options();
    options.purposes = {KeyPurpose::kConfig};
    EsysHostTpm tpm(std::move(options));
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_OK_AND_ASSIGN(before, tpm.GetIdentity());
  }
  auto json = nlohmann::json::parse(ReadPin());
  json["version"] = 1;
  json.erase("revocations");
  json.erase("log_index");
  json["keys"][0].erase("state");
  json["keys"][0].erase("since_unix_ms");
  RestorePin(json.dump());
  RunTool("tpm2_nvundefine", fmt::format("{:#x}", kLogIndex));
  RunTool("tpm2_nvundefine", fmt::format("{:#x}", kBootCounter));

  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto after, tpm.GetIdentity());
  ASSERT_THAT(after.keys, SizeIs(6));
  EXPECT_EQ(after.keys[0].certify_info, before.keys[0].certify_info);
  EXPECT_EQ(after.log_index, before.log_index);
  ASSERT_OK_AND_ASSIGN(const auto registers, tpm.ReadLogRegisters());
  EXPECT_EQ(registers.anchor, LogRegisters::Anchor::kUnwritten);
  ASSERT_OK_AND_ASSIGN(const auto keys, tpm.ListKeys());
  EXPECT_GT(keys[0].since_unix_ms, 1'700'000'000'000);
  EXPECT_EQ(nlohmann::json::parse(ReadPin())["version"], 2);
}

TEST_F(EsysKeyEpochs, RotatedKeySignsAlsoAfterARestart) {
  Bytes rotated;
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_OK_AND_ASSIGN(const Quote old, QuoteOn(tpm));
    ASSERT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
    ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
    EXPECT_NE(quote.key_name, old.key_name);
    rotated = quote.key_name;
  }
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const Quote quote, QuoteOn(tpm));
  EXPECT_EQ(quote.key_name, rotated);
  EXPECT_EQ(StateOf(tpm, 1), State::kOverlap);
  EXPECT_THAT(swtpm_.Handles(kPersistent), Contains(kFirst));
}

TEST_F(EsysKeyEpochs, RetiringAndRevokingRemoveTheKeyFromTheTpm) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
  ASSERT_THAT(tpm.RetireKey(KeyPurpose::kConfig, 1), IsOk());
  EXPECT_THAT(swtpm_.Handles(kPersistent), Not(Contains(kFirst)));
  ASSERT_THAT(tpm.RevokeKey(KeyPurpose::kConfig, 2), IsOk());
  EXPECT_THAT(swtpm_.Handles(kPersistent), Not(Contains(kSecond)));
  EXPECT_THAT(swtpm_.Handles(kPersistent), Contains(kThird));
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
  EXPECT_THAT(swtpm_.Handles(kLoadedSession), SizeIs(1));
}

TEST_F(EsysKeyEpochs, RotationThatWasNeverPinnedIsUndone) {
  std::string pin;
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    pin = ReadPin();
    ASSERT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
  }
  RestorePin(pin);
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(swtpm_.Handles(kPersistent), Not(Contains(kSecond)));
  EXPECT_EQ(StateOf(tpm, 1), State::kActive);
  EXPECT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
}

TEST_F(EsysKeyEpochs, FirstStartThatWasNeverPinnedIsAdopted) {
  Bytes ak;
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
    ak = identity.ak_public;
  }
  const auto handles = swtpm_.Handles(kPersistent);
  std::filesystem::remove(pin_file());
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, tpm.GetIdentity());
  EXPECT_EQ(identity.ak_public, ak);
  EXPECT_EQ(swtpm_.Handles(kPersistent), handles);
}

TEST_F(EsysKeyEpochs, KeyThatWasRetiredButNotRemovedIsRemovedLater) {
  {
    EsysHostTpm tpm(Options());
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
  }
  TpmPin pin = LoadedPin();
  FindEpoch(pin.keys, KeyPurpose::kConfig, 1)->state = State::kRetired;
  ASSERT_THAT(StorePin(pin_file(), pin), IsOk());
  ASSERT_THAT(swtpm_.Handles(kPersistent), Contains(kFirst));
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(swtpm_.Handles(kPersistent), Not(Contains(kFirst)));
  EXPECT_THAT(swtpm_.Handles(kPersistent), Contains(kSecond));
}

TEST_F(EsysKeyEpochs, ForeignObjectWhereAnEpochWillBeIsKeptAndNamedThen) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  swtpm_.Persist(swtpm_.LeaveObject(), kSecond);
  EsysHostTpm next(Options());
  ASSERT_THAT(next.Provision(), IsOk());
  EXPECT_THAT(swtpm_.Handles(kPersistent), Contains(kSecond));
  EXPECT_THAT(
      next.RotateKey(KeyPurpose::kConfig),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0x81010109")));
  EXPECT_EQ(StateOf(next, 1), State::kActive);
  EXPECT_THAT(QuoteOn(next), IsOk());
}

TEST_F(EsysKeyEpochs, KeyThatCannotBePinnedIsNotUsed) {
  EsysHostTpmOptions options = Options();
  const auto folder = dir_.path() / "state";
  std::filesystem::create_directory(folder);
  options.pin_file = folder / "tpm.json";
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const Quote before, QuoteOn(tpm));
  std::filesystem::rename(folder, dir_.path() / "away");
  EXPECT_FALSE(tpm.RotateKey(KeyPurpose::kConfig).ok());
  ASSERT_OK_AND_ASSIGN(const Quote after, QuoteOn(tpm));
  EXPECT_EQ(after.key_name, before.key_name);
  EXPECT_EQ(StateOf(tpm, 1), State::kActive);
  std::filesystem::rename(dir_.path() / "away", folder);
  EXPECT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
}

TEST_F(EsysKeyEpochs, OverlapThatFillsAllPlacesMustBeRetiredFirst) {
  EsysHostTpmOptions options = Options();
  options.purposes = {KeyPurpose::kConfig};
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  for (uint32_t i = 1; i < kEpochSlots; ++i) {
    ASSERT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk()) << i;
  }
  EXPECT_THAT(tpm.RotateKey(KeyPurpose::kConfig),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("retire key config/1 first")));
  ASSERT_THAT(tpm.RetireKey(KeyPurpose::kConfig, 1), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto key, tpm.RotateKey(KeyPurpose::kConfig));
  EXPECT_EQ(key.epoch, kEpochSlots + 1);
  // Its handle was the first epoch's, which stays gone all the same.
  EXPECT_THAT(swtpm_.Handles(kPersistent), Contains(kFirst));
  EsysHostTpmOptions again = Options();
  again.purposes = {KeyPurpose::kConfig};
  EsysHostTpm next(std::move(again));
  ASSERT_THAT(next.Provision(), IsOk());
  EXPECT_THAT(swtpm_.Handles(kPersistent), Contains(kFirst));
  EXPECT_THAT(QuoteOn(next), IsOk());
}

TEST_F(EsysKeyEpochs, FullTpmIsSaidWithWhatCouldBeRemoved) {
  EsysHostTpmOptions options = Options();
  options.purposes = {KeyPurpose::kConfig};
  EsysHostTpm tpm(std::move(options));
  ASSERT_THAT(tpm.Provision(), IsOk());
  const uint32_t object = swtpm_.LeaveObject();
  const std::string fill =
      fmt::format("tpm2_evictcontrol -T {} -c {:#x}", swtpm_.tcti(), object);
  uint32_t handle = 0x81020000;
  while (TryRun(fmt::format("{} {:#x}", fill, handle)) == 0) {
    ASSERT_LT(++handle, 0x81020400U);
  }
  RunTool("tpm2_flushcontext", fmt::format("{:#x}", object));
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(
        tpm.RotateKey(KeyPurpose::kConfig),
        StatusIs(absl::StatusCode::kResourceExhausted,
                 ::testing::AllOf(HasSubstr("no room"), HasSubstr("0x81020000"),
                                  HasSubstr("tpm2_evictcontrol"))));
  }
  EXPECT_THAT(QuoteOn(tpm), IsOk());
  EXPECT_THAT(swtpm_.Handles(kTransient), IsEmpty());
  Evict(0x81020000);
  EXPECT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
}

TEST_F(EsysKeyEpochs, OwnerAuthorisationThatIsWrongIsNoAlarm) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  RunTool("tpm2_changeauth", "-c owner changed");
  EXPECT_THAT(tpm.RotateKey(KeyPurpose::kConfig),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("refuses the authorisation")));
  EXPECT_THAT(QuoteOn(tpm), IsOk());
}

// The power goes at each command of a rotation, revocation and retirement, once
// before the TPM sees it and once before we see the answer.
TEST_F(EsysKeyEpochs, PowerCutAtAnyCommandLeavesOneActiveKeyAndNoStray) {
  testing::TpmProxy proxy(swtpm_.socket());
  const auto options = [&] {
    EsysHostTpmOptions through = Options();
    through.tcti = proxy.tcti();
    through.purposes = {KeyPurpose::kConfig};
    return through;
  };
  const uint32_t codes[] = {testing::kTpmCcCreatePrimary,
                            testing::kTpmCcEvictControl,
                            testing::kTpmCcStartAuthSession,
                            testing::kTpmCcCertify, testing::kTpmCcReadPublic};
  for (const bool executed : {false, true}) {
    for (const uint32_t code : codes) {
      EsysHostTpm tpm(options());
      ASSERT_THAT(tpm.Provision(), IsOk());
      ASSERT_OK_AND_ASSIGN(auto before, tpm.ListKeys());
      const uint32_t epoch =
          FindActive(before, KeyPurpose::kConfig)->certification.epoch;
      if (executed) {
        proxy.AlterAnswer(code, [&](Bytes& answer) {
          swtpm_.Kill();
          answer = NotStarted();
        });
      } else {
        proxy.AlterCommand(code, [&](Bytes&) { swtpm_.Kill(); });
      }
      EXPECT_FALSE(tpm.RevokeKey(KeyPurpose::kConfig, epoch).ok());
      proxy.Behave();
      swtpm_.Start();
      EsysHostTpm next(options());
      ASSERT_THAT(next.Provision(), IsOk()) << code;
      ASSERT_OK_AND_ASSIGN(auto keys, next.ListKeys());
      ASSERT_NE(FindActive(keys, KeyPurpose::kConfig), nullptr);
      const auto kept = std::count_if(keys.begin(), keys.end(), IsKept);
      EXPECT_THAT(swtpm_.Handles(kPersistent),
                  SizeIs(static_cast<size_t>(kept) + 1))
          << code;
      EXPECT_THAT(QuoteOn(next), IsOk());
      // What was begun can be finished.
      ASSERT_THAT(next.RevokeKey(KeyPurpose::kConfig, epoch), IsOk()) << code;
      EXPECT_THAT(swtpm_.Handles(kPersistent), SizeIs(2)) << code;
    }
  }
}

TEST_F(EsysKeyEpochs, NobodyWithoutTheAuthorisationUsesARotatedKey) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
  EXPECT_NE(swtpm_.TryQuote(kSecond, ""), 0U);
}

TEST_F(EsysKeyEpochs, IdentityListsRetiredKeysAndNotRevokedOnes) {
  EsysHostTpm tpm(Options());
  ASSERT_THAT(tpm.Provision(), IsOk());
  ASSERT_THAT(tpm.RotateKey(KeyPurpose::kConfig), IsOk());
  ASSERT_THAT(tpm.RetireKey(KeyPurpose::kConfig, 1), IsOk());
  ASSERT_THAT(tpm.RevokeKey(KeyPurpose::kConfig, 2), IsOk());
  EsysHostTpm next(Options());
  ASSERT_THAT(next.Provision(), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto identity, next.GetIdentity());
  std::vector<uint32_t> epochs;
  for (const auto& key : identity.keys) {
    if (key.purpose == KeyPurpose::kConfig) {
      epochs.push_back(key.epoch);
    }
  }
  EXPECT_EQ(epochs, std::vector<uint32_t>({1, 3}));
  ASSERT_THAT(identity.revocations, SizeIs(1));
  EXPECT_EQ(identity.revocations[0].epoch, 2U);
}

}  // namespace
}  // namespace vmattest::tpm
