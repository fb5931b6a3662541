#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "crypto/digest.h"
#include "fakes/fake_host_tpm.h"
#include "support/matchers.h"
#include "verifier_fixture.h"

// The generators of this folder's evidence are code as well.

namespace vmattest::testing {
namespace {

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

TEST(SoftKey, SignsWhatVerifyEcdsaAccepts) {
  const SoftKey key;
  const Bytes message = ToBytes("message");
  const auto area = evidence::ParseEccPublic(key.public_area()).value();
  const auto signature =
      evidence::ParseEcdsaSignature(key.Sign(message)).value();
  EXPECT_TRUE(VerifyEcdsa(area.key, Hash(HashAlgorithm::kSha256, message),
                          signature.r, signature.s));
  EXPECT_FALSE(VerifyEcdsa(area.key,
                           Hash(HashAlgorithm::kSha256, AsBytes("other")),
                           signature.r, signature.s));
  EXPECT_EQ(area.name, key.name());
}

TEST(SoftHost, HasADifferentKeyForEachRole) {
  const SoftHost host;
  std::set<Bytes> names = {host.ek.name(), host.ak.name()};
  for (const auto& [purpose, key] : host.purpose_keys) {
    names.insert(key.name());
  }
  EXPECT_EQ(names.size(), 8u);
}

TEST(EvidenceBuilder, BuildsTheBatchThatItIsAskedFor) {
  const SoftHost host;
  EvidenceBuilder builder(host);
  builder.batch_size = 7;
  builder.batch_index = 6;
  const evidence::Evidence evidence = builder.Build();
  const auto& quote = std::get<evidence::TpmQuoteSignature>(
      evidence.envelope.signatures.front().body);
  EXPECT_EQ(quote.batch.index, 6u);
  EXPECT_EQ(quote.batch.path.size(), 2u);
}

TEST(EvidenceBuilder, SignsWhatWasEdited) {
  const SoftHost host;
  EvidenceBuilder builder(host);
  builder.edit_quote = [](evidence::Attest& a) { a.firmware_version = 5; };
  builder.edit_statement = [](evidence::ConfigStatement& s) {
    s.vm_state = "paused";
  };
  const evidence::Evidence evidence = builder.Build();
  const auto& quote = std::get<evidence::TpmQuoteSignature>(
      evidence.envelope.signatures.front().body);
  EXPECT_EQ(evidence::ParseAttest(quote.quoted)->firmware_version, 5u);
  EXPECT_EQ(wire::ParseConfigStatement(evidence.envelope.payload)->vm_state,
            "paused");
}

class FakeHostTpmTest : public ::testing::Test {
 protected:
  FakeHostTpm tpm;
  Bytes qualifying = Bytes(32, 1);
};

TEST_F(FakeHostTpmTest, AnswersOnlyOnceItIsProvisioned) {
  constexpr auto kCode = absl::StatusCode::kFailedPrecondition;
  EXPECT_THAT(tpm.GetIdentity(), StatusIs(kCode));
  EXPECT_THAT(tpm.ReadClock(), StatusIs(kCode));
  EXPECT_THAT(tpm.MakeQuote(KeyPurpose::kConfig, qualifying), StatusIs(kCode));
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(tpm.GetIdentity(), IsOk());
  EXPECT_THAT(tpm.ReadClock(), IsOk());
}

TEST_F(FakeHostTpmTest, QuotesCoverItsPcrsAndClock) {
  ASSERT_THAT(tpm.Provision(), IsOk());
  tpm.AdvanceClock(std::chrono::seconds(5));
  tpm.ExtendPcr(13, Bytes(32, 2));
  ASSERT_OK_AND_ASSIGN(const tpm::Quote quote,
                       tpm.MakeQuote(KeyPurpose::kConfig, qualifying));
  ASSERT_OK_AND_ASSIGN(const evidence::Attest attest,
                       evidence::ParseAttest(quote.quoted));
  EXPECT_EQ(attest.clock, tpm.ReadClock().value());
  EXPECT_EQ(attest.clock.clock_ms, 65'000u);
  EXPECT_EQ(attest.extra_data, qualifying);
  EXPECT_EQ(
      evidence::PcrDigest(kTpmAlgSha256, attest.pcr_selections, quote.pcr_banks)
          .value(),
      attest.pcr_digest);
  EXPECT_NE(quote.pcr_banks[0].values.at(13), Bytes(32, 0));
  EXPECT_EQ(tpm.quotes_made(), 1);
}

TEST_F(FakeHostTpmTest, RefusesQualifyingDataThatIsNoDigest) {
  ASSERT_THAT(tpm.Provision(), IsOk());
  EXPECT_THAT(tpm.MakeQuote(KeyPurpose::kConfig, Bytes(31, 1)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FakeHostTpmTest, ResetCountsAndIsNoticedOnce) {
  ASSERT_THAT(tpm.Provision(), IsOk());
  tpm.ExtendPcr(13, Bytes(32, 2));
  const TpmClock before = tpm.ReadClock().value();
  tpm.Reset();
  EXPECT_THAT(tpm.ReadClock(), StatusIs(kUnavailable));
  ASSERT_OK_AND_ASSIGN(const TpmClock after, tpm.ReadClock());
  EXPECT_EQ(after.reset_count, before.reset_count + 1);
  EXPECT_EQ(after.restart_count, 0u);
  EXPECT_EQ(tpm.MakeQuote(KeyPurpose::kConfig, qualifying)
                ->pcr_banks[0]
                .values.at(13),
            Bytes(32, 0));
}

TEST_F(FakeHostTpmTest, FailsAsOftenAsItIsTold) {
  ASSERT_THAT(tpm.Provision(), IsOk());
  tpm.FailNextCalls(2, absl::UnavailableError("gone"));
  EXPECT_THAT(tpm.ReadClock(), StatusIs(kUnavailable));
  EXPECT_THAT(tpm.MakeQuote(KeyPurpose::kConfig, qualifying),
              StatusIs(kUnavailable));
  EXPECT_THAT(tpm.ReadClock(), IsOk());
  EXPECT_EQ(tpm.quotes_made(), 0);
}

TEST_F(FakeHostTpmTest, ASlowQuoteTakesItsTime) {
  ASSERT_THAT(tpm.Provision(), IsOk());
  tpm.SetQuoteDelay(std::chrono::milliseconds(20));
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_THAT(tpm.MakeQuote(KeyPurpose::kConfig, qualifying), IsOk());
  EXPECT_GE(std::chrono::steady_clock::now() - begin,
            std::chrono::milliseconds(20));
}

class FakeQuoteTest : public verifier::VerifierFixture {};

TEST_F(FakeQuoteTest, AQuoteOfTheFakeVerifies) {
  FakeHostTpm tpm("fake");
  ASSERT_THAT(tpm.Provision(), IsOk());
  const evidence::HostIdentity identity = tpm.GetIdentity().value();
  ASSERT_THAT(anchors.Add(wire::HostIdentityToJson(identity)), IsOk());
  EvidenceBuilder other(tpm.host());
  evidence::Evidence evidence = other.Build();
  auto& signature = std::get<evidence::TpmQuoteSignature>(
      evidence.envelope.signatures.front().body);
  const auto attest = evidence::ParseAttest(signature.quoted).value();
  const tpm::Quote quote =
      tpm.MakeQuote(KeyPurpose::kConfig, attest.extra_data).value();
  signature.key_name = quote.key_name;
  signature.quoted = quote.quoted;
  signature.signature = quote.signature;
  signature.pcr_banks = quote.pcr_banks;
  evidence.keys = {identity.keys.front()};
  const verifier::Appraisal appraisal =
      Appraise(wire::EncodeEvidence(evidence));
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
  EXPECT_EQ(appraisal.claims.hostname, "fake");
}

}  // namespace
}  // namespace vmattest::testing
