#include "capture/comparer.h"

#include <deque>
#include <set>

#include "baseline/reason_codes.h"
#include "fakes/fake_hypervisor.h"
#include "fakes/manual_clock.h"
#include "gmock/gmock.h"
#include "support/made_snapshot.h"
#include "support/temp_dir.h"

namespace vmattest::capture {
namespace {

namespace reason = baseline::reason;
using baseline::MadeSnapshot;
using ::testing::ElementsAre;
using testing::FakeHypervisor;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Runs what waits when it is told to.
class HeldExecutor final : public Executor {
 public:
  absl::Status Submit(std::function<void()> task) override {
    if (full) {
      return absl::ResourceExhaustedError("full");
    }
    tasks_.push_back(std::move(task));
    return absl::OkStatus();
  }
  void Run() {
    for (; !tasks_.empty(); tasks_.pop_front()) {
      tasks_.front()();
    }
  }
  bool full = false;

 private:
  std::deque<std::function<void()>> tasks_;
};

// Has one baseline, and answers as it is told.
class ScriptedVerifier final : public StateVerifier {
 public:
  class Walk final : public Comparison {
   public:
    explicit Walk(ScriptedVerifier& owner) : owner_(owner) {}
    [[nodiscard]] const std::optional<SnapshotVerdict>& verdict()
        const override {
      return owner_.decided;
    }
    [[nodiscard]] const baseline::Baseline& against() const override {
      return owner_.baseline->baseline();
    }
    absl::StatusOr<Bytes> Nodes(const std::string& region,
                                const std::vector<baseline::NodeRange>& ranges,
                                uint32_t prefix) override {
      owner_.prefixes.insert(prefix);
      return ReadNodes(*owner_.baseline, region, ranges, prefix);
    }
    absl::StatusOr<std::vector<evidence::StateRecord>> Records() override {
      return owner_.baseline->records();
    }
    absl::StatusOr<SnapshotVerdict> Finish(
        const baseline::Delta& delta) override {
      owner_.deltas.push_back(delta);
      SnapshotVerdict verdict = owner_.verdicts.front();
      owner_.verdicts.pop_front();
      return verdict;
    }

   private:
    ScriptedVerifier& owner_;
  };
  absl::StatusOr<std::unique_ptr<Comparison>> Begin(
      const Bytes& /*evidence*/, const Bytes& guest_report,
      MonotonicTime /*deadline*/) override {
    reports.push_back(guest_report);
    RETURN_IF_ERROR(away);
    return std::make_unique<Walk>(*this);
  }

  std::shared_ptr<const baseline::LoadedBaseline> baseline;
  absl::Status away;
  std::optional<SnapshotVerdict> decided;
  std::deque<SnapshotVerdict> verdicts;
  std::set<uint32_t> prefixes;
  std::vector<baseline::Delta> deltas;
  std::vector<Bytes> reports;
};

SnapshotVerdict Refusal(std::string_view code, bool compared = false) {
  SnapshotVerdict verdict;
  verdict.genuine = true;
  verdict.compared = compared;
  verdict.failures = {{std::string(code), "vm", "", ""}};
  return verdict;
}

SnapshotVerdict Trusted() {
  SnapshotVerdict verdict;
  verdict.genuine = verdict.trusted = verdict.compared = true;
  verdict.score = 100;
  verdict.ear = "jwt";
  return verdict;
}

class ComparerTest : public ::testing::Test {
 protected:
  ComparerTest() {
    policy_.id = "made";
    policy_.version = 1;
    snapshot_.AddRegion("ram", 500);
    snapshot_.statement.cause = kScheduled;
    snapshot_.Seal();
    verifier_.baseline = snapshot_.Load();
  }
  // Has it compared, at once.
  void Take() {
    comparer_.Captured(Captured(), policy_);
    work_.Run();
  }
  CapturedSnapshot Captured() {
    snapshot_.Seal();
    CapturedSnapshot captured;
    captured.evidence = ToBytes(std::string_view("evidence"));
    captured.record.statement = snapshot_.statement;
    captured.record.id =
        store_
            .Add(*ParseUuid(snapshot_.statement.header.vm_uuid), 1,
                 captured.evidence, wire::EncodeSnapshotPages(snapshot_.pages))
            .value();
    return captured;
  }

  testing::TempDir dir_;
  testing::ManualClock clock_{1'700'000'000'000};
  FakeHypervisor hypervisor_;
  HeldExecutor work_;
  MadeSnapshot snapshot_;
  snapshot::Policy policy_;
  ScriptedVerifier verifier_;
  SnapshotStore store_{dir_.path() / "snapshots", 16};
  std::vector<SnapshotResult> results_;
  size_t alerts_ = 0;
  Reactor reactor_{
      {.hypervisor = hypervisor_,
       .clock = clock_,
       .file = dir_.path() / "reactions",
       .note = [this](const auto&, const auto&) { ++alerts_; },
       .links_down =
           [](const std::string&) -> absl::StatusOr<std::vector<std::string>> {
         return std::vector<std::string>();
       },
       .run_of = [](const Uuid&, const std::string&) { return ""; }}};
  Comparer comparer_{
      {.verifier = verifier_,
       .reactor = reactor_,
       .store = store_,
       .work = work_,
       .clock = clock_,
       .result = [this](const auto& result) { results_.push_back(result); }}};
};

TEST_F(ComparerTest, AScheduledSnapshotThatIsTrustedIsAPass) {
  verifier_.verdicts = {Trusted()};
  Take();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_TRUE(results_[0].passed);
  EXPECT_EQ(results_[0].vm_uuid, snapshot_.statement.header.vm_uuid);
  EXPECT_EQ(results_[0].ear, "jwt");
  EXPECT_EQ(AsText(results_[0].evidence), "evidence");
  EXPECT_EQ(comparer_.counters().trusted, 1U);
  EXPECT_EQ(alerts_, 0U);
}

TEST_F(ComparerTest, AGuestsReportGoesToTheVerifierAsItCame) {
  verifier_.verdicts = {Trusted()};
  CapturedSnapshot captured = Captured();
  captured.guest_report = {1, 2, 3};
  comparer_.Captured(captured, policy_);
  work_.Run();
  EXPECT_THAT(verifier_.reports, ::testing::ElementsAre(Bytes{1, 2, 3}));
}

TEST_F(ComparerTest, APassThatSomebodyAskedForRaisesNoScore) {
  for (const std::string_view cause : {std::string_view("request"), kGuest}) {
    snapshot_.statement.cause = cause;
    verifier_.verdicts = {Trusted()};
    Take();
    EXPECT_THAT(results_, IsEmpty());
  }
  EXPECT_EQ(comparer_.counters().trusted, 2U);
}

TEST_F(ComparerTest, ARefusalIsAFailureAndAnAlertWhoeverAskedForIt) {
  snapshot_.statement.cause = "request";
  snapshot_.ChangePage(0, 77);
  verifier_.verdicts = {Refusal(reason::kScore, true)};
  Take();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_FALSE(results_[0].passed);
  EXPECT_EQ(results_[0].code, "baseline-score");
  EXPECT_EQ(comparer_.counters().refused, 1U);
  EXPECT_EQ(alerts_, 1U);
  ASSERT_THAT(verifier_.deltas, SizeIs(1));
  ASSERT_THAT(verifier_.deltas[0].regions, SizeIs(1));
  ASSERT_THAT(verifier_.deltas[0].regions[0].runs, SizeIs(1));
  EXPECT_EQ(verifier_.deltas[0].regions[0].runs[0].first, 77U);
}

TEST_F(ComparerTest, EvidenceThatIsRefusedIsAFailure) {
  verifier_.decided = Refusal("host-revoked");
  verifier_.decided->genuine = false;
  Take();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_[0].code, "host-revoked");
  EXPECT_EQ(alerts_, 1U);
}

TEST_F(ComparerTest, WithoutABaselineNothingIsSaidAboutTheVm) {
  for (const std::string_view code :
       {reason::kNone, reason::kSubset, reason::kOtherRun}) {
    verifier_.decided = Refusal(code);
    Take();
  }
  EXPECT_EQ(comparer_.counters().no_baseline, 3U);
  EXPECT_THAT(results_, IsEmpty());
  EXPECT_EQ(alerts_, 0U);
  verifier_.decided->genuine = false;
  Take();
  EXPECT_THAT(results_, SizeIs(1)) << "nobody knows whose it is";
}

TEST_F(ComparerTest, WhatIsNotProvedIsToldOnceMoreWithWholeDigests) {
  snapshot_.ChangePage(0, 77);
  verifier_.verdicts = {Refusal(reason::kDeltaUnproved), Trusted()};
  Take();
  EXPECT_THAT(verifier_.prefixes, ElementsAre(0U, baseline::kShortPrefix));
  EXPECT_EQ(comparer_.counters().trusted, 1U);
}

TEST_F(ComparerTest, WhatWaitedTooLongIsNotCompared) {
  verifier_.verdicts = {Trusted()};
  comparer_.Captured(Captured(), policy_);
  clock_.Advance(Comparer::kLongestWait + std::chrono::seconds(1));
  work_.Run();
  EXPECT_EQ(comparer_.counters().failed, 1U);
  EXPECT_THAT(results_, IsEmpty());
  EXPECT_EQ(alerts_, 0U);
}

TEST_F(ComparerTest, WhereNobodyDecidesNothingIsDone) {
  verifier_.away = absl::UnavailableError("away");
  Take();
  work_.full = true;
  comparer_.Captured(Captured(), policy_);
  work_.full = false;
  comparer_.Stop();
  Take();
  EXPECT_EQ(comparer_.counters().failed, 3U);
  EXPECT_THAT(results_, IsEmpty());
  EXPECT_EQ(alerts_, 0U);
}

}  // namespace
}  // namespace vmattest::capture
