#include "gate/launch_gate.h"

#include <fstream>

#include "base/file.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "unit/gate/gate_bed.h"

namespace vmattest::gate {
namespace {

using reference::GateMode;
using ::testing::Contains;
using testing::GateBed;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class LaunchGateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto end = bed_.clock.Monotonic() + std::chrono::seconds(30);
    while (!bed_.signer.state().tpm.ok() && bed_.clock.Monotonic() < end) {
      (void)bed_.evidence.ReadClock(end);
    }
  }
  void ExpectDenied(const GateReply& reply, const std::string& code) {
    EXPECT_FALSE(reply.allowed);
    EXPECT_EQ(reply.basis, Basis::kNone);
    EXPECT_EQ(reply.code, code) << reply.sentence;
    EXPECT_THAT(reply.sentence, Not(IsEmpty()));
  }
  GateBed bed_;
};

TEST_F(LaunchGateTest, LetsAnApprovedVmStartWithTheHooksNonceInItsVerdict) {
  bed_.Approve("web", GateMode::kEnforce);
  const GateCall call = bed_.Call("web", "prepare");
  const GateReply reply = bed_.Ask(call);
  EXPECT_TRUE(reply.allowed) << reply.sentence;
  EXPECT_EQ(reply.basis, Basis::kVerdict);
  EXPECT_EQ(reply.vm_uuid, GateBed::Uuid("web"));
  const token::OpenedEar opened =
      token::VerifyEar(reply.ear, bed_.verifier.keys(),
                       {.now = bed_.clock.Now(), .nonce = call.nonce});
  EXPECT_TRUE(opened.verdict.trusted());
}

TEST_F(LaunchGateTest, ALaunchNeedsOneVerdictAndItsRestHoldsByTheKeptOne) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kVerdict);
  EXPECT_EQ(bed_.Ask("web", "start").basis, Basis::kKeptVerdict);
  EXPECT_EQ(bed_.verifier.asked(), 1);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kKeptVerdict);
  EXPECT_EQ(bed_.verifier.asked(), 1);
}

TEST_F(LaunchGateTest, AKeptVerdictCostsNoSignatureOfTheTpm) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kVerdict);
  const int signatures = bed_.tpm.quotes_made();
  EXPECT_GT(signatures, 0);
  for (const char* operation : {"start", "prepare", "start"}) {
    EXPECT_EQ(bed_.Ask("web", operation).basis, Basis::kKeptVerdict);
  }
  EXPECT_EQ(bed_.tpm.quotes_made(), signatures);
}

TEST_F(LaunchGateTest, S10_AnUnknownVmIsDeniedUnderEnforce) {
  ExpectDenied(bed_.Ask("stranger", "prepare"), "gate-no-reference");
  EXPECT_EQ(bed_.verifier.asked(), 0);
}

TEST_F(LaunchGateTest, ARefusalNamesTheLeafAndTheFix) {
  bed_.Approve("web", GateMode::kEnforce);
  bed_.verifier.refusals = {
      {"reference-leaf-changed", "os/cmdline", "quiet", "init=/bin/sh"}};
  bed_.verifier.change = [](token::Ear& ear) {
    ear.submodules["config"].fixes = {"set os/cmdline to 'quiet'"};
  };
  const GateReply reply = bed_.Ask("web", "prepare");
  ExpectDenied(reply, "gate-refused");
  EXPECT_THAT(reply.sentence, HasSubstr("os/cmdline"));
  EXPECT_THAT(reply.sentence, HasSubstr("init=/bin/sh"));
  EXPECT_THAT(reply.sentence, HasSubstr("set os/cmdline to 'quiet'"));
  EXPECT_THAT(bed_.Kinds(), Contains("gate-denied"));
}

TEST_F(LaunchGateTest, EveryFailureIsADenialWithASentenceOfItsOwn) {
  bed_.Approve("web", GateMode::kEnforce);
  bed_.verifier.failure = absl::UnavailableError("no route");
  ExpectDenied(bed_.Ask("web", "prepare"), "gate-verifier");
  bed_.verifier.failure = absl::DeadlineExceededError("too slow");
  ExpectDenied(bed_.Ask("web", "prepare"), "gate-timeout");
  bed_.verifier.failure = absl::UnknownError("");
  ExpectDenied(bed_.Ask("web", "prepare"), "gate-verifier");
  bed_.verifier.failure = absl::OkStatus();
  bed_.digester.missing = "/images/web.vmlinuz";
  ExpectDenied(bed_.Ask("web", "prepare"), "gate-measuring");
  bed_.digester.missing.clear();
  GateCall broken = bed_.Call("web", "prepare");
  broken.xml = "<domain><uuid>nonsense";
  ExpectDenied(bed_.Ask(broken), "gate-xml");
  const GateReply late =
      bed_.gate->Decide(bed_.Call("web", "prepare"), bed_.clock.Monotonic());
  EXPECT_FALSE(late.allowed);
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
}

TEST_F(LaunchGateTest, TokensThatAreNotForThisLaunchAreNotBelieved) {
  bed_.Approve("web", GateMode::kEnforce);
  const std::function<void(token::Ear&)> lies[] = {
      [](token::Ear& ear) { ear.nonce = Bytes(32, 1); },
      [](token::Ear& ear) {
        ear.submodules["config"].vm_uuid = GateBed::Uuid("other");
      },
      [](token::Ear& ear) {
        ear.submodules["config"].host_id = std::string(64, 'f');
      },
      [this](token::Ear& ear) {
        ear.issued = bed_.clock.Now() - std::chrono::hours(3);
        ear.expires = bed_.clock.Now() - std::chrono::hours(2);
      }};
  for (const auto& lie : lies) {
    bed_.verifier.change = lie;
    ExpectDenied(bed_.Ask("web", "prepare"), "gate-verdict");
  }
}

TEST_F(LaunchGateTest, WithoutATpmNothingStarts) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
  bed_.signer.Stop();
  ExpectDenied(bed_.Ask("web", "prepare"), "gate-tpm");
}

TEST_F(LaunchGateTest, ALaunchWaitsForTheTpmOnceUnlessItTakesLong) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
  bed_.signer.Stop();
  EXPECT_EQ(bed_.Ask("web", "start").basis, Basis::kKeptVerdict);
  LaunchSession session = *bed_.sessions.Find(GateBed::Uuid("web"));
  session.clock_read_ms -= 20'000;
  bed_.sessions.Put(GateBed::Uuid("web"), session);
  ExpectDenied(bed_.Ask("web", "start"), "gate-tpm");
}

TEST_F(LaunchGateTest, AKeptVerdictOutlivesAVerifierThatIsAway) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
  bed_.verifier.failure = absl::UnavailableError("no route");
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kKeptVerdict);
  EXPECT_FALSE(bed_.Ask("web", "prepare",
                        "<description>x</description>"
                        "<on_crash>restart</on_crash>")
                   .allowed);
}

TEST_F(LaunchGateTest, AnotherRevisionOfTheReferenceEndsKeptVerdicts) {
  bed_.Approve("web", GateMode::kEnforce, 1);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kVerdict);
  bed_.Approve("web", GateMode::kEnforce, 2);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kVerdict);
}

TEST_F(LaunchGateTest, StartNeedsAPrepareThatWasAllowed) {
  bed_.Approve("web", GateMode::kEnforce);
  ExpectDenied(bed_.Ask("web", "start"), "gate-no-prepare");
  ExpectDenied(bed_.Ask("web", "started"), "gate-no-prepare");
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
  ExpectDenied(bed_.Ask("web", "started"), "gate-no-prepare");
}

TEST_F(LaunchGateTest, WhatLibvirtChoosesLaterIsDecidedAtStart) {
  bed_.Approve("web", GateMode::kEnforce);
  GateCall prepare = bed_.Call("web", "prepare");
  prepare.xml.replace(prepare.xml.find("<os>"), 4, "<os firmware='efi'>");
  EXPECT_EQ(bed_.Ask(prepare).basis, Basis::kDeferred);
  bed_.verifier.refusals = {{"reference-leaf-changed", "os/loader", "", ""}};
  ExpectDenied(bed_.Ask("web", "start"), "gate-refused");
}

TEST_F(LaunchGateTest, WarnLetsThroughAndSaysSo) {
  bed_.Approve("web", GateMode::kWarn);
  bed_.verifier.refusals = {{"reference-leaf-changed", "memory/max", "1", "2"}};
  const GateReply reply = bed_.Ask("web", "prepare");
  EXPECT_TRUE(reply.allowed);
  EXPECT_EQ(reply.basis, Basis::kWarn);
  EXPECT_EQ(reply.code, "gate-refused");
  EXPECT_TRUE(bed_.Ask("web", "start").allowed);
  EXPECT_TRUE(bed_.Ask("web", "started").allowed);
}

TEST_F(LaunchGateTest, LearnLetsThroughAndKeepsWhatItSaw) {
  bed_.Approve("web", GateMode::kLearn);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kLearn);
  EXPECT_EQ(bed_.Ask("web", "start").basis, Basis::kLearn);
  EXPECT_EQ(bed_.verifier.asked(), 0);
  const auto yaml = ReadFile(
      bed_.dir.path() / "learned" / (GateBed::Uuid("web") + ".yaml"), 1u << 20);
  ASSERT_TRUE(yaml.ok());
  ASSERT_OK_AND_ASSIGN(const reference::Reference learned,
                       reference::FromYaml(AsText(*yaml)));
  EXPECT_EQ(learned.vm_uuids, std::vector{GateBed::Uuid("web")});
  // Signed, it goes before the one that let it learn.
  EXPECT_EQ(learned.name, "of-web");
  EXPECT_EQ(learned.revision, 2U);
  EXPECT_EQ(learned.mode, GateMode::kEnforce);
}

TEST_F(LaunchGateTest, S10_OnlyAnApproversSignatureMakesAVmLearnOrWarn) {
  const document::PrivateKey stranger =
      *document::PrivateKey::Generate("stranger", std::nullopt);
  const auto taken = bed_.policy->Take(
      {.references = {bed_.Reference("web", GateMode::kLearn, 1, stranger)}},
      bed_.clock.Now());
  EXPECT_EQ(taken.value_or(9), 0U);
  ExpectDenied(bed_.Ask("web", "prepare", "<metadata>learn</metadata>"),
               "gate-no-reference");
}

TEST_F(LaunchGateTest, BrokenGlassLetsOneLaunchThrough) {
  bed_.BreakGlass("web", bed_.HostId(), bed_.approver, 60'000);
  EXPECT_EQ(bed_.Ask("web", "prepare").basis, Basis::kBreakGlass);
  EXPECT_EQ(bed_.Ask("web", "start").basis, Basis::kBreakGlass);
  EXPECT_EQ(bed_.Ask("web", "started").basis, Basis::kBreakGlass);
  EXPECT_THAT(bed_.Kinds(), Contains("break-glass"));
  EXPECT_EQ(bed_.Ask("web", "stopped").basis, Basis::kNotGated);
  ExpectDenied(bed_.Ask("web", "prepare"), "gate-no-reference");
  // Nor does a daemon that starts again believe a used order.
  bed_.OpenPolicy(GateMode::kEnforce);
  ExpectDenied(bed_.Ask("web", "prepare"), "gate-no-reference");
}

TEST_F(LaunchGateTest, OrdersForOthersOrByOthersOrTooLateBreakNothing) {
  const document::PrivateKey stranger =
      *document::PrivateKey::Generate("stranger", std::nullopt);
  bed_.BreakGlass("other", bed_.HostId(), bed_.approver, 60'000);
  bed_.BreakGlass("web", std::string(64, 'a'), bed_.approver, 60'000);
  bed_.BreakGlass("web", "", bed_.approver, 60'000);
  bed_.BreakGlass("web", bed_.HostId(), stranger, 60'000);
  bed_.BreakGlass("web", bed_.HostId(), bed_.approver, -1000);
  ExpectDenied(bed_.Ask("web", "prepare"), "gate-no-reference");
}

TEST_F(LaunchGateTest, AVmThatRanBeforeCountsNothingForTheNextLaunch) {
  bed_.Approve("web", GateMode::kEnforce);
  LaunchSession over;
  over.running = over.prepared = over.start_allowed = true;
  over.break_glass = over.incoming = true;
  over.ear = "ear";
  for (const char* operation : {"start", "started"}) {
    bed_.sessions.Put(GateBed::Uuid("web"), over);
    ExpectDenied(bed_.Ask("web", operation), "gate-no-prepare");
  }
}

class HeldFileTest : public LaunchGateTest {
 protected:
  // Of a VM with a real kernel.
  GateCall Call(const std::string& operation) {
    GateCall call = bed_.Call("web", operation);
    const std::string before = "/images/web.vmlinuz";
    call.xml.replace(call.xml.find(before), before.size(), kernel_.string());
    if (call.qemu) {
      call.qemu->arguments.back() = kernel_.string();
    }
    return call;
  }
  void WriteToKernel() { std::ofstream(kernel_, std::ios::app) << "evil"; }
  const std::filesystem::path kernel_ = bed_.dir.Write("vmlinuz", "k");
};

TEST_F(HeldFileTest, AWriterBetweenStartAndStartedEndsTheLaunch) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("start")).allowed);
  WriteToKernel();
  const GateReply reply = bed_.Ask(Call("started"));
  ExpectDenied(reply, "gate-lease-broken");
  EXPECT_THAT(reply.sentence, HasSubstr(kernel_.string()));
}

TEST_F(HeldFileTest, AWriterWhileItIsMeasuredEndsTheLaunch) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  bed_.digester.on_digest = [this](const auto&) { WriteToKernel(); };
  ExpectDenied(bed_.Ask(Call("start")), "gate-lease-broken");
  bed_.digester.on_digest = {};
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("start")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("started")).allowed);
}

TEST_F(HeldFileTest, OpeningAFileWithoutWritingEndsNothing) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("start")).allowed);
  { const std::fstream locks(kernel_, std::ios::in | std::ios::out); }
  std::filesystem::permissions(kernel_, std::filesystem::perms(0640));
  EXPECT_TRUE(bed_.Ask(Call("started")).allowed);
  EXPECT_THAT(bed_.leases.Broken(GateBed::Uuid("web")), IsEmpty());
}

TEST_F(HeldFileTest, WhatCannotBeHeldIsInTheEvent) {
  bed_.Approve("web", GateMode::kEnforce);
  std::ofstream writer(kernel_, std::ios::app);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("start")).allowed);
  EXPECT_THAT(bed_.notes.back().second["unleased"],
              HasSubstr(kernel_.string()));
}

TEST_F(HeldFileTest, FilesAreLetGoWhenTheVmStops) {
  bed_.Approve("web", GateMode::kEnforce);
  EXPECT_TRUE(bed_.Ask(Call("prepare")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("start")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("started")).allowed);
  EXPECT_TRUE(bed_.Ask(Call("stopped")).allowed);
  WriteToKernel();
  EXPECT_THAT(bed_.leases.Broken(GateBed::Uuid("web")), IsEmpty());
}

TEST_F(HeldFileTest, AKernelOutsideTheStoreIsRefused) {
  bed_.file_store = {"/nonexistent"};
  bed_.OpenPolicy(GateMode::kEnforce);
  bed_.Approve("web", GateMode::kEnforce);
  const GateReply reply = bed_.Ask(Call("prepare"));
  ExpectDenied(reply, "gate-store");
  EXPECT_THAT(reply.sentence, HasSubstr("gate.store"));
}

TEST_F(LaunchGateTest, SavedMemoryThatNobodyKnowsDoesNotStartUnderEnforce) {
  bed_.Approve("web", GateMode::kEnforce);
  ExpectDenied(bed_.Ask("web", "restore"), "gate-image-unknown");
  EXPECT_TRUE(bed_.Ask("web", "prepare").allowed);
}

TEST_F(LaunchGateTest, ReconnectAndStoppedAreNeverRefused) {
  for (const char* operation : {"reconnect", "stopped", "release", "attach"}) {
    EXPECT_TRUE(bed_.Ask("stranger", operation).allowed) << operation;
  }
}

}  // namespace
}  // namespace vmattest::gate
