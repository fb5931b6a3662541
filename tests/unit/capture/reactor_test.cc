#include "capture/reactor.h"

#include <gmock/gmock.h>

#include "base/file.h"
#include "fakes/fake_hypervisor.h"
#include "fakes/manual_clock.h"
#include "support/temp_dir.h"

namespace vmattest::capture {
namespace {

using hypervisor::DomainState;
using testing::FakeHypervisor;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kNow = 1'700'000'000'000;

class ReactorTest : public ::testing::Test {
 protected:
  ReactorTest() {
    vm_ = hypervisor_.Define("web", FakeHypervisor::Xml("web", vm_));
    hypervisor_.Start(vm_);
    hypervisor_.AnswerUpdateDevice(absl::OkStatus());
    policy_.id = "kernel";
    policy_.version = 1;
    policy_.reaction = {"pause", 60, false, 1};
    bad_.compared = true;
    bad_.score = 50;
    bad_.failures = {{"baseline-score", "score", "at least 90", "50"}};
    bad_.differences = {"critical syscall/62 (code): elsewhere"};
  }
  Reactor Make() {
    return Reactor(
        {.hypervisor = hypervisor_,
         .clock = clock_,
         .file = dir_.path() / "reactions",
         .note =
             [this](std::string kind, auto facts) {
               EXPECT_EQ(kind, "memory-alert");
               notes_.push_back(std::move(facts));
             },
         .links_down = [](const std::string&)
             -> absl::StatusOr<std::vector<std::string>> {
           return std::vector<std::string>{"<interface/>"};
         },
         .isolating =
             [this](const Uuid& vm) {
               EXPECT_THAT(hypervisor_.updated_devices(), IsEmpty())
                   << "told too late";
               isolated_.push_back(vm);
             },
         .run_of = [this](const Uuid&, const std::string&) { return run_; }});
  }
  std::string React(Reactor& reactor) {
    return reactor.React({ToString(vm_), "web", "boot.1.2", "s1"}, policy_,
                         bad_);
  }
  DomainState State() { return hypervisor_.FindDomain(vm_)->state; }

  testing::TempDir dir_;
  testing::ManualClock clock_{kNow};
  FakeHypervisor hypervisor_;
  Uuid vm_ = FakeHypervisor::UuidOf("web");
  snapshot::Policy policy_;
  SnapshotVerdict bad_;
  std::string run_ = "boot.1.2";
  std::vector<Uuid> isolated_;
  std::vector<std::map<std::string, std::string>> notes_;
};

TEST_F(ReactorTest, DoesWhatThePolicySays) {
  Reactor reactor = Make();
  EXPECT_EQ(React(reactor), "paused");
  EXPECT_EQ(State(), DomainState::kPaused);
  policy_.id = "second";
  policy_.reaction.action = "isolate";
  EXPECT_EQ(React(reactor), "links down");
  EXPECT_THAT(hypervisor_.updated_devices(), SizeIs(1));
  EXPECT_EQ(isolated_, std::vector<Uuid>{vm_});
  policy_.reaction.action = "destroy";
  policy_.id = "third";
  EXPECT_EQ(React(reactor), "destroyed");
  EXPECT_EQ(State(), DomainState::kShutoff);
  EXPECT_EQ(reactor.counters().done, 3U);
  ASSERT_THAT(notes_, SizeIs(3));
  EXPECT_EQ(notes_[0]["reaction"], "paused");
  EXPECT_EQ(notes_[0]["score"], "50");
  EXPECT_THAT(notes_[0]["differences"], HasSubstr("syscall/62"));
}

TEST_F(ReactorTest, DoesNothingThatThePolicyDoesNotSay) {
  Reactor reactor = Make();
  policy_.reaction = {};
  EXPECT_EQ(React(reactor), "alert");
  policy_.reaction = {"pause", 50, false, 1};
  EXPECT_EQ(React(reactor), "alert") << "not below";
  policy_.reaction = {"pause", 100, false, 1};
  bad_.compared = false;
  bad_.score = 0;
  EXPECT_EQ(React(reactor), "alert") << "no score";
  EXPECT_EQ(State(), DomainState::kRunning);
  bad_.compared = bad_.trusted = true;
  bad_.score = 100;
  EXPECT_EQ(React(reactor), "");
  EXPECT_THAT(notes_, SizeIs(3));
}

TEST_F(ReactorTest, AnotherRunIsLeftAlone) {
  Reactor reactor = Make();
  run_ = "boot.3.4";
  EXPECT_EQ(React(reactor), "not paused: it was started anew since");
  EXPECT_EQ(State(), DomainState::kRunning);
  EXPECT_EQ(reactor.counters().failed, 1U);
  run_ = "";
  EXPECT_EQ(React(reactor), "paused") << "and that counted for nothing";
}

TEST_F(ReactorTest, ADryRunOnlyTells) {
  Reactor reactor = Make();
  policy_.reaction.dry_run = true;
  EXPECT_EQ(React(reactor), "would pause");
  EXPECT_EQ(State(), DomainState::kRunning);
  EXPECT_EQ(reactor.counters().dry_runs, 1U);
  EXPECT_EQ(notes_[0]["reaction"], "would pause");
}

TEST_F(ReactorTest, TheRateHoldsOverRestarts) {
  {
    Reactor reactor = Make();
    EXPECT_EQ(React(reactor), "paused");
  }
  ASSERT_TRUE(hypervisor_.Resume(vm_).ok());
  Reactor reactor = Make();
  EXPECT_THAT(React(reactor), HasSubstr("not paused: at most 1 per hour"));
  EXPECT_EQ(State(), DomainState::kRunning);
  EXPECT_EQ(reactor.counters().held_back, 1U);
  clock_.Advance(std::chrono::minutes(59));
  EXPECT_THAT(React(reactor), HasSubstr("not paused"));
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_EQ(React(reactor), "paused");
}

TEST_F(ReactorTest, TheRateIsOfEachVmAndPolicy) {
  Reactor reactor = Make();
  EXPECT_EQ(React(reactor), "paused");
  policy_.id = "other";
  policy_.reaction.at_most_per_hour = 0;
  EXPECT_EQ(React(reactor), "paused") << "0 is 1";
  EXPECT_THAT(React(reactor), HasSubstr("at most 1"));
}

TEST_F(ReactorTest, WhatFailsCountsToo) {
  Reactor reactor = Make();
  hypervisor_.Stop(vm_);
  EXPECT_THAT(React(reactor), HasSubstr("not paused"));
  EXPECT_EQ(reactor.counters().failed, 1U);
  hypervisor_.Start(vm_);
  EXPECT_THAT(React(reactor), HasSubstr("at most 1"));
}

TEST_F(ReactorTest, WithADamagedFileNothingIsDone) {
  for (const char* content :
       {"", "something else\n", "vmattest/reactions/v1\n17x a b\n",
        "vmattest/reactions/v1\n17\n"}) {
    ASSERT_TRUE(
        WriteFileAtomic(dir_.path() / "reactions", AsBytes(content)).ok());
    Reactor reactor = Make();
    EXPECT_THAT(React(reactor), HasSubstr("damaged")) << content;
  }
  EXPECT_EQ(State(), DomainState::kRunning);
}

}  // namespace
}  // namespace vmattest::capture
