#include "tpm/esys/pin_file.h"

#include <sys/stat.h>

#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::tpm {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

TpmPin SomePin() {
  TpmPin pin;
  pin.ek_template = "L-2";
  pin.ek_name = Bytes(34, 1);
  pin.ak_name = Bytes(34, 2);
  pin.keys = {{.purpose = KeyPurpose::kConfig,
               .epoch = 1,
               .public_area = Bytes(90, 3),
               .certify_info = Bytes(120, 4),
               .signature = Bytes(72, 5)}};
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
        "reset_count", "restart_count", "version"}) {
    std::string wrong = text;
    wrong.replace(wrong.find(element), 1, "X");
    EXPECT_THAT(
        ParsePin(AsBytes(wrong)),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(element)));
  }
}

TEST(PinFile, LaterVersionIsRefused) {
  std::string text = EncodePin(SomePin());
  const size_t at = text.find("\"version\": 1");
  text.replace(at, 12, "\"version\": 2");
  EXPECT_THAT(
      ParsePin(AsBytes(text)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("version 2")));
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
