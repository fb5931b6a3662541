#include "gate/strict_start.h"

#include <fstream>

#include "gate/drift_watch.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "unit/gate/gate_bed.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;
using hypervisor::DomainState;
using reference::GateMode;
using State = StrictStart::Outcome::State;
using ::testing::Contains;
using testing::GateBed;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::StatusIs;

constexpr int64_t kPid = 4711;

// A fake hypervisor whose hook asks a real gate, and a QEMU that is files of a
// folder that stands for /proc.
class StrictStartTest : public ::testing::Test {
 protected:
  void SetUp() override {
    kernel_ = bed_.dir.Write("vmlinuz", "kernel");
    bed_.strict_start = true;
    bed_.OpenPolicy(GateMode::kEnforce);
    const auto end = bed_.clock.Monotonic() + std::chrono::seconds(30);
    while (!bed_.signer.state().tpm.ok() && bed_.clock.Monotonic() < end) {
      (void)bed_.evidence.ReadClock(end);
    }
    bed_.Approve("web", GateMode::kEnforce);
    uuid_ = hypervisor_.Define("web", Call("prepare").xml);
    hypervisor_.OnStartPaused([this] { return Hook(); });
    Process({"qemu", "-uuid", ToString(uuid_), "-kernel", kernel_.string()});
  }
  GateCall Call(const std::string& operation) {
    GateCall call = bed_.Call("web", operation);
    const std::string before = "/images/web.vmlinuz";
    call.xml.replace(call.xml.find(before), before.size(), kernel_.string());
    if (call.qemu) {
      call.qemu->arguments.back() = kernel_.string();
    }
    return call;
  }
  // What libvirtd and vmattest-hook do at a start.
  absl::Status Hook() {
    for (const char* operation : {"prepare", "start", "started"}) {
      const GateReply reply = bed_.Ask(Call(operation));
      if (!reply.allowed) {
        return absl::InternalError("Hook script execution failed: " +
                                   reply.sentence);
      }
    }
    // The process of these files is none of this machine's.
    LaunchSession session = *bed_.sessions.Find(ToString(uuid_));
    session.process = {kPid, 7};
    bed_.sessions.Put(ToString(uuid_), session);
    if (after_hook_) {
      after_hook_();
    }
    return absl::OkStatus();
  }
  void Process(const std::vector<std::string>& arguments) {
    const std::string folder = "proc/" + std::to_string(kPid);
    fs::create_directories(bed_.dir.path() / folder / "fd");
    std::error_code exists;
    fs::create_symlink("/usr/bin/qemu-system-x86_64",
                       bed_.dir.path() / folder / "exe", exists);
    std::string line;
    for (const std::string& argument : arguments) {
      line += argument + std::string(1, '\0');
    }
    bed_.dir.Write(folder + "/cmdline", line);
    std::string stat = "4711 (qemu) S";
    for (int field = 4; field <= 21; ++field) {
      stat += " 0";
    }
    bed_.dir.Write(folder + "/stat", stat + " 7");
  }
  StrictStart Strict() {
    return StrictStart({.hypervisor = hypervisor_,
                        .digester = bed_.digester,
                        .make_parser = image::MakeDirectHeaderParser,
                        .sessions = bed_.sessions,
                        .leases = bed_.leases,
                        .grants = bed_.grants,
                        .note = bed_.Noter(),
                        .scratch = {},
                        .proc = bed_.dir.path() / "proc"});
  }
  StrictStart::Outcome Start(bool keep_paused = false) {
    const auto outcome = Strict().Start("web", keep_paused);
    EXPECT_THAT(outcome, IsOk());
    return outcome.value_or(StrictStart::Outcome());
  }
  void ExpectEnded(const std::string& code) {
    const StrictStart::Outcome outcome = Start();
    EXPECT_EQ(outcome.state, State::kEnded);
    EXPECT_EQ(outcome.code, code) << outcome.sentence;
    EXPECT_EQ(hypervisor_.FindDomain(uuid_)->state, DomainState::kShutoff);
    EXPECT_THAT(bed_.Kinds(), Contains("strict-start-refused"));
    (void)bed_.Ask(Call("stopped"));
  }

  GateBed bed_;
  testing::FakeHypervisor hypervisor_;
  fs::path kernel_;
  Uuid uuid_;
  std::function<void()> after_hook_;
};

TEST_F(StrictStartTest, APlainStartIsRefusedAndToldHow) {
  const GateReply reply = bed_.Ask(Call("prepare"));
  EXPECT_FALSE(reply.allowed);
  EXPECT_EQ(reply.code, "gate-strict");
  EXPECT_THAT(reply.sentence,
              HasSubstr("vmattest start --vm " + ToString(uuid_)));
}

TEST_F(StrictStartTest, WhatIsAsApprovedRunsOnceItWasLookedAt) {
  after_hook_ = [this] {
    EXPECT_FALSE(bed_.sessions.Find(ToString(uuid_))->checked);
  };
  const StrictStart::Outcome outcome = Start();
  EXPECT_EQ(outcome.state, State::kRunning) << outcome.sentence;
  EXPECT_EQ(outcome.code, "");
  EXPECT_EQ(outcome.vm_uuid, ToString(uuid_));
  EXPECT_EQ(hypervisor_.FindDomain(uuid_)->state, DomainState::kRunning);
  EXPECT_TRUE(bed_.sessions.Find(ToString(uuid_))->checked);
  EXPECT_THAT(bed_.Kinds(), Contains("strict-start"));
  EXPECT_THAT(Strict().Start("web", false),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(StrictStartTest, AGrantIsGoodForOneLaunch) {
  EXPECT_EQ(Start().state, State::kRunning);
  ASSERT_THAT(hypervisor_.Destroy(uuid_), IsOk());
  (void)bed_.Ask(Call("stopped"));
  EXPECT_EQ(bed_.Ask(Call("prepare")).code, "gate-strict");
}

// A launch that came to nothing after its `prepare` leaves nothing either.
TEST_F(StrictStartTest, AGrantOfALaunchThatFailedIsOver) {
  hypervisor_.OnStartPaused([this] {
    EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
    return absl::InternalError("no such bridge");
  });
  EXPECT_THAT(Strict().Start("web", false),
              StatusIs(absl::StatusCode::kInternal));
  EXPECT_EQ(bed_.Ask(Call("prepare")).code, "gate-strict");
}

TEST_F(StrictStartTest, WhatTheGateRefusesIsNotStarted) {
  bed_.verifier.refusals = {
      {"reference-leaf-changed", "os/cmdline", "quiet", "init=/bin/sh"}};
  const StrictStart::Outcome outcome = Start();
  EXPECT_EQ(outcome.state, State::kRefused);
  EXPECT_EQ(outcome.code, "gate-refused");
  EXPECT_THAT(outcome.sentence, HasSubstr("os/cmdline"));
  EXPECT_EQ(hypervisor_.FindDomain(uuid_)->state, DomainState::kShutoff);
}

TEST_F(StrictStartTest, WhatRunsIsNotWhatWasMeasured) {
  after_hook_ = [this] { Process({"qemu", "-uuid", ToString(uuid_)}); };
  ExpectEnded("gate-process");
  Process({"qemu", "-uuid", ToString(uuid_), "-kernel", kernel_.string()});

  after_hook_ = [this] {
    fs::rename(kernel_, kernel_.string() + ".old");
    std::ofstream(kernel_) << "kernel";
  };
  ExpectEnded("gate-file-swapped");
  fs::rename(kernel_.string() + ".old", kernel_);

  after_hook_ = [this] { std::ofstream(kernel_, std::ios::app) << "evil"; };
  ExpectEnded("gate-file-changed");
}

TEST_F(StrictStartTest, APluggedDeviceOrAMonitorCommandIsSeen) {
  std::string other = Call("prepare").xml;
  other.insert(other.find("</domain>"),
               "<devices><hostdev mode='subsystem' type='usb'><source>"
               "<vendor id='0x1'/></source></hostdev></devices>");
  hypervisor_.Define("web", other);
  ExpectEnded("gate-changed");
  hypervisor_.Define("web", Call("prepare").xml);
  hypervisor_.OnGetXml([this] {
    hypervisor_.Taint(uuid_, "tainted: custom monitor control commands issued");
  });
  ExpectEnded("gate-changed");
}

TEST_F(StrictStartTest, AProcessThatCannotBeSeenIsNotBelieved) {
  fs::remove_all(bed_.dir.path() / "proc");
  ExpectEnded("gate-process");
}

// Nobody compares what the gate did not see start.
TEST_F(StrictStartTest, AHookThatLibvirtDidNotCallEndsTheVm) {
  hypervisor_.OnStartPaused(nullptr);
  ExpectEnded("gate-no-prepare");
}

TEST_F(StrictStartTest, WhatDiffersIsKeptPausedForWhoeverWantsToLook) {
  after_hook_ = [this] { Process({"qemu", "-uuid", ToString(uuid_)}); };
  EXPECT_EQ(Start(/*keep_paused=*/true).state, State::kPaused);
  EXPECT_EQ(hypervisor_.FindDomain(uuid_)->state, DomainState::kPaused);
  // Once it is as approved, it may go on.
  Process({"qemu", "-uuid", ToString(uuid_), "-kernel", kernel_.string()});
  EXPECT_EQ(Start().state, State::kRunning);
}

TEST_F(StrictStartTest, WhoResumesItBeforeItWasLookedAtIsTooEarly) {
  hypervisor_.OnGetXml([this] { (void)hypervisor_.Resume(uuid_); });
  const StrictStart::Outcome outcome = Start();
  EXPECT_EQ(outcome.state, State::kEnded);
  EXPECT_EQ(outcome.code, "gate-strict");
}

// Its own start then finds the VM running: by the grant, but not paused.
TEST_F(StrictStartTest, AnotherStartThatTakesTheGrantIsEnded) {
  hypervisor_.OnStartPaused([this] {
    EXPECT_THAT(Hook(), IsOk());
    hypervisor_.Start(uuid_);
    return absl::FailedPreconditionError("domain is already running");
  });
  ExpectEnded("gate-strict");
}

TEST_F(StrictStartTest, UnderWarnItRunsAndIsToldOf) {
  bed_.Approve("web", GateMode::kWarn, 2);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  after_hook_ = [this] { Process({"qemu", "-uuid", ToString(uuid_)}); };
  const StrictStart::Outcome outcome = Start();
  EXPECT_EQ(outcome.state, State::kRunning);
  EXPECT_EQ(outcome.code, "gate-process");
}

TEST_F(StrictStartTest, WarnAndLearnStillMeasureWhatAPlainStartStarts) {
  bed_.Approve("web", GateMode::kLearn, 2);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("start")).allowed);
  EXPECT_TRUE(
      fs::exists(bed_.dir.path() / "learned" / (ToString(uuid_) + ".yaml")));
  bed_.Approve("web", GateMode::kWarn, 3);
  const GateReply prepare = bed_.Ask(Call("prepare"));
  EXPECT_EQ(prepare.basis, Basis::kWarn);
  EXPECT_EQ(prepare.code, "gate-strict");
  EXPECT_EQ(bed_.Ask(Call("start")).basis, Basis::kKeptVerdict);
  EXPECT_EQ(bed_.Ask(Call("started")).code, "gate-strict");
  EXPECT_TRUE(bed_.sessions.Find(ToString(uuid_))->running);
}

TEST_F(StrictStartTest, WhatADaemonBeforeThisOneLeftPausedIsNotLetGo) {
  after_hook_ = [this] { Process({"qemu", "-uuid", ToString(uuid_)}); };
  EXPECT_EQ(Start(/*keep_paused=*/true).state, State::kPaused);
  LaunchSession loaded = *bed_.sessions.Find(ToString(uuid_));
  loaded.start_allowed = false;  // as SessionStore gives it
  bed_.sessions.Put(ToString(uuid_), loaded);
  EXPECT_THAT(Strict().Start("web", false),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(StrictStartTest, AMigrationRunsElsewhereAndNeedsNoGrant) {
  EXPECT_TRUE(bed_.Ask(Call("migrate")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("start")).allowed);
  // But what then starts cold is no migration.
  EXPECT_EQ(bed_.Ask(Call("started")).code, "gate-strict");
  EXPECT_TRUE(bed_.Ask(Call("migrate")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("start")).allowed);
  GateCall started = Call("started");
  started.qemu->arguments.insert(started.qemu->arguments.end(),
                                 {"-incoming", "defer"});
  EXPECT_TRUE(bed_.Ask(started).allowed) << bed_.Ask(started).sentence;
}

TEST_F(StrictStartTest, ResumedPastTheDaemonItIsPausedAgain) {
  after_hook_ = [this] { Process({"qemu", "-uuid", ToString(uuid_)}); };
  EXPECT_EQ(Start(/*keep_paused=*/true).state, State::kPaused);
  DriftWatch watch({.hypervisor = hypervisor_,
                    .digester = bed_.digester,
                    .make_parser = image::MakeDirectHeaderParser,
                    .sessions = bed_.sessions,
                    .leases = bed_.leases,
                    .note = bed_.Noter(),
                    .scratch = {}},
                   /*pause=*/true);
  watch.Look();
  EXPECT_THAT(bed_.Kinds(), Not(Contains("gate-drift")));
  ASSERT_THAT(hypervisor_.Resume(uuid_), IsOk());
  watch.Look();
  EXPECT_THAT(bed_.Kinds(), Contains("gate-drift"));
  EXPECT_EQ(hypervisor_.FindDomain(uuid_)->state, DomainState::kPaused);
  // It ran: what it would be compared with is of before.
  EXPECT_THAT(Strict().Start("web", false),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(StrictStartTest, OneStartAtATime) {
  hypervisor_.OnStartPaused([this] {
    EXPECT_THAT(Strict().Start("web", false),
                StatusIs(absl::StatusCode::kFailedPrecondition));
    return Hook();
  });
  EXPECT_EQ(Start().state, State::kRunning);
  EXPECT_THAT(Strict().Start("nobody", false),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmattest::gate
