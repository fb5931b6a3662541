// A program of its own: in this process there is no ML-DSA, ever.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <cstdlib>

#include "pq_fixture.h"
#include "support/matchers.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

// Nobody can sign or check here: keys and signatures are bytes of their size.
class WithoutMlDsaTest : public PqFixture {
 protected:
  void SetUp() override {
    constexpr unsigned long kFirstWithMlDsa = 0x30500000;
    if (OpenSSL_version_num() >= kFirstWithMlDsa) {
      GTEST_SKIP() << "this OpenSSL has ML-DSA itself";
    }
    ASSERT_EQ(setenv("VMATTEST_PQ_MODULE", "/nowhere/fips.so", 1), 0);
    ASSERT_THAT(MlDsaProvider::Open(), StatusIs(absl::StatusCode::kUnavailable,
                                                HasSubstr("/nowhere/fips.so")));
    Pin(MlDsaLevel::k65, KeyPurpose::kConfig, 1, public_key_);
    builder.header.signature_algorithms.emplace_back("ml-dsa-65");
  }

  evidence::Evidence Build() const {
    evidence::Evidence evidence = builder.Build();
    evidence.envelope.signatures.push_back(
        {.algorithm = "ml-dsa-65",
         .body = evidence::RawSignature{
             MlDsaKeyId(public_key_),
             Bytes(MlDsaSignatureSize(MlDsaLevel::k65), 3)}});
    return evidence;
  }

  const Bytes public_key_ = Bytes(MlDsaPublicKeySize(MlDsaLevel::k65), 2);
};

TEST_F(WithoutMlDsaTest, PassesAndSaysThatTheSignatureIsUnchecked) {
  const Appraisal appraisal = Appraise(Build());
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
  EXPECT_THAT(appraisal.claims.signatures,
              ElementsAre(SignatureClaim{"tpm2-quote", "verified"},
                          SignatureClaim{"ml-dsa-65", "unchecked"}));
}

TEST_F(WithoutMlDsaTest, RefusesWhereThePolicyRequiresTheSignature) {
  policy.required_signatures = {"tpm2-quote", "ml-dsa-65"};
  ExpectReason(Build(), reason::kPqUnchecked);
}

TEST_F(WithoutMlDsaTest, StillLooksAtTheKey) {
  evidence::Evidence evidence = Build();
  auto& signature = std::get<evidence::RawSignature>(
      evidence.envelope.signatures.back().body);
  signature.signature.pop_back();
  ExpectReason(evidence, reason::kPqSignature);
  signature.key_id[0] ^= 1;
  ExpectReason(evidence, reason::kPqKeyUnknown);
}

TEST_F(WithoutMlDsaTest, KeysCannotBeMadeOrRead) {
  EXPECT_THAT(MlDsaPublicKey::Parse(MlDsaLevel::k65, public_key_),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(MlDsaKey::FromSeed(MlDsaLevel::k65, GenerateMlDsaSeed()),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmattest::verifier
