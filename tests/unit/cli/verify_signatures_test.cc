#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/exit_code.h"
#include "cli/verify_command.h"
#include "crypto/ml_dsa.h"
#include "support/temp_dir.h"
#include "unit/verifier/pq_fixture.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// What `vmattest verify` says about the signatures.
class VerifySignaturesTest : public verifier::PqFixture {
 protected:
  VerifySignaturesTest() {
    builder.ml_dsa = &key_;
    evidence::HostIdentity identity = Identity(fake);
    identity.pq_keys = {SealedKey(fake, "ml-dsa-65", KeyPurpose::kConfig, 1,
                                  key_.public_key())};
    dir_.Write("anchors/host.json", wire::HostIdentityToJson(identity));
    args_.anchors = (dir_.path() / "anchors").string();
  }

  int Run() {
    args_.file = dir_.Write("vm.evidence", AsText(builder.BuildFile()));
    out_.str("");
    std::ostringstream err;
    const int code = RunVerify(args_, out_, err);
    EXPECT_EQ(err.str(), "");
    return code;
  }

  const MlDsaKey key_ =
      MlDsaKey::FromSeed(MlDsaLevel::k65, GenerateMlDsaSeed()).value();
  testing::TempDir dir_;
  VerifyArgs args_;
  std::ostringstream out_;
};

TEST_F(VerifySignaturesTest, PrintsWhatBecameOfEach) {
  EXPECT_EQ(Run(), kExitGood) << out_.str();
  EXPECT_THAT(out_.str(),
              HasSubstr(R"("tpm2-quote" verified, "ml-dsa-65" verified, in)"));
}

TEST_F(VerifySignaturesTest, PutsThemIntoTheJson) {
  args_.json = true;
  EXPECT_EQ(Run(), kExitGood);
  const json signatures = json::parse(out_.str())["claims"]["signatures"];
  EXPECT_EQ(signatures,
            json::parse(R"([{"algorithm": "tpm2-quote", "state": "verified"},
                            {"algorithm": "ml-dsa-65", "state": "verified"}])"));
}

TEST_F(VerifySignaturesTest, RequiresWhatItIsToldTo) {
  args_.require = {"ml-dsa-65"};
  EXPECT_EQ(Run(), kExitGood);
  builder.ml_dsa = nullptr;
  EXPECT_EQ(Run(), kExitNotTrustworthy);
  EXPECT_THAT(out_.str(), HasSubstr("signature-required-missing"));
}

}  // namespace
}  // namespace vmattest::cli
