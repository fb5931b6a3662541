// What is decided of a VM that comes from another host, and when.
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
using ::testing::Not;

constexpr char kWhole[] =
    "<devices><controller type='pci' index='0' model='pcie-root'/>"
    "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>"
    "<graphics type='vnc'/></devices>";
// Without the controller's model, with the password.
constexpr char kMigratable[] =
    "<devices>"
    "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>"
    "<graphics type='vnc' passwd='letmein'/></devices>";

class LaunchMigrateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto end = bed_.clock.Monotonic() + std::chrono::seconds(30);
    while (!bed_.signer.state().tpm.ok() && bed_.clock.Monotonic() < end) {
      (void)bed_.evidence.ReadClock(end);
    }
    Approve(GateMode::kEnforce);
  }
  // What was learned of the whole XML, signed.
  void Approve(GateMode mode, bool strict = false) {
    bed_.Approve("web", GateMode::kLearn, ++revision_);
    EXPECT_TRUE(bed_.Ask("web", "prepare", kWhole).allowed);
    EXPECT_TRUE(bed_.Ask("web", "start", kWhole).allowed);
    EXPECT_TRUE(bed_.Ask("web", "stopped", kWhole).allowed);
    const auto yaml =
        ReadFile(bed_.dir.path() / "learned" / (GateBed::Uuid("web") + ".yaml"),
                 1u << 20);
    ASSERT_TRUE(yaml.ok());
    ASSERT_OK_AND_ASSIGN(reference::Reference learned,
                         reference::FromYaml(AsText(*yaml)));
    learned.header = bed_.Header(bed_.approver);
    learned.mode = mode;
    learned.strict_start = strict;
    learned.revision = ++revision_;
    ASSERT_OK_AND_ASSIGN(const Bytes document,
                         bed_.approver.Sign(document::kReferencePayloadType,
                                            reference::Encode(learned)));
    ASSERT_THAT(bed_.policy->Take({.references = {document}}, bed_.clock.Now()),
                testing::IsOk());
  }
  GateReply Migrate(const std::string& devices) {
    return bed_.Ask("web", "migrate", devices);
  }
  GateCall Started(bool incoming) {
    GateCall call = bed_.Call("web", "started", kWhole);
    if (incoming) {
      call.qemu->arguments.insert(call.qemu->arguments.end(),
                                  {"-incoming", "defer"});
    }
    return call;
  }
  // What is refused at `migrate`, and why.
  std::string Refusal(const std::string& devices) {
    const GateReply reply = Migrate(devices);
    EXPECT_FALSE(reply.allowed);
    EXPECT_EQ(reply.basis, Basis::kNone);
    EXPECT_EQ(reply.code, "gate-refused");
    return reply.sentence;
  }

  GateBed bed_;
  uint64_t revision_ = 0;
};

TEST_F(LaunchMigrateTest, LeavesThatTheMigratableXmlLacksAreDecidedLater) {
  const GateReply reply = Migrate(kMigratable);
  EXPECT_TRUE(reply.allowed) << reply.sentence;
  EXPECT_EQ(reply.basis, Basis::kDeferred);
  EXPECT_TRUE(reply.ear.empty());
  // So no verifier has a refusal of this VM in its book.
  EXPECT_EQ(bed_.verifier.asked(), 0);
  EXPECT_THAT(bed_.Kinds(), Not(Contains("gate-denied")));

  EXPECT_EQ(bed_.Ask("web", "prepare", kWhole).basis, Basis::kVerdict);
  EXPECT_EQ(bed_.Ask("web", "start", kWhole).basis, Basis::kKeptVerdict);
  EXPECT_TRUE(bed_.Ask(Started(/*incoming=*/true)).allowed);
}

TEST_F(LaunchMigrateTest, WhatIsLackingAtPrepareIsTheVerifiersMatter) {
  EXPECT_TRUE(Migrate(kMigratable).allowed);
  bed_.verifier.refusals = {{"reference-leaf-missing",
                             "devices/controller[pci:0]/model", "'pcie-root'",
                             "no such leaf"}};
  const GateReply reply = bed_.Ask("web", "prepare", kMigratable);
  EXPECT_FALSE(reply.allowed);
  EXPECT_EQ(reply.code, "gate-refused");
  EXPECT_THAT(reply.sentence, HasSubstr("controller[pci:0]/model"));
  EXPECT_EQ(bed_.Ask("web", "start", kWhole).code, "gate-no-prepare");
}

TEST_F(LaunchMigrateTest, WhatIsThereAndDiffersIsRefusedAndNamed) {
  const std::string mac = Refusal(
      "<devices><interface type='user'><mac address='52:54:00:00:00:02'/>"
      "</interface></devices>");
  EXPECT_THAT(mac, HasSubstr("mac/address"));
  EXPECT_THAT(mac, HasSubstr("52:54:00:00:00:02"));
  EXPECT_THAT(mac, HasSubstr("to pass: remove interface"));
  EXPECT_THAT(Refusal("<devices><controller type='pci' index='0' "
                      "model='pci-root'/><interface type='user'>"
                      "<mac address='52:54:00:00:00:01'/></interface>"
                      "</devices>"),
              HasSubstr("controller[pci:0]/model"));
  EXPECT_THAT(
      Refusal("<devices><interface type='user'>"
              "<mac address='52:54:00:00:00:01'/></interface>"
              "<hostdev mode='subsystem' type='usb'><source>"
              "<vendor id='0x1234'/><product id='0x5678'/></source></hostdev>"
              "</devices>"),
      HasSubstr("hostdev"));
  EXPECT_THAT(bed_.Kinds(), Contains("gate-denied"));
  EXPECT_EQ(bed_.Ask("web", "prepare", kWhole).basis, Basis::kVerdict);
}

TEST_F(LaunchMigrateTest, UnderEnforceNobodyComesInWhomNobodyApproved) {
  const GateReply reply = bed_.Ask("stranger", "migrate", kMigratable);
  EXPECT_FALSE(reply.allowed);
  EXPECT_EQ(reply.code, "gate-no-reference");
}

TEST_F(LaunchMigrateTest, StartAfterMigrateNeedsAPrepareOfItsOwn) {
  EXPECT_TRUE(bed_.Ask("web", "prepare", kWhole).allowed);
  EXPECT_TRUE(Migrate(kMigratable).allowed);
  EXPECT_EQ(bed_.Ask("web", "start", kWhole).code, "gate-no-prepare");
}

TEST_F(LaunchMigrateTest, OneLaunchAloneMayBeIncoming) {
  EXPECT_TRUE(Migrate(kMigratable).allowed);
  EXPECT_TRUE(bed_.Ask("web", "prepare", kWhole).allowed);
  EXPECT_TRUE(bed_.Ask("web", "prepare", kWhole).allowed);
  EXPECT_TRUE(bed_.Ask("web", "start", kWhole).allowed);
  EXPECT_EQ(bed_.Ask(Started(/*incoming=*/true)).code, "gate-saved-memory");
}

TEST_F(LaunchMigrateTest, AStrictVmThatWasLetInStillMustComeIncoming) {
  Approve(GateMode::kEnforce, /*strict=*/true);
  EXPECT_EQ(bed_.Ask("web", "prepare", kWhole).code, "gate-strict");
  for (const bool incoming : {false, true}) {
    EXPECT_TRUE(Migrate(kMigratable).allowed);
    EXPECT_TRUE(bed_.Ask("web", "prepare", kWhole).allowed);
    EXPECT_TRUE(bed_.Ask("web", "start", kWhole).allowed);
    EXPECT_EQ(bed_.Ask(Started(incoming)).allowed, incoming);
  }
}

// libvirt asks before it sees that it has this VM.
TEST_F(LaunchMigrateTest, AVmThatRunsHereIsNotForgottenForAskingAgain) {
  EXPECT_TRUE(bed_.Ask("web", "prepare", kWhole).allowed);
  EXPECT_TRUE(bed_.Ask("web", "start", kWhole).allowed);
  EXPECT_TRUE(bed_.Ask(Started(/*incoming=*/false)).allowed);
  EXPECT_EQ(Migrate(kMigratable).code, "gate-runs-here");
  const auto session = bed_.sessions.Find(GateBed::Uuid("web"));
  ASSERT_TRUE(session.has_value());
  EXPECT_TRUE(session->running);
  EXPECT_FALSE(session->incoming);
}

TEST_F(LaunchMigrateTest, WarnLetsInWhatDiffersAndSaysSo) {
  Approve(GateMode::kWarn);
  const GateReply reply = Migrate(
      "<devices><interface type='user'><mac address='52:54:00:00:00:02'/>"
      "</interface></devices>");
  EXPECT_TRUE(reply.allowed);
  EXPECT_EQ(reply.basis, Basis::kWarn);
  EXPECT_THAT(reply.sentence, HasSubstr("mac/address"));
  EXPECT_EQ(Migrate(kMigratable).basis, Basis::kDeferred);
}

}  // namespace
}  // namespace vmattest::gate
