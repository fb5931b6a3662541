// What every Hypervisor does, run over the fake and over libvirt's own test
// driver (test:///default: real client library, no privilege, no guest).
#include <libvirt/libvirt.h>

#include <functional>
#include <memory>

#include "fakes/fake_hypervisor.h"
#include "fakes/recording_observer.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "hypervisor/libvirt/handles.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"
#include "support/matchers.h"

namespace vmattest::testing {
namespace {

using hypervisor::Domain;
using hypervisor::DomainState;
using hypervisor::DomainXml;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// One hypervisor under test and the hands to move its domains.
class Bed {
 public:
  virtual ~Bed() = default;
  virtual hypervisor::Hypervisor& hypervisor() = 0;
  virtual void Define(const std::string& name, const std::string& title) = 0;
  virtual void Start(const std::string& name) = 0;
  virtual void Stop(const std::string& name) = 0;
  virtual void Suspend(const std::string& name) = 0;
  virtual void Resume(const std::string& name) = 0;
  virtual void Undefine(const std::string& name) = 0;

  RecordingObserver observer;
};

std::string Xml(const char* type, const std::string& name,
                const std::string& title) {
  return fmt::format(
      "<domain type='{}'><name>{}</name><uuid>{}</uuid><title>{}</title>"
      "<memory unit='KiB'>1024</memory><vcpu>1</vcpu>"
      "<os><type>hvm</type></os></domain>",
      type, name, ToString(FakeHypervisor::UuidOf(name)), title);
}

class FakeBed final : public Bed {
 public:
  FakeBed() { fake_.Start(&observer); }
  hypervisor::Hypervisor& hypervisor() override { return fake_; }
  void Define(const std::string& name, const std::string& title) override {
    fake_.Define(name, Xml("qemu", name, title));
  }
  void Start(const std::string& name) override {
    fake_.Start(FakeHypervisor::UuidOf(name));
  }
  void Stop(const std::string& name) override {
    fake_.Stop(FakeHypervisor::UuidOf(name));
  }
  void Suspend(const std::string& name) override {
    EXPECT_THAT(fake_.Suspend(FakeHypervisor::UuidOf(name)), IsOk());
  }
  void Resume(const std::string& name) override {
    EXPECT_THAT(fake_.Resume(FakeHypervisor::UuidOf(name)), IsOk());
  }
  void Undefine(const std::string& name) override {
    fake_.Undefine(FakeHypervisor::UuidOf(name));
  }

 private:
  FakeHypervisor fake_;
};

class LibvirtTestBed final : public Bed {
 public:
  LibvirtTestBed() {
    EXPECT_THAT(adapter_.Start(observer), IsOk());
    EXPECT_TRUE(observer.WaitFor("connected"));
    hands_ = hypervisor::OwnConnect(virConnectOpen("test:///default"));
  }
  ~LibvirtTestBed() override { adapter_.Stop(); }
  hypervisor::Hypervisor& hypervisor() override { return adapter_; }
  void Define(const std::string& name, const std::string& title) override {
    const hypervisor::DomainHandle defined(
        virDomainDefineXML(hands_.get(), Xml("test", name, title).c_str()));
    EXPECT_NE(defined, nullptr);
  }
  void Start(const std::string& name) override {
    EXPECT_EQ(virDomainCreate(Find(name).get()), 0);
  }
  void Stop(const std::string& name) override {
    EXPECT_EQ(virDomainDestroy(Find(name).get()), 0);
  }
  void Suspend(const std::string& name) override {
    EXPECT_EQ(virDomainSuspend(Find(name).get()), 0);
  }
  void Resume(const std::string& name) override {
    EXPECT_EQ(virDomainResume(Find(name).get()), 0);
  }
  void Undefine(const std::string& name) override {
    EXPECT_EQ(virDomainUndefine(Find(name).get()), 0);
  }

 private:
  hypervisor::DomainHandle Find(const std::string& name) {
    return hypervisor::DomainHandle(
        virDomainLookupByName(hands_.get(), name.c_str()));
  }

  hypervisor::LibvirtHypervisor adapter_{{.uri = "test:///default"}};
  hypervisor::ConnectHandle hands_;
};

struct Body {
  const char* name;
  std::function<std::unique_ptr<Bed>()> make;
};

class HypervisorContract : public ::testing::TestWithParam<Body> {
 protected:
  hypervisor::Hypervisor& hypervisor() { return bed_->hypervisor(); }
  static Uuid UuidOf(const std::string& name) {
    return FakeHypervisor::UuidOf(name);
  }

  std::unique_ptr<Bed> bed_ = GetParam().make();
};

TEST_P(HypervisorContract, FindsADomainByUuidAndByName) {
  bed_->Define("web", "");
  ASSERT_OK_AND_ASSIGN(const Domain by_uuid,
                       hypervisor().FindDomain(UuidOf("web")));
  ASSERT_OK_AND_ASSIGN(const Domain by_name,
                       hypervisor().FindDomainByName("web"));
  EXPECT_EQ(by_uuid.name, "web");
  EXPECT_EQ(by_name.uuid, UuidOf("web"));
  EXPECT_TRUE(by_uuid.persistent);
  EXPECT_EQ(by_uuid.state, DomainState::kShutoff);
}

TEST_P(HypervisorContract, DoesNotFindWhatIsNotThere) {
  EXPECT_THAT(hypervisor().FindDomain(UuidOf("absent")),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(hypervisor().FindDomainByName("absent"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(hypervisor().GetXml(UuidOf("absent")),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(HypervisorContract, ListsRunningAndStoppedDomains) {
  bed_->Define("off", "");
  bed_->Define("on", "");
  bed_->Start("on");
  ASSERT_OK_AND_ASSIGN(const auto domains, hypervisor().ListDomains());
  EXPECT_THAT(domains, Contains(Field(&Domain::name, "off")));
  EXPECT_THAT(domains, Contains(::testing::AllOf(
                           Field(&Domain::name, "on"),
                           Field(&Domain::state, DomainState::kRunning))));
}

TEST_P(HypervisorContract, FollowsStates) {
  bed_->Define("web", "");
  bed_->Start("web");
  bed_->Suspend("web");
  EXPECT_EQ(hypervisor().FindDomain(UuidOf("web"))->state,
            DomainState::kPaused);
  bed_->Resume("web");
  EXPECT_EQ(hypervisor().FindDomain(UuidOf("web"))->state,
            DomainState::kRunning);
  bed_->Stop("web");
  EXPECT_EQ(hypervisor().FindDomain(UuidOf("web"))->state,
            DomainState::kShutoff);
}

TEST_P(HypervisorContract, SuspendsWhatRunsAndNothingElse) {
  bed_->Define("web", "");
  EXPECT_THAT(hypervisor().Suspend(UuidOf("web")),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  bed_->Start("web");
  EXPECT_THAT(hypervisor().Suspend(UuidOf("web")), IsOk());
  EXPECT_EQ(hypervisor().FindDomain(UuidOf("web"))->state,
            DomainState::kPaused);
  EXPECT_THAT(hypervisor().Suspend(UuidOf("nobody")),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(HypervisorContract, ResumesWhatIsSuspendedAndNothingElse) {
  bed_->Define("web", "");
  EXPECT_THAT(hypervisor().Resume(UuidOf("web")),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  bed_->Start("web");
  EXPECT_THAT(hypervisor().Resume(UuidOf("web")), IsOk());
  bed_->Suspend("web");
  EXPECT_THAT(hypervisor().Resume(UuidOf("web")), IsOk());
  EXPECT_EQ(hypervisor().FindDomain(UuidOf("web"))->state,
            DomainState::kRunning);
  EXPECT_THAT(hypervisor().Resume(UuidOf("nobody")),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(HypervisorContract, DestroysWhatRunsAndNothingElse) {
  bed_->Define("web", "");
  EXPECT_THAT(hypervisor().Destroy(UuidOf("web")),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  bed_->Start("web");
  EXPECT_THAT(hypervisor().Destroy(UuidOf("web")), IsOk());
  EXPECT_EQ(hypervisor().FindDomain(UuidOf("web"))->state,
            DomainState::kShutoff);
  EXPECT_THAT(hypervisor().Destroy(UuidOf("nobody")),
              StatusIs(absl::StatusCode::kNotFound));
}

// That it starts, and paused, is seen on QEMU (launch_gate_test): libvirt's
// test driver knows no such start.
TEST_P(HypervisorContract, StartsNothingThatRunsOrIsNotThere) {
  bed_->Define("web", "");
  bed_->Start("web");
  EXPECT_THAT(hypervisor().StartPaused(UuidOf("web")),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(hypervisor().StartPaused(UuidOf("nobody")),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(HypervisorContract, ChangesNoDeviceOfWhatDoesNotRun) {
  const std::string device = "<interface type='user'/>";
  bed_->Define("web", "");
  EXPECT_THAT(hypervisor().UpdateDevice(UuidOf("web"), device),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(hypervisor().UpdateDevice(UuidOf("nobody"), device),
              StatusIs(absl::StatusCode::kNotFound));
}

// libvirt's test driver changes none, nor does the fake unless told.
TEST_P(HypervisorContract, WhatCannotChangeDevicesIsNoLostConnection) {
  bed_->Define("web", "");
  bed_->Start("web");
  EXPECT_THAT(
      hypervisor().UpdateDevice(UuidOf("web"), "<interface type='user'/>"),
      StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(hypervisor().ListDomains(), IsOk());
}

TEST_P(HypervisorContract, NothingWasDoneToWhatWasLeftAlone) {
  bed_->Define("web", "");
  ASSERT_OK_AND_ASSIGN(auto taints, hypervisor().GetTaints(UuidOf("web")));
  EXPECT_THAT(taints, IsEmpty());
  bed_->Start("web");
  ASSERT_OK_AND_ASSIGN(taints, hypervisor().GetTaints(UuidOf("web")));
  EXPECT_THAT(taints, IsEmpty());
  EXPECT_THAT(hypervisor().GetTaints(UuidOf("nobody")),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(HypervisorContract, GivesTheStoredXmlOfAStoppedDomain) {
  bed_->Define("web", "first");
  ASSERT_OK_AND_ASSIGN(const DomainXml xml, hypervisor().GetXml(UuidOf("web")));
  EXPECT_FALSE(xml.live);
  EXPECT_THAT(xml.xml, HasSubstr("<title>first</title>"));
  EXPECT_THAT(xml.inactive_xml, IsEmpty());
}

TEST_P(HypervisorContract, GivesBothXmlsOfARunningPersistentDomain) {
  bed_->Define("web", "first");
  bed_->Start("web");
  bed_->Define("web", "second");
  ASSERT_OK_AND_ASSIGN(const DomainXml xml, hypervisor().GetXml(UuidOf("web")));
  EXPECT_TRUE(xml.live);
  EXPECT_THAT(xml.xml, HasSubstr("<title>first</title>"));
  EXPECT_THAT(xml.inactive_xml, HasSubstr("<title>second</title>"));
}

// libvirt's test driver has no command lines, and the fake none unless told.
TEST_P(HypervisorContract, WhatHasNoStartCommandIsNoLostConnection) {
  EXPECT_THAT(hypervisor().StartCommand(Xml("test", "web", "")),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(hypervisor().ListDomains(), IsOk());
}

TEST_P(HypervisorContract, AnUndefinedRunningDomainLivesOnAsTransient) {
  bed_->Define("web", "");
  bed_->Start("web");
  bed_->Undefine("web");
  ASSERT_OK_AND_ASSIGN(const Domain domain,
                       hypervisor().FindDomain(UuidOf("web")));
  EXPECT_FALSE(domain.persistent);
  EXPECT_THAT(hypervisor().GetXml(UuidOf("web"))->inactive_xml, IsEmpty());
  bed_->Stop("web");
  EXPECT_THAT(hypervisor().FindDomain(UuidOf("web")),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(HypervisorContract, TellsTheLifecycleInOrder) {
  bed_->Define("web", "");
  bed_->Start("web");
  bed_->Suspend("web");
  bed_->Resume("web");
  bed_->Stop("web");
  bed_->Undefine("web");
  ASSERT_TRUE(bed_->observer.WaitFor("web undefined"));
  EXPECT_THAT(bed_->observer.Of("web"),
              ElementsAre("defined", "started", "suspended", "resumed",
                          "stopped", "undefined"));
}

TEST_P(HypervisorContract, TellsThatItConnectedBeforeTheFirstEvent) {
  bed_->Define("web", "");
  ASSERT_TRUE(bed_->observer.WaitFor("web defined"));
  EXPECT_EQ(bed_->observer.lines().front(), "connected");
}

INSTANTIATE_TEST_SUITE_P(
    Bodies, HypervisorContract,
    ::testing::Values(Body{"Fake", [] { return std::make_unique<FakeBed>(); }},
                      Body{"LibvirtTestDriver",
                           [] { return std::make_unique<LibvirtTestBed>(); }}),
    [](const auto& body) { return std::string(body.param.name); });

}  // namespace
}  // namespace vmattest::testing
