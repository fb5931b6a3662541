#include "gate/drift_watch.h"

#include "gate/baseline.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "unit/attestor/attestor_bed.h"

namespace vmattest::gate {
namespace {

using hypervisor::DomainState;
using testing::AttestorBed;
using ::testing::IsEmpty;

class DriftWatchTest : public ::testing::Test {
 protected:
  DriftWatch Watch(bool pause) {
    return DriftWatch({.hypervisor = bed_.hypervisor,
                       .digester = bed_.digester,
                       .make_parser = image::MakeDirectHeaderParser,
                       .sessions = sessions_,
                       .note =
                           [this](const std::string& kind,
                                  std::map<std::string, std::string> facts) {
                             notes_.push_back(kind + " " + facts["leaf"] + " " +
                                              facts["action"]);
                           }},
                      pause);
  }
  // A VM that runs `running`, and was let in as `approved`.
  Uuid Run(const std::string& approved, const std::string& running) {
    const Uuid uuid = bed_.Define("web", running);
    bed_.hypervisor.Start(uuid);
    LaunchSession session;
    session.vm_name = "web";
    session.prepare_xml = AttestorBed::Xml("web", approved);
    session.running = true;
    session.baseline = *BaselineOf(session.prepare_xml, bed_.digester,
                                   image::MakeDirectHeaderParser);
    sessions_.Put(ToString(uuid), session);
    return uuid;
  }
  DomainState State(const Uuid& uuid) {
    return bed_.hypervisor.FindDomain(uuid)->state;
  }
  AttestorBed bed_;
  LaunchSessions sessions_{bed_.clock};
  std::vector<std::string> notes_;
};

constexpr char kStick[] =
    "<devices><hostdev mode='subsystem' type='usb'><source>"
    "<vendor id='0x1234'/></source></hostdev></devices>";

TEST_F(DriftWatchTest, WhatRunsAsApprovedIsLeftAlone) {
  const Uuid uuid = Run("", "");
  Watch(true).Look();
  EXPECT_EQ(State(uuid), DomainState::kRunning);
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(DriftWatchTest, ADeviceThatNobodyApprovedPausesTheVmOnce) {
  const Uuid uuid = Run("", kStick);
  DriftWatch watch = Watch(true);
  watch.Look();
  EXPECT_EQ(State(uuid), DomainState::kPaused);
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_THAT(notes_.front(), ::testing::HasSubstr("hostdev"));
  EXPECT_THAT(notes_.front(), ::testing::HasSubstr("paused"));
  bed_.hypervisor.Resume(uuid);
  watch.Look();
  EXPECT_EQ(notes_.size(), 1U);
}

TEST_F(DriftWatchTest, AlertAloneDoesNotPause) {
  const Uuid uuid = Run("", kStick);
  Watch(false).Look();
  EXPECT_EQ(State(uuid), DomainState::kRunning);
  EXPECT_EQ(notes_.size(), 1U);
}

}  // namespace
}  // namespace vmattest::gate
