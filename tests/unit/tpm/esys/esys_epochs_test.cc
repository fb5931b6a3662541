#include "tpm/esys/esys_epochs.h"

#include <set>

#include "gtest/gtest.h"

namespace vmattest::tpm {
namespace {

constexpr uint32_t kBase = 0x81010100;
constexpr KeyPurpose kPurposes[] = {
    KeyPurpose::kConfig,   KeyPurpose::kState,  KeyPurpose::kProfile,
    KeyPurpose::kLiveness, KeyPurpose::kLedger, KeyPurpose::kAuthorization};

KeyEpoch Key(KeyPurpose purpose, uint32_t epoch, KeyEpoch::State state) {
  KeyEpoch key;
  key.certification.purpose = purpose;
  key.certification.epoch = epoch;
  key.state = state;
  return key;
}

TEST(EpochHandle, FirstEpochsAreRightAfterTheAk) {
  EXPECT_EQ(EpochHandle(kBase, KeyPurpose::kConfig, 1), kBase + 1);
  EXPECT_EQ(EpochHandle(kBase, KeyPurpose::kAuthorization, 1), kBase + 6);
  EXPECT_EQ(EpochHandle(kBase, KeyPurpose::kConfig, 2), kBase + 9);
}

TEST(EpochHandle, EightEpochsOfSixPurposesShareNoHandle) {
  std::set<uint32_t> handles;
  for (const KeyPurpose purpose : kPurposes) {
    for (uint32_t epoch = 100; epoch < 100 + kEpochSlots; ++epoch) {
      const uint32_t handle = EpochHandle(kBase, purpose, epoch);
      EXPECT_GT(handle, kBase);
      EXPECT_LT(handle, kBase + kKeyHandles);
      handles.insert(handle);
    }
  }
  EXPECT_EQ(handles.size(), 6U * kEpochSlots);
}

TEST(EpochHandle, NinthEpochTakesTheFirstOnesPlace) {
  EXPECT_EQ(EpochHandle(kBase, KeyPurpose::kState, 1 + kEpochSlots),
            EpochHandle(kBase, KeyPurpose::kState, 1));
  EXPECT_EQ(EpochHandle(kBase, KeyPurpose::kState, 0xFFFFFFFF),
            EpochHandle(kBase, KeyPurpose::kState, 7));
}

TEST(NextEpoch, NeverComesBackToOneThatIsGone) {
  std::vector<KeyEpoch> keys;
  EXPECT_EQ(NextEpoch(keys, KeyPurpose::kConfig), 1U);
  InsertEpoch(keys, Key(KeyPurpose::kConfig, 1, KeyEpoch::State::kRevoked));
  EXPECT_EQ(NextEpoch(keys, KeyPurpose::kConfig), 2U);
  EXPECT_EQ(NextEpoch(keys, KeyPurpose::kState), 1U);
}

TEST(InsertEpoch, KeepsThemByPurposeThenByEpoch) {
  std::vector<KeyEpoch> keys;
  InsertEpoch(keys, Key(KeyPurpose::kState, 1, KeyEpoch::State::kActive));
  InsertEpoch(keys, Key(KeyPurpose::kConfig, 1, KeyEpoch::State::kOverlap));
  InsertEpoch(keys, Key(KeyPurpose::kConfig, 2, KeyEpoch::State::kActive));
  ASSERT_EQ(keys.size(), 3U);
  EXPECT_EQ(keys[1].certification.epoch, 2U);
  EXPECT_EQ(keys[2].certification.purpose, KeyPurpose::kState);
  EXPECT_EQ(FindActive(keys, KeyPurpose::kConfig), &keys[1]);
  EXPECT_EQ(FindActive(keys, KeyPurpose::kLedger), nullptr);
  EXPECT_EQ(FindEpoch(keys, KeyPurpose::kConfig, 1), &keys[0]);
  EXPECT_EQ(FindEpoch(keys, KeyPurpose::kConfig, 3), nullptr);
}

TEST(ListedKeys, LeavesOutRevokedOnesAndOfTooManyTheOldestThatAreGone) {
  std::vector<KeyEpoch> keys;
  const auto add = [&](uint32_t epoch, KeyEpoch::State state, int64_t since) {
    KeyEpoch key = Key(KeyPurpose::kConfig, epoch, state);
    key.since_unix_ms = since;
    InsertEpoch(keys, std::move(key));
  };
  add(1, KeyEpoch::State::kOverlap, 10);
  add(2, KeyEpoch::State::kRetired, 30);
  add(3, KeyEpoch::State::kRetired, 20);
  add(4, KeyEpoch::State::kRevoked, 50);
  add(5, KeyEpoch::State::kActive, 40);
  const auto epochs = [&](size_t max) {
    std::vector<uint32_t> list;
    for (const auto& key : ListedKeys(keys, max)) {
      list.push_back(key.epoch);
    }
    return list;
  };
  EXPECT_EQ(epochs(9), std::vector<uint32_t>({1, 2, 3, 5}));
  EXPECT_EQ(epochs(3), std::vector<uint32_t>({1, 2, 5}));
  EXPECT_EQ(epochs(2), std::vector<uint32_t>({1, 5}));
}

}  // namespace
}  // namespace vmattest::tpm
