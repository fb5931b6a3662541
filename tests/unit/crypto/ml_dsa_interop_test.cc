// Against @noble/post-quantum, an ML-DSA in JavaScript that shares no code with
// OpenSSL (tests/support/noble).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "crypto/ml_dsa.h"
#include "support/matchers.h"
#include "support/run_command.h"

namespace vmattest {
namespace {

using testing::RunCommand;

constexpr std::string_view kContext = "vmattest/test/v1";

class MlDsaInterop : public ::testing::TestWithParam<MlDsaLevel> {
 protected:
  static void SetUpTestSuite() {
    setup_ = RunCommand({VMATTEST_NPM_SETUP, VMATTEST_NOBLE_SOURCE,
                         VMATTEST_NOBLE_DIR})
                 .status();
  }

  void SetUp() override {
    if (!setup_.ok()) {
      GTEST_SKIP() << "no @noble/post-quantum: " << setup_.ToString();
    }
    ASSERT_OK_AND_ASSIGN(
        MlDsaKey key,
        MlDsaKey::FromSeed(GetParam(), SecretBytes(Bytes(seed_))));
    key_.emplace(std::move(key));
  }

  // What `ml_dsa.js OPERATION LEVEL ARGUMENTS...` prints.
  static std::string Noble(std::string_view operation,
                           const std::vector<ByteView>& arguments) {
    std::vector<std::string> words = {
        "node", VMATTEST_NOBLE_DIR "/ml_dsa.js", std::string(operation),
        GetParam() == MlDsaLevel::k65 ? "65" : "87"};
    for (const ByteView argument : arguments) {
      words.push_back(ToHex(argument));
    }
    absl::StatusOr<std::string> output = RunCommand(words);
    EXPECT_TRUE(output.ok()) << output.status().ToString();
    if (!output.ok() || output->empty()) {
      return "";
    }
    output->pop_back();
    return *output;
  }

  static inline absl::Status setup_ = absl::UnknownError("not run");
  Bytes seed_ = RandomBytes(kMlDsaSeedSize);
  Bytes message_ = RandomBytes(777);
  std::optional<MlDsaKey> key_;
};
INSTANTIATE_TEST_SUITE_P(Levels, MlDsaInterop,
                         ::testing::ValuesIn(kAllMlDsaLevels),
                         [](const auto& level) {
                           return std::string(
                               level.param == MlDsaLevel::k65 ? "65" : "87");
                         });

TEST_P(MlDsaInterop, TheSameSeedGivesTheSamePublicKey) {
  EXPECT_EQ(Noble("public", {seed_}), ToHex(key_->public_key()));
}

TEST_P(MlDsaInterop, TheyAcceptOurSignatures) {
  ASSERT_OK_AND_ASSIGN(const Bytes signature, key_->Sign(message_, kContext));
  EXPECT_EQ(Noble("verify",
                  {key_->public_key(), AsBytes(kContext), message_, signature}),
            "true");
}

TEST_P(MlDsaInterop, TheyRejectOurSignaturesOverSomethingElse) {
  ASSERT_OK_AND_ASSIGN(const Bytes signature, key_->Sign(message_, kContext));
  Bytes other = message_;
  other[0] ^= 1;
  EXPECT_EQ(Noble("verify",
                  {key_->public_key(), AsBytes(kContext), other, signature}),
            "false");
  EXPECT_EQ(Noble("verify", {key_->public_key(), AsBytes("another context"),
                             message_, signature}),
            "false");
}

TEST_P(MlDsaInterop, WeAcceptTheirSignatures) {
  ASSERT_OK_AND_ASSIGN(
      const Bytes signature,
      ParseHex(Noble("sign", {seed_, AsBytes(kContext), message_})));
  ASSERT_OK_AND_ASSIGN(const MlDsaPublicKey key,
                       MlDsaPublicKey::Parse(GetParam(), key_->public_key()));
  EXPECT_TRUE(key.Verify(message_, kContext, signature));
  EXPECT_FALSE(key.Verify(message_, "another context", signature));
  message_[0] ^= 1;
  EXPECT_FALSE(key.Verify(message_, kContext, signature));
}

}  // namespace
}  // namespace vmattest
