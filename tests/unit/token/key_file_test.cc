#include "token/key_file.h"

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::token {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempDir;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(KeyFileTest, JwkSetJwkAndPemAreTheSameKey) {
  const EcPrivateKey made = EcPrivateKey::Generate();
  const VerificationKey key = VerificationKey::FromEc(made.public_key());
  ASSERT_OK_AND_ASSIGN(const std::string pem, ToPem(made.public_key()));
  const VerificationKey keys[] = {key};
  for (const std::string& text : {ToJwkSet(keys), key.ToJwk(), pem}) {
    ASSERT_OK_AND_ASSIGN(const auto parsed, ParseKeyFile(text));
    ASSERT_EQ(parsed.size(), 1U);
    EXPECT_EQ(parsed.front().key_id(), key.key_id()) << text;
  }
}

TEST(KeyFileTest, AFileWithoutAUsableKeyPinsNothingAndSaysSo) {
  const EcPrivateKey made = EcPrivateKey::Generate();
  const SecretBytes secret = made.ToPem();
  const std::string private_key(AsText(secret.Reveal(SecretAccess())));
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("[]"),
        std::string(R"({"keys":[]})"), std::string(R"({"keys":7})"),
        std::string(R"({"kty":"RSA","n":"AQAB","e":"AQAB"})"),
        std::string("-----BEGIN PUBLIC KEY-----\nAAAA\n"), private_key,
        std::string(kMaxJwkSetSize + 1, ' ')}) {
    EXPECT_THAT(ParseKeyFile(text), StatusIs(kInvalid)) << text.substr(0, 64);
  }
}

TEST(KeyFileTest, ErrorsNameTheFile) {
  TempDir dir;
  EXPECT_THAT(LoadKeyFile(dir.path() / "none"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(LoadKeyFile(dir.Write("keys.json", "{}")),
              StatusIs(kInvalid, HasSubstr("keys.json")));
}

}  // namespace
}  // namespace vmattest::token
