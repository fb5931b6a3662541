#include "verification/appraiser.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/verifier_rig.h"

namespace vmattest::verification {
namespace {

using testing::EvidenceBuilder;
using testing::IsOk;
using testing::SoftHost;
using testing::StatusIs;
using testing::VerifierRig;

constexpr char kClient[] = "spiffe://t/host-1";
constexpr auto kDenied = absl::StatusCode::kPermissionDenied;

// A host that makes evidence when it is asked.
class OneHost final : public HostClient {
 public:
  OneHost(std::string host_id, EvidenceBuilder& builder)
      : host_id_(std::move(host_id)), builder_(builder) {}
  [[nodiscard]] std::vector<std::string> hosts() const override {
    return {"elsewhere", host_id_};
  }
  absl::StatusOr<Bytes> Attest(const std::string& host_id,
                               const std::string& vm_uuid, const Bytes& nonce,
                               MonotonicTime) override {
    if (host_id != host_id_ || vm_uuid != builder_.header.vm_uuid) {
      return absl::NotFoundError("no such VM");
    }
    builder_.header.nonce = nonce;
    return builder_.BuildFile();
  }

 private:
  const std::string host_id_;
  EvidenceBuilder& builder_;
};

class AppraiserTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_THAT(rig_.Enroll(kClient, host_), IsOk());
    Put(rig_.Learned(builder_, "web"));
  }
  void Put(const reference::Reference& reference) {
    const auto put =
        rig_.references.PutDocument(rig_.Sign(reference), VerifierRig::AllVms);
    ASSERT_THAT(put, IsOk());
    ASSERT_TRUE(put->verdict.trusted());
  }
  Appraiser::Result Decide(const Bytes& evidence) {
    auto result = rig_.Appraise(evidence);
    EXPECT_THAT(result, IsOk());
    return *std::move(result);
  }
  static std::string FirstCode(const Appraiser::Result& result) {
    return result.decision.reasons.empty()
               ? ""
               : result.decision.reasons.front().code;
  }
  token::OpenedEar Open(const std::string& ear) {
    const std::vector<token::VerificationKey> keys = rig_.keys.Published();
    return token::VerifyEar(ear, keys, {.now = rig_.clock.Now()});
  }
  [[nodiscard]] std::string vm() const { return builder_.header.vm_uuid; }

  VerifierRig rig_;
  SoftHost host_;
  EvidenceBuilder builder_{host_};
};

TEST_F(AppraiserTest, SoundEvidenceGivesAnAffirmingSignedResult) {
  const Appraiser::Result result = Decide(builder_.BuildFile());
  EXPECT_TRUE(result.decision.trusted) << FirstCode(result);
  EXPECT_EQ(result.decision.reference, "web@1");
  const token::OpenedEar ear = Open(result.ear);
  ASSERT_TRUE(ear.verdict.trusted());
  EXPECT_EQ(ear.ear.token_id.size(), 32u);
  EXPECT_EQ(ear.ear.signed_with, "ES256");
  ASSERT_TRUE(ear.ear.submodules.contains("config"));
  EXPECT_EQ(ear.ear.submodules.at("config").status, token::Tier::kAffirming);
}

TEST_F(AppraiserTest, DecisionIsStoredBeforeItIsTold) {
  const Bytes evidence = builder_.BuildFile();
  const Appraiser::Result result = Decide(evidence);
  const auto stored = rig_.store.FindDecision(result.decision.sequence).value();
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->ear, result.ear);
  EXPECT_EQ(rig_.store.FindEvidence(result.decision.sequence).value(),
            evidence);
  rig_.fake_store.FailWith(absl::ResourceExhaustedError("disk full"));
  EXPECT_FALSE(rig_.Appraise(builder_.BuildFile()).ok());
}

TEST_F(AppraiserTest, ChangedConfigurationIsRefusedWithTheLeaf) {
  builder_.leaves.front().value += "x";
  const Appraiser::Result result = Decide(builder_.BuildFile());
  EXPECT_FALSE(result.decision.trusted);
  EXPECT_TRUE(result.decision.genuine);
  ASSERT_FALSE(result.decision.reasons.empty());
  EXPECT_EQ(result.decision.reasons.size(), result.decision.fixes.size());
  const token::OpenedEar ear = Open(result.ear);
  ASSERT_TRUE(ear.verdict.trusted());
  EXPECT_NE(ear.ear.submodules.at("config").status, token::Tier::kAffirming);
}

TEST_F(AppraiserTest, TamperedEvidenceIsRefusedAndNotKept) {
  Bytes evidence = builder_.BuildFile();
  evidence[evidence.size() / 2] ^= 1;
  const Appraiser::Result result = Decide(evidence);
  EXPECT_FALSE(result.decision.trusted);
  EXPECT_FALSE(result.decision.genuine);
  EXPECT_TRUE(
      rig_.store.FindEvidence(result.decision.sequence).value().empty());
}

TEST_F(AppraiserTest, BytesThatAreNoEvidenceAreADecision) {
  for (const Bytes& junk : {Bytes(), Bytes(100, 7)}) {
    const Appraiser::Result result = Decide(junk);
    EXPECT_EQ(FirstCode(result), "evidence-malformed");
    EXPECT_TRUE(Open(result.ear).verdict.trusted());
  }
}

TEST_F(AppraiserTest, HostsThatDoNotCountAreNamed) {
  SoftHost stranger("stranger");
  EXPECT_EQ(FirstCode(Decide(EvidenceBuilder(stranger).BuildFile())),
            "host-unknown");
  ASSERT_THAT(
      rig_.Enroll("spiffe://t/2", stranger, rig_.IdentityOf(stranger, false)),
      IsOk());
  EXPECT_EQ(FirstCode(Decide(EvidenceBuilder(stranger).BuildFile())),
            "host-pending");
  ASSERT_THAT(rig_.hosts.Revoke(host_.host_id(), "stolen"), IsOk());
  const Appraiser::Result revoked = Decide(builder_.BuildFile());
  EXPECT_EQ(FirstCode(revoked), "host-revoked");
  EXPECT_EQ(revoked.decision.reasons.front().found, "stolen");
}

TEST_F(AppraiserTest, NonceMustBeInTheEvidence) {
  builder_.header.nonce = Bytes(32, 5);
  const Bytes evidence = builder_.BuildFile();
  const auto with = [&](const Bytes& nonce) {
    return rig_.appraiser
        .Appraise(
            {.evidence = evidence, .nonce = nonce, .may = VerifierRig::AllVms})
        .value();
  };
  EXPECT_TRUE(with(Bytes(32, 5)).decision.trusted);
  EXPECT_FALSE(with(Bytes(32, 6)).decision.trusted);
}

TEST_F(AppraiserTest, OldEvidenceWithoutANonceIsRefused) {
  rig_.clock.Advance(std::chrono::minutes(6));
  EXPECT_FALSE(Decide(builder_.BuildFile()).decision.trusted);
}

TEST_F(AppraiserTest, VmsOfOthersAreDeniedAndNothingIsDecided) {
  const uint64_t before = rig_.store.LastSequence().value();
  const auto denied = rig_.appraiser.Appraise(
      {.evidence = builder_.BuildFile(),
       .may = [](const std::string&) { return false; }});
  EXPECT_THAT(denied, StatusIs(kDenied));
  SoftHost second("host-2");
  const auto other_host = rig_.appraiser.Appraise(
      {.evidence = builder_.BuildFile(), .host_id = second.host_id()});
  EXPECT_THAT(other_host, StatusIs(kDenied));
  EXPECT_EQ(rig_.store.LastSequence().value(), before);
}

TEST_F(AppraiserTest, WithoutAReferenceNothingIsTrusted) {
  builder_.header.vm_uuid = "00000000-0000-4000-8000-00000000ffff";
  const Appraiser::Result result = Decide(builder_.BuildFile());
  EXPECT_EQ(FirstCode(result), "reference-none");
}

TEST_F(AppraiserTest, HostIsAskedForEvidenceWithAFreshNonce) {
  OneHost client(host_.host_id(), builder_);
  Appraiser appraiser({.store = rig_.store,
                       .hosts = rig_.anchors,
                       .references = rig_.references,
                       .log = rig_.log,
                       .keys = rig_.keys,
                       .clock = rig_.clock,
                       .host_client = &client},
                      {});
  const auto result = appraiser.RequestAttestation(
      {.vm_uuid = vm(), .may = VerifierRig::AllVms});
  ASSERT_THAT(result, IsOk());
  EXPECT_TRUE(result->decision.trusted) << FirstCode(*result);
  EXPECT_EQ(Open(result->ear).ear.nonce.size(), 32u);
  EXPECT_THAT(appraiser.RequestAttestation(
                  {.vm_uuid = "00000000-0000-4000-8000-00000000ffff",
                   .may = VerifierRig::AllVms}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(rig_.appraiser.RequestAttestation(
                  {.vm_uuid = vm(), .may = VerifierRig::AllVms}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(AppraiserTest, LearnsFromTheNewestGenuineEvidence) {
  EXPECT_THAT(rig_.appraiser.Learn(vm(), "learned"),
              StatusIs(absl::StatusCode::kNotFound));
  Decide(builder_.BuildFile());
  ASSERT_OK_AND_ASSIGN(const std::string yaml,
                       rig_.appraiser.Learn(vm(), "learned"));
  EXPECT_THAT(yaml, ::testing::HasSubstr("name: \"learned\""));
  EXPECT_THAT(yaml, ::testing::HasSubstr(vm()));
  // A newer revision of what is there already.
  ASSERT_OK_AND_ASSIGN(const std::string next,
                       rig_.appraiser.Learn(vm(), "web"));
  EXPECT_EQ(reference::FromYaml(next)->revision, 2u);
}

TEST_F(AppraiserTest, SimulationSaysWhatWouldFlip) {
  Decide(builder_.BuildFile());
  reference::Reference stricter = rig_.Learned(builder_, "web", 2);
  stricter.roots = {DigestBytes(32, 1)};
  const MonotonicTime later = rig_.clock.Monotonic() + std::chrono::hours(1);
  ASSERT_OK_AND_ASSIGN(
      const auto strict,
      rig_.appraiser.Simulate(stricter, 100, VerifierRig::AllVms, later));
  EXPECT_EQ(strict.examined, 1u);
  ASSERT_EQ(strict.flips.size(), 1u);
  EXPECT_TRUE(strict.flips[0].flip.allowed_before);
  EXPECT_FALSE(strict.flips[0].flip.allowed_after);
  ASSERT_OK_AND_ASSIGN(const auto same, rig_.appraiser.Simulate(
                                            rig_.Learned(builder_, "web", 2),
                                            100, VerifierRig::AllVms, later));
  EXPECT_TRUE(same.flips.empty());
  ASSERT_OK_AND_ASSIGN(
      const auto none,
      rig_.appraiser.Simulate(
          stricter, 100, [](const std::string&) { return false; }, later));
  EXPECT_EQ(none.examined, 0u);
  EXPECT_THAT(rig_.appraiser.Simulate(stricter, 100, VerifierRig::AllVms,
                                      rig_.clock.Monotonic()),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(AppraiserTest, HostGetsTheReferencesOfItsVms) {
  EXPECT_TRUE(rig_.appraiser.ReferencesForHost(host_.host_id())->empty());
  Decide(builder_.BuildFile());
  ASSERT_OK_AND_ASSIGN(const auto documents,
                       rig_.appraiser.ReferencesForHost(host_.host_id()));
  ASSERT_EQ(documents.size(), 1u);
  const document::PublicKey keys[] = {rig_.approver.public_key()};
  EXPECT_TRUE(
      document::Open(documents[0], document::kReferencePayloadType, keys)
          .verdict.trusted());
}

}  // namespace
}  // namespace vmattest::verification
