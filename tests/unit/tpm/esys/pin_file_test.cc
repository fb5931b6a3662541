#include "tpm/esys/pin_file.h"

#include <sys/stat.h>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::tpm {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

using State = KeyEpoch::State;

KeyEpoch SomeKey(KeyPurpose purpose, uint32_t epoch, State state) {
  return {.certification = {.purpose = purpose,
                            .epoch = epoch,
                            .public_area = Bytes(90, 3),
                            .certify_info = Bytes(120, 4),
                            .signature = Bytes(72, 5)},
          .state = state,
          .since_unix_ms = 1'700'000'000'000 + epoch};
}

// As it was before there were epochs.
constexpr std::string_view kFirstVersion = R"({
  "ak_name": "000b49f4",
  "ek_name": "000b657a",
  "ek_template": "L-2",
  "keys": [
    {
      "certify_info": "ff544347",
      "epoch": 1,
      "public": "00580023",
      "purpose": "config",
      "signature": "0018000b"
    }
  ],
  "last_clock": {
    "clock_ms": 191,
    "reset_count": 1,
    "restart_count": 0
  },
  "version": 1
}
)";

TpmPin SomePin() {
  TpmPin pin;
  pin.ek_template = "L-2";
  pin.ek_name = Bytes(34, 1);
  pin.ak_name = Bytes(34, 2);
  pin.keys = {SomeKey(KeyPurpose::kConfig, 1, State::kRevoked),
              SomeKey(KeyPurpose::kConfig, 2, State::kRetired),
              SomeKey(KeyPurpose::kConfig, 3, State::kOverlap),
              SomeKey(KeyPurpose::kConfig, 4, State::kActive),
              SomeKey(KeyPurpose::kState, 1, State::kActive)};
  pin.revocations = {{.purpose = KeyPurpose::kConfig,
                      .epoch = 1,
                      .key_name = Bytes(34, 6),
                      .certify_info = Bytes(120, 7),
                      .signature = Bytes(72, 8)}};
  pin.log_index = Bytes(16, 9);
  pin.last_clock = {
      .clock_ms = 1234567890123, .reset_count = 7, .restart_count = 1};
  return pin;
}

TEST(PinFile, ReadsBackWhatItStored) {
  const TempDir dir;
  const auto path = dir.path() / "tpm.json";
  ASSERT_THAT(StorePin(path, SomePin()), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::optional<TpmPin> pin, LoadPin(path));
  ASSERT_TRUE(pin.has_value());
  EXPECT_EQ(EncodePin(*pin), EncodePin(SomePin()));
  EXPECT_EQ(pin->last_clock, SomePin().last_clock);
  ASSERT_EQ(pin->keys.size(), 5U);
  EXPECT_EQ(pin->keys[2].state, State::kOverlap);
  EXPECT_EQ(pin->keys[2].since_unix_ms, 1'700'000'000'003);
  EXPECT_EQ(pin->keys[4].certification.purpose, KeyPurpose::kState);
  ASSERT_EQ(pin->revocations.size(), 1U);
  EXPECT_EQ(pin->revocations[0].key_name, Bytes(34, 6));
  EXPECT_EQ(pin->log_index, Bytes(16, 9));
}

TEST(PinFile, FirstVersionHasOneActiveEpochAndNoLog) {
  ASSERT_OK_AND_ASSIGN(const TpmPin pin, ParsePin(AsBytes(kFirstVersion)));
  ASSERT_EQ(pin.keys.size(), 1U);
  EXPECT_EQ(pin.keys[0].state, State::kActive);
  EXPECT_EQ(pin.keys[0].certification.epoch, 1U);
  EXPECT_EQ(pin.keys[0].certification.signature, Bytes({0, 0x18, 0, 0x0B}));
  EXPECT_TRUE(pin.revocations.empty());
  EXPECT_TRUE(pin.log_index.empty());
  EXPECT_EQ(pin.last_clock.clock_ms, 191U);
}

TEST(PinFile, TwoActiveEpochsOfAPurposeAreRefused) {
  TpmPin pin = SomePin();
  pin.keys[2].state = State::kActive;
  EXPECT_THAT(ParsePin(AsBytes(EncodePin(pin))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("keys")));
}

TEST(PinFile, EpochThatIsThereTwiceOrOutOfOrderIsRefused) {
  TpmPin twice = SomePin();
  twice.keys[1] = twice.keys[0];
  EXPECT_FALSE(ParsePin(AsBytes(EncodePin(twice))).ok());
  TpmPin unordered = SomePin();
  std::swap(unordered.keys[0], unordered.keys[1]);
  EXPECT_FALSE(ParsePin(AsBytes(EncodePin(unordered))).ok());
}

TEST(PinFile, EpochZeroIsRefused) {
  TpmPin pin = SomePin();
  pin.keys[0].certification.epoch = 0;
  EXPECT_THAT(ParsePin(AsBytes(EncodePin(pin))),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("epoch")));
}

TEST(PinFile, IsForItsOwnerOnly) {
  const TempDir dir;
  const auto path = dir.path() / "tpm.json";
  ASSERT_THAT(StorePin(path, SomePin()), IsOk());
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST(PinFile, MissingFileIsNoPin) {
  const TempDir dir;
  ASSERT_OK_AND_ASSIGN(const std::optional<TpmPin> pin,
                       LoadPin(dir.path() / "none.json"));
  EXPECT_FALSE(pin.has_value());
}

TEST(PinFile, DamagedFileIsNamedAndNeverTakenForNone) {
  TempDir dir;
  const auto path = dir.Write("tpm.json", "{\"version\": 1");
  EXPECT_THAT(LoadPin(path), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      HasSubstr(path.string())));
}

TEST(PinFile, EveryTruncationIsRefused) {
  const std::string text = EncodePin(SomePin());
  for (size_t size = 0; size + 2 < text.size(); ++size) {
    EXPECT_FALSE(ParsePin(AsBytes(text.substr(0, size))).ok()) << size;
  }
}

TEST(PinFile, MissingOrWrongElementIsNamed) {
  const std::string text = EncodePin(SomePin());
  for (const char* element :
       {"ek_template", "ek_name", "ak_name", "keys", "purpose", "epoch",
        "public", "certify_info", "signature", "last_clock", "clock_ms",
        "reset_count", "restart_count", "version", "state", "since_unix_ms",
        "revocations", "key_name"}) {
    std::string wrong = text;
    wrong.replace(wrong.find(fmt::format("\"{}\":", element)) + 1, 1, "X");
    EXPECT_THAT(
        ParsePin(AsBytes(wrong)),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(element)));
  }
}

TEST(PinFile, LaterVersionIsRefused) {
  std::string text = EncodePin(SomePin());
  const size_t at = text.find("\"version\": 2");
  text.replace(at, 12, "\"version\": 3");
  EXPECT_THAT(
      ParsePin(AsBytes(text)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("version 3")));
}

TEST(ClockFollows, IsLexicographic) {
  const TpmClock base = {.clock_ms = 100, .reset_count = 5, .restart_count = 2};
  EXPECT_TRUE(ClockFollows(base, base));
  EXPECT_TRUE(ClockFollows(base, {101, 5, 2}));
  EXPECT_TRUE(ClockFollows(base, {1, 5, 3}));
  EXPECT_TRUE(ClockFollows(base, {1, 6, 0}));
  EXPECT_FALSE(ClockFollows(base, {99, 5, 2}));
  EXPECT_FALSE(ClockFollows(base, {1000, 5, 1}));
  EXPECT_FALSE(ClockFollows(base, {1000, 4, 9}));
}

}  // namespace
}  // namespace vmattest::tpm
