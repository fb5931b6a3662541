#include "appraisal/appraise.h"

#include "appraisal_fixture.h"
#include "support/matchers.h"

namespace vmattest::appraisal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr char kOtherVm[] = "11111111-f6a4-8304-79aa-97f2502e193f";

class AppraiseTest : public AppraisalFixture {};

TEST_F(AppraiseTest, WhatMeetsItsReferenceIsAllowed) {
  const Decision decision = Decide();
  EXPECT_EQ(Codes(decision), "");
  EXPECT_TRUE(decision.genuine);
  EXPECT_EQ(decision.reference_name, "web");
  EXPECT_EQ(decision.reference_revision, 1u);
  EXPECT_EQ(decision.expires, now + std::chrono::hours(1));
  EXPECT_EQ(decision.claims.ak_name, host.ak.name());
}

TEST_F(AppraiseTest, ADecisionEndsWithItsReferencesValidity) {
  reference.header.not_after_unix_ms = kNow + 5'000;
  EXPECT_EQ(Decide().expires, now + std::chrono::seconds(5));
}

TEST_F(AppraiseTest, WithoutHostsNothingCanBeDecided) {
  file = builder.BuildFile();
  request.evidence = file;
  EXPECT_THAT(Appraise(request, verifier::Anchors(), {reference}, now),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(AppraiseTest, S10_AVmThatNoReferenceNamesIsRefused) {
  reference.vm_uuids = {kOtherVm};
  Decision decision = Decide();
  EXPECT_EQ(Codes(decision), "reference-none");
  EXPECT_TRUE(decision.genuine);
  EXPECT_TRUE(decision.reference_name.empty());
  reference = Learned();
  reference.header.not_after_unix_ms = kNow;
  EXPECT_EQ(Codes(Decide()), "reference-none");
}

TEST_F(AppraiseTest, S10_WhatTheRequestAsksForChoosesNoReference) {
  reference::Reference lax;
  lax.name = "lax";
  lax.header = reference.header;
  lax.vm_uuids = {kOtherVm};
  lax.accept_other_leaves = true;
  builder.leaves.push_back({"hostdev[pci]", LeafType::kText, "x"});
  file = builder.BuildFile();
  request.evidence = file;
  request.vm_uuid = kOtherVm;
  ASSERT_OK_AND_ASSIGN(const Decision decision,
                       Appraise(request, hosts, {reference, lax}, now));
  EXPECT_EQ(decision.reference_name, "web");
  EXPECT_EQ(Codes(decision),
            "vm-uuid-mismatch reference-leaf-added reference-root");
}

TEST_F(AppraiseTest, EveryLeafThatDiffersIsNamedWithItsFix) {
  ASSERT_FALSE(builder.leaves.empty());
  builder.leaves.front().value += "x";
  builder.leaves.push_back({"zzz", LeafType::kText, "x"});
  const Decision decision = Decide();
  EXPECT_EQ(Codes(decision),
            "reference-leaf-changed reference-leaf-added reference-root");
  EXPECT_EQ(decision.verdict.reasons[0].element, builder.leaves.front().path);
  EXPECT_THAT(decision.fixes[0],
              HasSubstr("set " + builder.leaves.front().path + " to "));
  EXPECT_EQ(decision.fixes[1], "remove zzz");
}

TEST_F(AppraiseTest, ADowngradedHashIsNamed) {
  builder.algorithm = HashAlgorithm::kSha384;
  reference = Learned();
  EXPECT_EQ(Codes(Decide()), "");
  builder.algorithm = HashAlgorithm::kSha256;
  const Decision decision = Decide();
  EXPECT_EQ(Codes(decision), "reference-algorithm reference-root");
  EXPECT_EQ(decision.fixes[0], "measure with sha384");
}

TEST_F(AppraiseTest, HowItWasMeasuredMustBeWhatTheReferenceSays) {
  reference.content = reference.content == "none" ? "full" : "none";
  EXPECT_EQ(Codes(Decide()), "reference-content");
  reference = Learned();
  reference.inside = "inventory";
  EXPECT_EQ(Codes(Decide()), "reference-inside");
}

TEST_F(AppraiseTest, CachedContentIsRefusedWhereTheReferenceSaysSo) {
  builder.cached = {{builder.leaves.front().path, kNow - 5}};
  reference = Learned();
  EXPECT_EQ(Codes(Decide()), "");
  reference.accept_cached_content = false;
  const Decision decision = Decide();
  EXPECT_EQ(Codes(decision), "content-cached");
  EXPECT_EQ(decision.verdict.reasons[0].element, builder.leaves.front().path);
}

TEST_F(AppraiseTest, TheHostMustBeOneThatTheReferenceNames) {
  reference.host_ids = {host.host_id()};
  EXPECT_EQ(Codes(Decide()), "");
  reference.host_ids = {"ab12"};
  EXPECT_EQ(Codes(Decide()), "reference-host");
  reference.host_ids.clear();
  request.host_id = "ab12";
  EXPECT_EQ(Codes(Decide()), "reference-host-requested");
  request.host_id = host.host_id();
  EXPECT_EQ(Codes(Decide()), "");
}

TEST_F(AppraiseTest, PcrsMustHaveApprovedValues) {
  const Bytes found = builder.pcrs.values.at(0);
  reference.pcrs = {{0, {Bytes(32, 9), found}}};
  EXPECT_EQ(Codes(Decide()), "");
  EXPECT_TRUE(Decide().pcrs_demanded);
  reference.pcrs = {{0, {Bytes(32, 9)}}, {23, {Bytes(32, 9)}}};
  const Decision decision = Decide();
  EXPECT_EQ(Codes(decision), "pcr-value-not-allowed pcr-value-not-allowed");
  EXPECT_EQ(decision.verdict.reasons[0].element, "PCR 0");
  EXPECT_EQ(decision.verdict.reasons[1].found, "not quoted");
}

TEST_F(AppraiseTest, SignaturesThatTheReferenceRequiresMustBeThere) {
  reference.required_signatures = {"tpm2-quote"};
  EXPECT_EQ(Codes(Decide()), "");
  reference.required_signatures = {"tpm2-quote", "ml-dsa-65"};
  const Decision decision = Decide();
  EXPECT_EQ(Codes(decision), "signature-required-missing");
  EXPECT_EQ(decision.verdict.reasons[0].element, "ml-dsa-65");
}

TEST_F(AppraiseTest, UnmanagedVmsAreCountedAndSilenceIsNoZero) {
  reference.max_unmanaged_vms = 0;
  builder.header.host.reset();
  EXPECT_EQ(Codes(Decide()), "unmanaged-vms");
  builder.header.host = {
      .log_size = 1, .log_head = Bytes(32), .unmanaged_vms = 0};
  EXPECT_EQ(Codes(Decide()), "");
  builder.header.host->unmanaged_vms = 2;
  const Decision decision = Decide();
  EXPECT_EQ(Codes(decision), "unmanaged-vms");
  EXPECT_EQ(decision.fixes[0], "stop 2 VMs that run beside libvirt");
}

TEST_F(AppraiseTest, WhatIsNotGenuineIsNotComparedAtAll) {
  builder.leaves.front().value += "x";
  file = builder.BuildFile();
  file.back() ^= 1;
  EXPECT_FALSE(Decide(file).genuine);

  const testing::SoftHost stranger;
  testing::EvidenceBuilder theirs(stranger);
  theirs.leaves = builder.leaves;
  const Bytes foreign = theirs.BuildFile();
  Decision decision = Decide(foreign);
  EXPECT_EQ(Codes(decision), "host-unknown");
  EXPECT_EQ(decision.fixes[0], "enrol the host");
  EXPECT_TRUE(decision.reference_name.empty());

  request.nonce = Bytes(16, 1);
  decision = Decide();
  EXPECT_EQ(Codes(decision), "nonce-mismatch");
  EXPECT_FALSE(decision.genuine);
}

TEST_F(AppraiseTest, AgeCountsWithoutANonceAndTheNonceWithOne) {
  request.max_age = std::chrono::minutes(1);
  now += std::chrono::minutes(2);
  EXPECT_EQ(Codes(Decide()), "time-too-old");
  request.nonce = Bytes(16, 1);
  builder.header.nonce = *request.nonce;
  EXPECT_EQ(Codes(Decide()), "");
}

TEST_F(AppraiseTest, AStatementAboutTheHostIsNoConfiguration) {
  builder.edit_statement = [](evidence::ConfigStatement& statement) {
    statement.header.vm_uuid.clear();
  };
  EXPECT_FALSE(Decide().verdict.trusted());
}

TEST_F(AppraiseTest, ALearningReferenceRefusesAndSaysItsMode) {
  reference.mode = reference::GateMode::kLearn;
  reference.roots.clear();
  reference.rules.clear();
  const Decision decision = Decide();
  EXPECT_FALSE(decision.verdict.trusted());
  EXPECT_EQ(decision.mode, reference::GateMode::kLearn);
}

TEST_F(AppraiseTest, SaltedLeavesThatAreKeptBackPassByTheirRoot) {
  builder.vm_salt = Bytes(32, 7);
  reference = Learned();
  builder.keep_back = true;
  EXPECT_EQ(Codes(Decide()), "");
  reference.roots.clear();
  EXPECT_EQ(Codes(Decide()), "reference-needs-leaves");
}

class SimulateTest : public AppraisalFixture {
 protected:
  std::vector<Flip> Simulated(const std::vector<Bytes>& recorded,
                              const reference::Reference& proposed) {
    auto flips = Simulate(recorded, hosts, {reference}, proposed);
    EXPECT_TRUE(flips.ok()) << flips.status().ToString();
    return *std::move(flips);
  }
};

TEST_F(SimulateTest, WhatWouldFlipIsListedWithTheReasonsOfTheRefusal) {
  const Bytes good = builder.BuildFile();
  builder.leaves.front().value += "x";
  const Bytes changed = builder.BuildFile();
  reference::Reference proposed = Learned();
  proposed.revision = 2;
  proposed.header = {};  // nobody signed it yet
  const std::vector<Flip> flips =
      Simulated({good, Bytes{1, 2}, changed, good}, proposed);
  ASSERT_EQ(flips.size(), 3u);
  EXPECT_TRUE(flips[0].allowed_before);
  EXPECT_FALSE(flips[0].allowed_after);
  EXPECT_EQ(Codes(flips[0].reasons), "reference-leaf-changed reference-root");
  EXPECT_FALSE(flips[1].allowed_before);
  EXPECT_TRUE(flips[1].allowed_after);
  EXPECT_EQ(Codes(flips[1].reasons), "reference-leaf-changed reference-root");
  EXPECT_EQ(flips[0].vm_uuid, Decide(good).claims.vm_uuid);
}

TEST_F(SimulateTest, ThatWhichIsInForceFlipsNothing) {
  EXPECT_TRUE(Simulated({builder.BuildFile()}, reference).empty());
}

TEST_F(SimulateTest, EvidenceIsJudgedAsOfTheTimeItWasMade) {
  // The active reference is over by now, but was valid then.
  reference.header.not_after_unix_ms = kNow + 1;
  reference::Reference proposed = reference;
  proposed.vm_uuids = {"11111111-f6a4-8304-79aa-97f2502e193f"};
  const std::vector<Flip> flips = Simulated({builder.BuildFile()}, proposed);
  ASSERT_EQ(flips.size(), 1u);
  EXPECT_EQ(Codes(flips[0].reasons), "reference-none");
}

TEST_F(SimulateTest, AClockThatSaysNonsenseDoesNoHarm) {
  builder.header.time_unix_ms = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(Simulated({builder.BuildFile()}, reference).empty());
  builder.header.time_unix_ms = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(Simulated({builder.BuildFile()}, reference).size(), 1u);
}

}  // namespace
}  // namespace vmattest::appraisal
