// What every adapter of verification::ResultKeys must do; and what files do
// beside that.
#include <filesystem>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/file.h"
#include "fakes/fake_result_keys.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "verifierd/result_key_files.h"

namespace vmattest::verifierd {
namespace {

namespace fs = std::filesystem;

using testing::FakeResultKeys;
using testing::IsOk;
using testing::StatusIs;
using verification::ResultKeys;
using State = ResultKeys::State;
using Step = ResultKeys::Step;

using MakeKeys = std::function<std::unique_ptr<ResultKeys>(const fs::path&)>;

std::vector<State> StatesOf(const ResultKeys& keys) {
  std::vector<State> states;
  for (const ResultKeys::Key& key : keys.List()) {
    states.push_back(key.state);
  }
  return states;
}

std::string Sign(const ResultKeys& keys) {
  token::Ear ear;
  ear.profile = std::string(token::kProfile);
  ear.issued = SystemClock().Now();
  ear.submodules["vm"] = {};
  return keys.Signer()->SignEs256(ear);
}

bool Verifies(const ResultKeys& keys, const std::string& jwt) {
  return token::VerifyEar(jwt, keys.Published(), {.now = SystemClock().Now()})
      .verdict.trusted();
}

class ResultKeysContract : public ::testing::TestWithParam<MakeKeys> {
 protected:
  testing::TempDir dir_;
  std::unique_ptr<ResultKeys> keys_ = GetParam()(dir_.path());
};

TEST_P(ResultKeysContract, AKeyIsPublishedBeforeItSignsAndUntilItIsRetired) {
  EXPECT_THAT(StatesOf(*keys_), ::testing::ElementsAre(State::kActive));
  const std::string first = Sign(*keys_);
  EXPECT_TRUE(Verifies(*keys_, first));
  ASSERT_THAT(keys_->Rotate(Step::kPrepare), IsOk());
  EXPECT_THAT(StatesOf(*keys_),
              ::testing::ElementsAre(State::kActive, State::kNext));
  const auto fetched = keys_->Published();
  ASSERT_THAT(keys_->Rotate(Step::kActivate), IsOk());
  EXPECT_THAT(StatesOf(*keys_),
              ::testing::ElementsAre(State::kActive, State::kOld));
  const std::string second = Sign(*keys_);
  // Who fetched the set before the exchange can check what came after it.
  EXPECT_TRUE(token::VerifyEar(second, fetched, {.now = SystemClock().Now()})
                  .verdict.trusted());
  EXPECT_TRUE(Verifies(*keys_, first));
  ASSERT_THAT(keys_->Rotate(Step::kRetire), IsOk());
  EXPECT_FALSE(Verifies(*keys_, first));
  EXPECT_TRUE(Verifies(*keys_, second));
}

TEST_P(ResultKeysContract, AStepOutOfTurnChangesNothing) {
  const std::string before = token::ToJwkSet(keys_->Published());
  EXPECT_THAT(keys_->Rotate(Step::kActivate),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(keys_->Rotate(Step::kRetire),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(token::ToJwkSet(keys_->Published()), before);
  ASSERT_THAT(keys_->Rotate(Step::kPrepare), IsOk());
  const std::string prepared = token::ToJwkSet(keys_->Published());
  EXPECT_THAT(keys_->Rotate(Step::kPrepare),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(token::ToJwkSet(keys_->Published()), prepared);
}

TEST_P(ResultKeysContract, OldKeysOfSeveralExchangesStayUntilTheyAreRetired) {
  std::vector<std::string> results;
  for (int i = 0; i < 3; ++i) {
    results.push_back(Sign(*keys_));
    ASSERT_THAT(keys_->Rotate(Step::kPrepare), IsOk());
    ASSERT_THAT(keys_->Rotate(Step::kActivate), IsOk());
  }
  for (const std::string& result : results) {
    EXPECT_TRUE(Verifies(*keys_, result));
  }
}

TEST_P(ResultKeysContract, ASignerThatIsHeldGoesOnSigning) {
  const auto held = keys_->Signer();
  const std::string id = held->keys().front().key_id();
  ASSERT_THAT(keys_->Rotate(Step::kPrepare), IsOk());
  ASSERT_THAT(keys_->Rotate(Step::kActivate), IsOk());
  EXPECT_EQ(held->keys().front().key_id(), id);
  EXPECT_NE(keys_->Signer()->keys().front().key_id(), id);
}

INSTANTIATE_TEST_SUITE_P(
    Adapters, ResultKeysContract,
    ::testing::Values(
        [](const fs::path&) -> std::unique_ptr<ResultKeys> {
          return std::make_unique<FakeResultKeys>();
        },
        [](const fs::path& folder) -> std::unique_ptr<ResultKeys> {
          return *ResultKeyFiles::Open(folder, false);
        }),
    [](const auto& adapter) { return adapter.index == 0 ? "Fake" : "Files"; });

class ResultKeyFilesTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<ResultKeyFiles> Open() const {
    return *ResultKeyFiles::Open(dir_.path(), false);
  }
  testing::TempDir dir_;
};

TEST_F(ResultKeyFilesTest, WhatWasExchangedLastsAndIsPublishedInAFile) {
  auto keys = Open();
  ASSERT_THAT(keys->Rotate(Step::kPrepare), IsOk());
  ASSERT_THAT(keys->Rotate(Step::kActivate), IsOk());
  ASSERT_THAT(keys->Rotate(Step::kPrepare), IsOk());
  const std::string set = token::ToJwkSet(keys->Published());
  const auto states = StatesOf(*keys);
  keys = Open();
  EXPECT_EQ(token::ToJwkSet(keys->Published()), set);
  EXPECT_EQ(StatesOf(*keys), states);
  EXPECT_EQ(std::string(
                AsText(*ReadFile(dir_.path() / "result-keys.json", 1u << 20))),
            set);
}

// Old keys are written down, and the private key is not exchanged yet.
TEST_F(ResultKeyFilesTest, AnActivationThatWasCutShortIsMadeAgain) {
  auto keys = Open();
  ASSERT_THAT(keys->Rotate(Step::kPrepare), IsOk());
  const std::string first = Sign(*keys);
  dir_.Write("old-result-keys.json", token::ToJwkSet(keys->Signer()->keys()));
  keys = Open();
  EXPECT_THAT(StatesOf(*keys),
              ::testing::ElementsAre(State::kActive, State::kNext));
  ASSERT_THAT(keys->Rotate(Step::kActivate), IsOk());
  EXPECT_TRUE(Verifies(*keys, first));
}

TEST_F(ResultKeyFilesTest, AKeyThatOthersMayReadIsRefused) {
  (void)Open();
  fs::permissions(dir_.path() / "result-key.pem", fs::perms(0644));
  EXPECT_THAT(ResultKeyFiles::Open(dir_.path(), false).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace vmattest::verifierd
