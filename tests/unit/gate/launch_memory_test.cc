// LaunchGate's part for saved memory and disks.
#include <fcntl.h>

#include "gate/launch_gate.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/save_image.h"
#include "unit/gate/gate_bed.h"

namespace vmattest::gate {
namespace {

using reference::GateMode;
using ::testing::Contains;
using testing::GateBed;
using ::testing::HasSubstr;
using testing::SaveImage;

class LaunchMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto end = bed_.clock.Monotonic() + std::chrono::seconds(30);
    while (!bed_.signer.state().tpm.ok() && bed_.clock.Monotonic() < end) {
      (void)bed_.evidence.ReadClock(end);
    }
    bed_.Approve("web", GateMode::kEnforce);
  }
  HandedFile Image(const std::string& memory = "memory") {
    const auto path = bed_.dir.Write("web-" + memory + ".save",
                                     SaveImage(GateBed::Uuid("web"), memory));
    return {std::string(kSavedImage), path.string(),
            std::make_shared<const UniqueFd>(
                open(path.c_str(), O_RDONLY | O_CLOEXEC))};
  }
  GateReply Ask(const std::string& operation,
                std::vector<HandedFile> handed = {}) {
    GateCall call = bed_.Call("web", operation);
    call.handed = std::move(handed);
    if (operation == "started" && restoring_) {
      call.qemu->arguments.insert(call.qemu->arguments.end(),
                                  {"-incoming", "defer"});
    }
    return bed_.Ask(call);
  }
  void Run() {
    for (const char* operation : {"prepare", "start", "started"}) {
      const GateReply reply = Ask(operation);
      ASSERT_TRUE(reply.allowed) << operation << ": " << reply.sentence;
    }
  }
  void Save(const HandedFile& image) {
    Ask("stopped");
    Ask("release", {image});
    bed_.images.Ended(GateBed::Uuid("web"), true);
  }
  GateReply Restore(const HandedFile& image) {
    restoring_ = true;
    GateReply reply;
    for (const char* operation : {"restore", "prepare", "start", "started"}) {
      reply = Ask(operation, {image});
      if (!reply.allowed) {
        break;
      }
    }
    restoring_ = false;
    return reply;
  }
  GateBed bed_;
  bool restoring_ = false;
};

TEST_F(LaunchMemoryTest, S12_SavedMemoryIsLetInOnce) {
  Run();
  const HandedFile image = Image();
  Save(image);
  GateReply reply = Restore(image);
  EXPECT_TRUE(reply.allowed) << reply.sentence;
  EXPECT_EQ(reply.basis, Basis::kKeptVerdict);
  EXPECT_THAT(bed_.Kinds(), Contains("saved-image"));
  EXPECT_THAT(bed_.Kinds(), Contains("saved-image-used"));
  Ask("stopped");
  Ask("release");
  bed_.images.Ended(GateBed::Uuid("web"), false);
  EXPECT_EQ(Restore(image).code, "gate-image-used");
}

TEST_F(LaunchMemoryTest, S13_AStrictVmGoesOnFromMemoryOnlyThroughTheDaemon) {
  Run();
  const HandedFile image = Image();
  Save(image);
  bed_.strict_start = true;
  bed_.OpenPolicy(GateMode::kEnforce);
  EXPECT_EQ(Restore(image).code, "gate-strict");
  ASSERT_TRUE(bed_.grants.Give(GateBed::Uuid("web")));
  const GateReply reply = Restore(image);
  EXPECT_TRUE(reply.allowed) << reply.sentence;
  EXPECT_TRUE(bed_.grants.Withdraw(GateBed::Uuid("web")).used);
}

TEST_F(LaunchMemoryTest, S12_UnknownOrUnseenMemoryIsRefused) {
  EXPECT_EQ(Ask("restore").code, "gate-image-unknown");
  EXPECT_EQ(Restore(Image()).code, "gate-image-unknown");
  Run();
  Save(Image());
  EXPECT_EQ(Restore(Image("memorz")).code, "gate-image-unknown");
  EXPECT_TRUE(Ask("prepare").allowed);
}

TEST_F(LaunchMemoryTest, S12_AnImageWrittenToWhileLibvirtReadItEndsTheVm) {
  Run();
  const HandedFile image = Image();
  Save(image);
  restoring_ = true;
  for (const char* operation : {"restore", "prepare", "start"}) {
    const GateReply reply = Ask(operation, {image});
    ASSERT_TRUE(reply.allowed) << reply.sentence;
  }
  // In place, so that it is the file that libvirt has open.
  const UniqueFd writer(open(image.path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(pwrite(writer.get(), "X", 1, 120), 1);
  EXPECT_EQ(Ask("started", {image}).code, "gate-image-changed");
}

TEST_F(LaunchMemoryTest, S12_AnImageThatIsNotOpenAtStartedEndsTheVm) {
  Run();
  const HandedFile image = Image();
  Save(image);
  restoring_ = true;
  for (const char* operation : {"restore", "prepare", "start"}) {
    ASSERT_TRUE(Ask(operation, {image}).allowed);
  }
  EXPECT_EQ(Ask("started").code, "gate-image-changed");
}

TEST_F(LaunchMemoryTest, S12_IncomingMemoryWithoutARestoreEndsTheVm) {
  ASSERT_TRUE(Ask("prepare").allowed);
  ASSERT_TRUE(Ask("start").allowed);
  restoring_ = true;
  EXPECT_EQ(Ask("started").code, "gate-saved-memory");
}

TEST_F(LaunchMemoryTest, S12_MemoryOfALaunchWithoutAVerdictIsRefused) {
  bed_.Approve("web", GateMode::kWarn, 2);
  bed_.verifier.refusals = {{"reference-leaf-changed", "os/cmdline", "", "x"}};
  Run();
  const HandedFile image = Image();
  Save(image);
  bed_.verifier.refusals.clear();
  bed_.Approve("web", GateMode::kEnforce, 3);
  const GateReply reply = Restore(image);
  EXPECT_EQ(reply.code, "gate-image-approval") << reply.sentence;
}

TEST_F(LaunchMemoryTest, S12_MemoryOfAnOlderReferenceIsRefused) {
  Run();
  const HandedFile image = Image();
  Save(image);
  bed_.Approve("web", GateMode::kEnforce, 2);
  EXPECT_EQ(Restore(image).code, "gate-image-approval");
}

TEST_F(LaunchMemoryTest, AColdStartAfterARestoreThatCameToNothingIsOne) {
  Run();
  const HandedFile image = Image();
  Save(image);
  ASSERT_TRUE(Ask("restore", {image}).allowed);
  Run();
  EXPECT_EQ(Ask("stopped").basis, Basis::kNotGated);
  Ask("release");
  bed_.images.Ended(GateBed::Uuid("web"), false);
  EXPECT_EQ(Restore(image).code, "gate-image-used");
}

TEST_F(LaunchMemoryTest, ARestoreOfAVmThatRunsLeavesItsLaunchAlone) {
  Run();
  EXPECT_EQ(Restore(Image()).code, "gate-image-used");
  const auto session = bed_.sessions.Find(GateBed::Uuid("web"));
  ASSERT_TRUE(session.has_value());
  EXPECT_TRUE(session->running);
}

class LaunchDisksTest : public LaunchMemoryTest {
 protected:
  // By which the VM's disks must be as they were.
  void ApproveDisks(uint64_t revision, GateMode mode, bool accept_unrecorded) {
    reference::Reference reference;
    reference.header = bed_.Header(bed_.approver);
    reference.name = "of-web";
    reference.revision = revision;
    reference.vm_uuids = {GateBed::Uuid("web")};
    reference.mode = mode;
    reference.roots = {Hash(HashAlgorithm::kSha256, AsBytes("root"))};
    reference.disk_continuity = true;
    reference.accept_unrecorded_disks = accept_unrecorded;
    (void)*bed_.policy->Take(
        {.references = {*bed_.approver.Sign(document::kReferencePayloadType,
                                            reference::Encode(reference))},
         .host_record = {}},
        bed_.clock.Now());
  }
  std::string Launch() {
    for (const char* operation : {"prepare", "start", "started"}) {
      if (const GateReply reply = Ask(operation); !reply.code.empty()) {
        return std::string(operation) + " " + reply.code;
      }
    }
    return "";
  }
};

TEST_F(LaunchDisksTest, WithoutARecordedStopTheReferenceDecides) {
  ApproveDisks(2, GateMode::kEnforce, false);
  EXPECT_EQ(Launch(), "start gate-disk-no-record");
  ApproveDisks(3, GateMode::kEnforce, true);
  EXPECT_EQ(Launch(), "");
  EXPECT_THAT(bed_.Kinds(), Contains("disks-unrecorded"));
  Ask("stopped");
  Ask("release");
  ApproveDisks(4, GateMode::kEnforce, false);
  EXPECT_EQ(Launch(), "");
  // It runs, and the daemon has not seen it stop.
  EXPECT_EQ(Launch(), "start gate-disk-no-record");
}

TEST_F(LaunchDisksTest, UnderWarnAMissingRecordIsSaidAndTheVmStarts) {
  ApproveDisks(2, GateMode::kWarn, false);
  ASSERT_TRUE(Ask("prepare").allowed);
  const GateReply reply = Ask("start");
  EXPECT_TRUE(reply.allowed);
  EXPECT_EQ(reply.basis, Basis::kWarn);
  EXPECT_EQ(reply.code, "gate-disk-no-record");
}

TEST_F(LaunchMemoryTest, AnImageIsRegisteredByACallOfItsOwn) {
  Run();
  HandedFile image = Image();
  Ask("stopped");
  Ask("release");
  bed_.images.Ended(GateBed::Uuid("web"), true);
  GateCall call;
  call.domain = "web";
  call.operation = std::string(kRegisterImage);
  GateReply reply = bed_.Ask(call);
  EXPECT_EQ(reply.code, "gate-image-refused");
  call.handed = {image};
  reply = bed_.Ask(call);
  EXPECT_TRUE(reply.allowed) << reply.sentence;
  EXPECT_TRUE(Restore(image).allowed);
}

}  // namespace
}  // namespace vmattest::gate
