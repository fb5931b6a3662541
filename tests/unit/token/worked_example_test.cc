// docs/formats/attestation-result.md says what the code does.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/strict_json.h"
#include "sample.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "token/claims.h"

namespace vmattest::token {
namespace {

// The lines of the first block "```LANGUAGE".
std::vector<std::string> Block(std::string_view language) {
  std::istringstream lines(testing::Slurp(VMATTEST_RESULT_DOC));
  const std::string fence = "```" + std::string(language);
  std::vector<std::string> block;
  std::string line;
  while (std::getline(lines, line) && line != fence) {
  }
  while (std::getline(lines, line) && line != "```") {
    block.push_back(line);
  }
  return block;
}

std::string Joined(std::string_view language) {
  std::string text;
  for (const std::string& line : Block(language)) {
    text += line;
  }
  return text;
}

TEST(WorkedExample, TokenIsGenuineByItsKeyAndSaysTheClaims) {
  ASSERT_OK_AND_ASSIGN(const VerificationKey key,
                       VerificationKey::FromJwk(Joined("jwk")));
  EXPECT_EQ(key.ToJwk(), Joined("jwk"));
  const OpenedEar opened = VerifyEar(Joined("jwt"), std::span(&key, 1),
                                     {.now = kNow,
                                      .nonce = SampleEar().nonce,
                                      .profile = std::string(kProfile),
                                      .require_expiry = true});
  ASSERT_EQ(CodeOf(opened), "trusted");
  ASSERT_OK_AND_ASSIGN(const nlohmann::json claims,
                       ParseStrictJson(Joined("json")));
  EXPECT_EQ(EncodeClaims(opened.ear), CanonicalJson(claims));
  EXPECT_EQ(EncodeClaims(SampleEar()), CanonicalJson(claims));
}

TEST(WorkedExample, EveryReasonCodeIsInTheTable) {
  std::istringstream lines(testing::Slurp(VMATTEST_RESULT_DOC));
  std::vector<std::string> codes;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("| `token-")) {
      codes.push_back(line.substr(3, line.find('`', 3) - 3));
    }
  }
  EXPECT_THAT(codes,
              ::testing::ElementsAre(
                  "token-malformed", "token-algorithm", "token-key-unknown",
                  "token-signature", "token-claims", "token-expired",
                  "token-not-yet", "token-nonce", "token-profile"));
}

}  // namespace
}  // namespace vmattest::token
