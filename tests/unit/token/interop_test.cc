// Against npm's jose and @noble/post-quantum, which share no code with us or
// OpenSSL's JWTs (tests/support/jose).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strict_json.h"
#include "sample.h"
#include "support/matchers.h"
#include "support/run_command.h"
#include "token/claims.h"

namespace vmattest::token {
namespace {

using nlohmann::json;
using testing::RunCommand;
using ::testing::StartsWith;

class TokenInterop : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    setup_ = RunCommand(
                 {VMATTEST_NPM_SETUP, VMATTEST_JOSE_SOURCE, VMATTEST_JOSE_DIR})
                 .status();
  }
  void SetUp() override {
    if (!setup_.ok()) {
      GTEST_SKIP() << "no npm packages: " << setup_.ToString();
    }
  }

  // What `jose.js ARGUMENTS...` prints.
  static std::string Jose(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {"node", VMATTEST_JOSE_DIR "/jose.js"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    absl::StatusOr<std::string> output = RunCommand(words);
    EXPECT_TRUE(output.ok()) << output.status().ToString();
    if (!output.ok() || output->empty()) {
      return "";
    }
    output->pop_back();
    return *output;
  }

  static void TheyAccept(const VerificationKey& key, const std::string& jwt) {
    EXPECT_EQ(Jose({"thumbprint", key.ToJwk()}), key.key_id());
    const std::string claims = Jose({"verify", key.ToJwk(), jwt});
    ASSERT_THAT(claims, StartsWith("{"));
    EXPECT_EQ(json::parse(claims), json::parse(EncodeClaims(SampleEar())));
    std::string changed = jwt;
    changed[changed.size() - 20] ^= 1;
    EXPECT_THAT(Jose({"verify", key.ToJwk(), changed}), StartsWith("refused"));
  }

  static void WeAccept(const std::string& algorithm) {
    const std::string claims = EncodeClaims(SampleEar());
    const json signed_by_them = json::parse(Jose({"sign", algorithm, claims}));
    ASSERT_OK_AND_ASSIGN(
        const VerificationKey key,
        VerificationKey::FromJwk(signed_by_them["jwk"].dump()));
    EXPECT_EQ(key.algorithm(), algorithm);
    const std::string jwt = signed_by_them["token"];
    const OpenedEar opened = VerifyEar(jwt, std::span(&key, 1), {.now = kNow});
    ASSERT_EQ(CodeOf(opened), "trusted");
    EXPECT_EQ(EncodeClaims(opened.ear), claims);
    std::string changed = jwt;
    changed[changed.size() - 20] ^= 1;
    EXPECT_NE(CodeOf(VerifyEar(changed, std::span(&key, 1), {.now = kNow})),
              "trusted");
  }

  static inline absl::Status setup_ = absl::UnknownError("not run");
};

TEST_F(TokenInterop, JoseAcceptsOurEs256) {
  const TokenSigner signer(EcPrivateKey::Generate());
  TheyAccept(signer.keys()[0], signer.SignEs256(SampleEar()));
}

TEST_F(TokenInterop, WeAcceptJosesEs256) { WeAccept("ES256"); }

TEST_F(TokenInterop, WeAcceptJosesEs384) { WeAccept("ES384"); }

TEST_F(TokenInterop, NobleAcceptsOurMlDsa) {
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    ASSERT_OK_AND_ASSIGN(MlDsaKey key,
                         MlDsaKey::FromSeed(level, GenerateMlDsaSeed()));
    const TokenSigner signer(EcPrivateKey::Generate(), std::move(key));
    ASSERT_OK_AND_ASSIGN(const std::string jwt, signer.SignMlDsa(SampleEar()));
    TheyAccept(signer.keys()[1], jwt);
  }
}

TEST_F(TokenInterop, WeAcceptNoblesMlDsa65) { WeAccept("ML-DSA-65"); }

TEST_F(TokenInterop, WeAcceptNoblesMlDsa87) { WeAccept("ML-DSA-87"); }

}  // namespace
}  // namespace vmattest::token
