#include "attestor/lifecycle.h"

#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "unit/attestor/attestor_bed.h"

namespace vmattest::attestor {
namespace {

using testing::AttestorBed;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HeldExecutor;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;
using ::testing::SizeIs;
using testing::StatusIs;

class LifecycleTest : public ::testing::Test {
 protected:
  Lifecycle::Parts Parts(Executor& work) {
    return {.hypervisor = bed_.hypervisor,
            .measurer = bed_.measurer,
            .store = bed_.store,
            .recorder = bed_.recorder,
            .work = work,
            .clock = bed_.clock};
  }
  Lifecycle::Options Options() {
    Lifecycle::Options options;
    options.event_history = 100;
    options.on_state = [this](const absl::Status& state) {
      states_.push_back(state);
    };
    return options;
  }
  std::string LastRoot(const Uuid& uuid) {
    return ToHex(bed_.Stored(uuid).last_measurement->root);
  }

  AttestorBed bed_;
  std::vector<absl::Status> states_;
  Lifecycle lifecycle_{Parts(bed_.executor), Options()};
};

TEST_F(LifecycleTest, MeasuresWhatIsDefinedStartedAndStopped) {
  bed_.hypervisor.Start(&lifecycle_);
  const Uuid web = bed_.Define("web");
  EXPECT_EQ(bed_.Stored(web).state, "shutoff");
  EXPECT_THAT(bed_.Stored(web).last_measurement->root, SizeIs(32));
  bed_.hypervisor.Start(web);
  EXPECT_EQ(bed_.Stored(web).state, "running");
  EXPECT_EQ(bed_.Stored(web).last_measurement->cause, "started");
  bed_.hypervisor.Stop(web);
  EXPECT_EQ(bed_.Stored(web).last_measurement->cause, "stopped");
  EXPECT_THAT(bed_.EventKinds(), ElementsAre("defined", "started", "stopped"));
  for (const auto& event : bed_.Events()) {
    EXPECT_TRUE(event.measurement.has_value());
    EXPECT_FALSE(event.changed);
  }
}

TEST_F(LifecycleTest, TellsThatADefinitionChanged) {
  bed_.hypervisor.Start(&lifecycle_);
  const Uuid web = bed_.Define("web");
  const std::string before = LastRoot(web);
  bed_.Define("web", "<title>tampered</title>");
  EXPECT_NE(LastRoot(web), before);
  EXPECT_TRUE(bed_.Events().back().changed);
}

TEST_F(LifecycleTest, RecordsPausesWithoutMeasuring) {
  bed_.hypervisor.Start(&lifecycle_);
  const Uuid web = bed_.Define("web");
  bed_.hypervisor.Start(web);
  const int reads = bed_.digester.reads;
  EXPECT_THAT(bed_.hypervisor.Suspend(web), IsOk());
  EXPECT_EQ(bed_.Stored(web).state, "paused");
  ASSERT_THAT(bed_.hypervisor.Resume(web), IsOk());
  EXPECT_EQ(bed_.Stored(web).state, "running");
  EXPECT_EQ(bed_.digester.reads, reads);
}

TEST_F(LifecycleTest, AFailedMeasurementDoesNotLeaveTheOldRoot) {
  bed_.hypervisor.Start(&lifecycle_);
  const Uuid web = bed_.Define("web");
  bed_.digester.missing = "/images/web.vmlinuz";
  bed_.hypervisor.Start(web);
  const auto last = bed_.Stored(web).last_measurement;
  EXPECT_THAT(last->root, IsEmpty());
  EXPECT_THAT(last->error, HasSubstr("/images/web.vmlinuz"));
  EXPECT_THAT(last->error, HasSubstr("measuring: "));
}

TEST_F(LifecycleTest, AStoppedTransientDomainIsGoneAndNoError) {
  bed_.hypervisor.Start(&lifecycle_);
  const Uuid job =
      bed_.hypervisor.CreateTransient("job", AttestorBed::Xml("job"));
  const std::string root = LastRoot(job);
  bed_.hypervisor.Stop(job);
  EXPECT_EQ(bed_.Stored(job).state, "undefined");
  EXPECT_EQ(LastRoot(job), root);
  EXPECT_THAT(bed_.EventKinds(), ElementsAre("started", "stopped"));
}

TEST_F(LifecycleTest, SaysThatAVmRanUnmeasured) {
  HeldExecutor held;
  Lifecycle slow(Parts(held), Options());
  bed_.hypervisor.Start(&slow);
  held.RunAll();
  const Uuid job =
      bed_.hypervisor.CreateTransient("job", AttestorBed::Xml("job"));
  bed_.hypervisor.Stop(job);
  held.RunAll();
  EXPECT_EQ(bed_.Stored(job).state, "undefined");
  EXPECT_EQ(bed_.Stored(job).last_measurement->error,
            "gone before it could be measured");
}

TEST_F(LifecycleTest, UndefiningARunningDomainLeavesItRunning) {
  bed_.hypervisor.Start(&lifecycle_);
  const Uuid web = bed_.Define("web");
  bed_.hypervisor.Start(web);
  bed_.hypervisor.Undefine(web);
  EXPECT_EQ(bed_.Stored(web).state, "running");
  EXPECT_FALSE(bed_.Stored(web).persistent);
  bed_.hypervisor.Stop(web);
  EXPECT_EQ(bed_.Stored(web).state, "undefined");
}

TEST_F(LifecycleTest, MergesEqualEventsThatWaitTogether) {
  HeldExecutor held;
  Lifecycle slow(Parts(held), Options());
  bed_.hypervisor.Start(&slow);
  held.RunAll();
  for (int i = 0; i < 10; ++i) {
    bed_.Define("web");
  }
  bed_.hypervisor.Start(testing::FakeHypervisor::UuidOf("web"));
  held.RunAll();
  EXPECT_THAT(bed_.EventKinds(), ElementsAre("defined", "started"));
}

TEST_F(LifecycleTest, ReconcilesAVmWithTooManyEventsWaiting) {
  HeldExecutor held;
  Lifecycle slow(Parts(held), Options());
  bed_.hypervisor.Start(&slow);
  held.RunAll();
  const Uuid web = bed_.Define("web");
  for (int i = 0; i < 100; ++i) {
    bed_.hypervisor.Start(web);
    bed_.hypervisor.Stop(web);
  }
  held.RunAll();
  EXPECT_THAT(bed_.EventKinds().size(), ::testing::Le(20u));
  EXPECT_EQ(bed_.Stored(web).state, "shutoff");
  EXPECT_THAT(bed_.Stored(web).last_measurement->root, SizeIs(32));
}

TEST_F(LifecycleTest, FindsOnConnectingWhatItMissed) {
  const Uuid web = bed_.Define("web");
  bed_.hypervisor.Start(&lifecycle_);
  EXPECT_THAT(bed_.EventKinds(), ElementsAre("reconciled"));
  EXPECT_EQ(bed_.Stored(web).last_measurement->cause, "reconciled");
}

TEST_F(LifecycleTest, RecordsOnReconnectingOnlyWhatChanged) {
  bed_.hypervisor.Start(&lifecycle_);
  bed_.Define("same");
  const Uuid changed = bed_.Define("changed");
  const Uuid removed = bed_.Define("removed");
  bed_.hypervisor.Disconnect();
  bed_.Define("changed", "<title>tampered</title>");
  bed_.hypervisor.Undefine(removed);
  bed_.hypervisor.Reconnect();
  ASSERT_OK_AND_ASSIGN(const auto events, bed_.store.Events(3, 10));
  ASSERT_THAT(events, SizeIs(2));
  for (const auto& event : events) {
    EXPECT_EQ(event.kind, "reconciled");
    EXPECT_EQ(event.changed, event.uuid == changed);
  }
  EXPECT_EQ(bed_.Stored(removed).state, "undefined");
}

TEST_F(LifecycleTest, ReportsTheConnection) {
  bed_.hypervisor.Start(&lifecycle_);
  bed_.hypervisor.Disconnect();
  bed_.hypervisor.Reconnect();
  EXPECT_THAT(
      states_,
      ElementsAre(IsOk(), StatusIs(absl::StatusCode::kUnavailable), IsOk()));
}

TEST_F(LifecycleTest, ReconcileCountsWhatItMeasured) {
  bed_.Define("web");
  bed_.Define("broken");
  bed_.digester.missing = "/images/broken.vmlinuz";
  ASSERT_OK_AND_ASSIGN(const ReconcileResult result, lifecycle_.Reconcile());
  EXPECT_EQ(result.measured, 1u);
  EXPECT_EQ(result.failed, 1u);
}

TEST_F(LifecycleTest, ReconcileEndsThoughTheExecutorIsFull) {
  HeldExecutor held;
  held.SetFull(true);
  Lifecycle slow(Parts(held), Options());
  bed_.Define("web");
  EXPECT_EQ(slow.Reconcile()->measured, 1u);
}

TEST_F(LifecycleTest, ReconcileWithoutAHypervisorIsUnavailable) {
  bed_.hypervisor.Disconnect();
  EXPECT_THAT(lifecycle_.Reconcile(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(LifecycleTest, TrimsTheHistory) {
  Lifecycle::Options options;
  options.event_history = 2;
  Lifecycle forgetful(Parts(bed_.executor), options);
  for (const char* name : {"a", "b", "c", "d"}) {
    bed_.Define(name);
  }
  ASSERT_THAT(forgetful.Reconcile(), IsOk());
  ASSERT_THAT(forgetful.Reconcile(), IsOk());
  EXPECT_THAT(bed_.EventKinds(), SizeIs(2));
}

TEST_F(LifecycleTest, FollowsManyDomainsOnThreads) {
  ThreadPool pool("work", 3, 16);
  Lifecycle busy(Parts(pool), Options());
  bed_.hypervisor.Start(&busy);
  for (int i = 0; i < 40; ++i) {
    const Uuid uuid = bed_.Define("vm-" + std::to_string(i));
    bed_.hypervisor.Start(uuid);
  }
  ASSERT_OK_AND_ASSIGN(const ReconcileResult result, busy.Reconcile());
  EXPECT_EQ(result.measured, 40u);
  ASSERT_OK_AND_ASSIGN(const auto vms, bed_.store.List(std::nullopt, 100));
  for (const auto& vm : vms) {
    EXPECT_EQ(vm.state, "running");
    EXPECT_THAT(vm.last_measurement->root, SizeIs(32));
  }
}

}  // namespace
}  // namespace vmattest::attestor
