#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "evidence/tpm_structures.h"
#include "support/matchers.h"
#include "support/vectors.h"

// Quotes that real and virtual TPMs made. All are signed with RSA, which
// evidence of ours never is, so their signatures are refused as such.

namespace vmattest::evidence {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using testing::Slurp;
using testing::StatusIs;

uint16_t AlgorithmId(const std::string& name) {
  return name == "sha1" ? 0x0004 : name == "sha256" ? 0x000B : 0x000C;
}

template <class T>
T FromHexNumber(const json& text) {
  return static_cast<T>(std::stoull(text.get<std::string>(), nullptr, 16));
}

void ExpectSame(const Attest& attest, const json& expected) {
  EXPECT_EQ(attest.magic, FromHexNumber<uint32_t>(expected["magic"]));
  EXPECT_EQ(attest.type, FromHexNumber<uint16_t>(expected["type"]));
  EXPECT_EQ(ToHex(attest.qualified_signer),
            expected["qualified_signer"].get<std::string>());
  EXPECT_EQ(ToHex(attest.extra_data),
            expected["extra_data"].get<std::string>());
  EXPECT_EQ(attest.clock.clock_ms, expected["clock"]);
  EXPECT_EQ(attest.clock.reset_count, expected["reset_count"]);
  EXPECT_EQ(attest.clock.restart_count, expected["restart_count"]);
  EXPECT_EQ(attest.clock.safe, expected["safe"] == 1);
  EXPECT_EQ(attest.firmware_version,
            FromHexNumber<uint64_t>(expected["firmware_version"]));
  EXPECT_EQ(ToHex(attest.pcr_digest),
            expected["pcr_digest"].get<std::string>());
  ASSERT_EQ(attest.pcr_selections.size(), expected["pcr_select"].size());
  for (size_t i = 0; i < attest.pcr_selections.size(); ++i) {
    const json& selection = expected["pcr_select"][i];
    EXPECT_EQ(attest.pcr_selections[i].bank, AlgorithmId(selection["alg"]));
    EXPECT_EQ(json(attest.pcr_selections[i].indexes), selection["pcrs"]);
  }
}

class TpmQuoteVectors : public ::testing::Test {
 protected:
  static Bytes Read(const std::filesystem::path& path) {
    return ToBytes(Slurp(path));
  }
  static std::vector<PcrValues> ReadPcrs(const std::filesystem::path& path) {
    std::vector<PcrValues> banks;
    const json file = json::parse(Slurp(path));
    for (const auto& [name, values] : file.items()) {
      PcrValues bank{.bank = AlgorithmId(name), .values = {}};
      for (const auto& [index, value] : values.items()) {
        bank.values[static_cast<uint32_t>(std::stoul(index))] =
            ParseHex(value.get<std::string>()).value();
      }
      banks.push_back(std::move(bank));
    }
    return banks;
  }
};

TEST_F(TpmQuoteVectors, AreReadAsDescribed) {
  VMATTEST_REQUIRE_VECTORS(folder, "tpm-quote");
  const json cases = json::parse(Slurp(folder / "expected.json"));
  ASSERT_GE(cases.size(), 6u);
  for (const json& one : cases) {
    const std::string id = one["id"];
    SCOPED_TRACE(id);
    const Bytes bytes = Read(folder / id / "attest.bin");
    ASSERT_OK_AND_ASSIGN(const Attest attest, ParseAttest(bytes));
    ExpectSame(attest, one["attest"]);
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(ParseAttest(ByteView(bytes).first(size)).ok());
    }
    EXPECT_THAT(ParseEcdsaSignature(Read(folder / id / "signature.bin")),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_F(TpmQuoteVectors, PcrValuesGiveTheDigestAndChangedOnesDoNot) {
  VMATTEST_REQUIRE_VECTORS(folder, "tpm-quote");
  int checked = 0;
  for (const json& one : json::parse(Slurp(folder / "expected.json"))) {
    const std::string id = one["id"];
    if (!one.contains("pcrs_match_quote_digest") ||
        one["signature_hash"] != "sha256") {
      continue;
    }
    SCOPED_TRACE(id);
    ASSERT_OK_AND_ASSIGN(const Attest attest,
                         ParseAttest(Read(folder / id / "attest.bin")));
    std::vector<PcrValues> banks = ReadPcrs(folder / id / "pcrs.json");
    ASSERT_OK_AND_ASSIGN(const Bytes digest,
                         PcrDigest(0x000B, attest.pcr_selections, banks));
    EXPECT_EQ(digest, attest.pcr_digest);
    for (const uint32_t index : attest.pcr_selections[0].indexes) {
      std::vector<PcrValues> changed = banks;
      changed[0].values[index][0] ^= 1;
      EXPECT_NE(PcrDigest(0x000B, attest.pcr_selections, changed).value(),
                attest.pcr_digest);
    }
    ++checked;
  }
  EXPECT_GE(checked, 4);
}

TEST_F(TpmQuoteVectors, AttestationOfACreationIsNoQuote) {
  VMATTEST_REQUIRE_VECTORS(folder, "tpm-quote");
  ASSERT_OK_AND_ASSIGN(const Attest creation,
                       ParseAttest(Read(folder / "windows-gcp-shielded-vm" /
                                        "create_attestation.bin")));
  EXPECT_EQ(creation.type, kTpmStAttestCreation);
  EXPECT_FALSE(creation.created_name.empty());
  EXPECT_TRUE(creation.pcr_selections.empty());
}

TEST_F(TpmQuoteVectors, NamesOfRealKeys) {
  VMATTEST_REQUIRE_VECTORS(folder, "tpm-quote");
  const std::filesystem::path keylime = folder / "keylime-emulator";
  const Bytes ak = Read(keylime / "ak.tpm2b_public.bin");
  ASSERT_OK_AND_ASSIGN(const Bytes name, NameOf(ak));
  EXPECT_EQ(name, Read(keylime / "ak.name"));
  EXPECT_THAT(ParseEccPublic(ak), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("not ECC")));
}

}  // namespace
}  // namespace vmattest::evidence
