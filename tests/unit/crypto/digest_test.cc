#include "crypto/digest.h"

#include <fstream>

#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

using nlohmann::json;
using ::testing::Each;
using ::testing::SizeIs;

Bytes Unhex(const std::string& hex) { return ParseHex(hex).value(); }

TEST(Digest, AgreesWithThePublishedSha2Vectors) {
  VMATTEST_REQUIRE_VECTORS(folder, "sha2");
  size_t checked = 0;
  for (const json& test :
       json::parse(vmattest::testing::Slurp(folder / "sha2.json"))) {
    const std::string name = test["alg"];
    const HashAlgorithm algorithm = name == "SHA256"   ? HashAlgorithm::kSha256
                                    : name == "SHA384" ? HashAlgorithm::kSha384
                                                       : HashAlgorithm::kSha512;
    const Bytes input = Unhex(test["input_hex"]);
    EXPECT_EQ(ToHex(Hash(algorithm, input)),
              test["digest_hex"].get<std::string>());
    ++checked;
  }
  EXPECT_GT(checked, 20u);
}

// FIPS 202's example values: SHA3-256 of the empty string and of "abc".
TEST(Digest, KnowsTheSha3ExampleValues) {
  EXPECT_EQ(ToHex(Hash(HashAlgorithm::kSha3_256, {})),
            "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
  EXPECT_EQ(ToHex(Hash(HashAlgorithm::kSha3_256, AsBytes("abc"))),
            "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532");
}

class EveryAlgorithm : public ::testing::TestWithParam<HashAlgorithm> {};
INSTANTIATE_TEST_SUITE_P(Digest, EveryAlgorithm,
                         ::testing::ValuesIn(kAllHashAlgorithms));

TEST_P(EveryAlgorithm, GivesTheSameDigestHoweverTheInputIsSplit) {
  const Bytes data = RandomBytes(300'000);
  const DigestBytes whole = Hash(GetParam(), data);
  EXPECT_EQ(whole.size(), DigestSize(GetParam()));
  Hasher hasher(GetParam());
  ByteView rest = data;
  for (size_t piece = 0; !rest.empty(); piece = piece * 3 + 1) {
    hasher.Update(rest.first(std::min(piece, rest.size())));
    rest = rest.subspan(std::min(piece, rest.size()));
  }
  EXPECT_EQ(hasher.Finish(), whole);
  const ByteView view = data;
  EXPECT_EQ(HashParts(GetParam(), {view.first(1), {}, view.subspan(1)}), whole);
}

TEST_P(EveryAlgorithm, StartsAnewAfterFinish) {
  Hasher hasher(GetParam());
  hasher.Update(AsBytes("first")).Finish();
  EXPECT_EQ(hasher.Update(AsBytes("second")).Finish(),
            Hash(GetParam(), AsBytes("second")));
  EXPECT_EQ(hasher.Finish(), Hash(GetParam(), {}));
}

TEST_P(EveryAlgorithm, KeepsItsStateWhenMoved) {
  Hasher hasher(GetParam());
  hasher.Update(AsBytes("ab"));
  Hasher moved = std::move(hasher);
  EXPECT_EQ(moved.Update(AsBytes("c")).Finish(),
            Hash(GetParam(), AsBytes("abc")));
}

TEST(Hmac, AgreesWithWycheproof) {
  VMATTEST_REQUIRE_VECTORS(folder, "wycheproof-signatures");
  const json file =
      json::parse(vmattest::testing::Slurp(folder / "hmac_sha256.json"));
  size_t valid = 0;
  for (const json& group : file["testGroups"]) {
    const size_t tag_size = group["tagSize"].get<size_t>() / 8;
    for (const json& test : group["tests"]) {
      const SecretBytes key(Unhex(test["key"]));
      const DigestBytes mac = HmacSha256(key, Unhex(test["msg"]));
      const bool match =
          ConstantTimeEqual(ByteView(mac).first(tag_size), Unhex(test["tag"]));
      EXPECT_EQ(match, test["result"] == "valid") << test["comment"];
      valid += match ? 1 : 0;
    }
  }
  EXPECT_GT(valid, 30u);
}

TEST(Hmac, AcceptsAnEmptyKey) {
  // Computed with Python's hmac module.
  EXPECT_EQ(ToHex(HmacSha256(SecretBytes(), {})),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(RandomBytes, AreAsManyAsAskedAndDiffer) {
  EXPECT_THAT(RandomBytes(0), SizeIs(0));
  EXPECT_THAT(RandomBytes(1000), SizeIs(1000));
  EXPECT_NE(RandomBytes(32), RandomBytes(32));
}

}  // namespace
}  // namespace vmattest
