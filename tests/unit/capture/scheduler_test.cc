#include "capture/scheduler.h"

#include "fakes/fake_hypervisor.h"
#include "fakes/inline_executor.h"
#include "fakes/manual_clock.h"
#include "fakes/unable_signer.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::capture {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeHypervisor;

// A signer that is asked for the time, with which each capture begins, and has
// none: so many captures were begun.
class CountingSigner final : public testing::UnableSigner {
 public:
  absl::Status ReadClock(MonotonicTime, ClockDone) override {
    ++captures;
    return absl::UnavailableError("no TPM");
  }

  int captures = 0;
};

class NoMeasurer final : public memory::GuestMeasurer {
 public:
  absl::StatusOr<std::unique_ptr<memory::MeasuredGuest>> Open(
      const memory::Guest&, const memory::MeasureCall&) override {
    return absl::UnimplementedError("");
  }
};

class SchedulerTest : public ::testing::Test {
 protected:
  static snapshot::Policy Every(const char* id, uint32_t every_seconds,
                                uint32_t jitter_percent) {
    snapshot::Policy policy;
    policy.id = id;
    policy.version = 1;
    policy.max_seconds = 60;
    if (every_seconds != 0) {
      policy.schedule =
          snapshot::Policy::Schedule{every_seconds, jitter_percent};
    }
    return policy;
  }
  void Make(std::vector<snapshot::Policy> policies) {
    hypervisor_.Start(nullptr);
    capturer_ = std::make_unique<Capturer>(
        Capturer::Parts{.state = {.hypervisor = hypervisor_,
                                  .control = hypervisor_,
                                  .measurer = measurer_,
                                  .make_guard = {}},
                        .signer = signer_,
                        .statements = statements_,
                        .store = store_,
                        .work = inline_,
                        .clock = clock_},
        std::move(policies));
    scheduler_ = std::make_unique<Scheduler>(
        *capturer_, hypervisor_, inline_, clock_, [this](uint64_t bound) {
          EXPECT_GT(bound, 0U);
          bounds_.push_back(bound);
          return last_moment_ ? bound - 1 : 0;
        });
  }
  Uuid StartVm(const char* name) {
    const Uuid uuid = hypervisor_.Define(
        name, FakeHypervisor::Xml(name, FakeHypervisor::UuidOf(name)));
    hypervisor_.Start(uuid);
    return uuid;
  }
  int CapturesAfter(milliseconds step) {
    clock_.Advance(step);
    signer_.captures = 0;
    scheduler_->Tick();
    return signer_.captures;
  }

  testing::TempDir folder_;
  testing::ManualClock clock_;
  testing::InlineExecutor inline_;
  FakeHypervisor hypervisor_;
  CountingSigner signer_;
  NoMeasurer measurer_;
  attestor::StatementSealer statements_{signer_, clock_, {}};
  SnapshotStore store_{folder_.path(), 1};
  bool last_moment_ = false;
  std::vector<uint64_t> bounds_;
  std::unique_ptr<Capturer> capturer_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerTest, CapturesEachRunningVmByEachPolicyWithASchedule) {
  Make({Every("often", 10, 0), Every("never", 0, 0), Every("seldom", 30, 0)});
  StartVm("web");
  StartVm("db");
  EXPECT_EQ(CapturesAfter(seconds(0)), 0) << "its moment is yet to come";
  EXPECT_EQ(CapturesAfter(milliseconds(9999)), 0);
  EXPECT_EQ(CapturesAfter(milliseconds(1)), 2);
  EXPECT_EQ(CapturesAfter(seconds(0)), 0);
  EXPECT_EQ(CapturesAfter(seconds(10)), 2) << "it failed, and is tried again";
  EXPECT_EQ(CapturesAfter(seconds(10)), 4);
}

TEST_F(SchedulerTest, S24_MomentsLieAnywhereWithinTheJitter) {
  Make({Every("often", 10, 20)});
  StartVm("web");
  EXPECT_EQ(CapturesAfter(seconds(0)), 0);
  EXPECT_THAT(bounds_, ::testing::ElementsAre(4001)) << "8000 to 12000 ms";
  last_moment_ = true;
  EXPECT_EQ(CapturesAfter(milliseconds(7999)), 0);
  EXPECT_EQ(CapturesAfter(milliseconds(1)), 1);
  EXPECT_EQ(CapturesAfter(milliseconds(11999)), 0);
  EXPECT_EQ(CapturesAfter(milliseconds(1)), 1);
}

TEST_F(SchedulerTest, AVmThatStoppedHasANewMomentWhenItRunsAgain) {
  Make({Every("often", 10, 0)});
  const Uuid web = StartVm("web");
  EXPECT_EQ(CapturesAfter(seconds(0)), 0);
  hypervisor_.Stop(web);
  EXPECT_EQ(CapturesAfter(seconds(10)), 0);
  hypervisor_.Start(web);
  EXPECT_EQ(CapturesAfter(seconds(0)), 0);
  EXPECT_EQ(CapturesAfter(seconds(10)), 1);
}

TEST_F(SchedulerTest, LosesNoMomentWhileTheHypervisorIsAway) {
  Make({Every("often", 10, 0)});
  StartVm("web");
  EXPECT_EQ(CapturesAfter(seconds(0)), 0);
  hypervisor_.Disconnect();
  EXPECT_EQ(CapturesAfter(seconds(11)), 0);
  hypervisor_.Reconnect();
  EXPECT_EQ(CapturesAfter(seconds(0)), 1);
}

}  // namespace
}  // namespace vmattest::capture
