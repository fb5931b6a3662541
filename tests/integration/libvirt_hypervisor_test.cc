// The libvirt adapter on a real libvirtd.
#include "hypervisor/libvirt/libvirt_hypervisor.h"

#include <algorithm>
#include <fstream>

#include "fakes/recording_observer.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/libvirt_host.h"
#include "support/matchers.h"
#include "support/run_command.h"

namespace vmattest::hypervisor {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::LibvirtHost;
using ::testing::Not;
using testing::RecordingObserver;
using testing::StatusIs;

class LibvirtHypervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    VMATTEST_REQUIRE_LIBVIRT_HOST();
    ASSERT_OK_AND_ASSIGN(host_, LibvirtHost::Up("adapter"));
    hypervisor_ = std::make_unique<LibvirtHypervisor>(
        LibvirtHypervisor::Options{.uri = host_->uri()});
    ASSERT_THAT(hypervisor_->Start(observer_), IsOk());
    ASSERT_TRUE(observer_.WaitFor("connected"));
  }
  void Define(const std::string& name) {
    ASSERT_OK_AND_ASSIGN(const auto xml,
                         host_->MakeDomain(name, {"kernel=none", "mem=64"}));
    ASSERT_THAT(host_->Virsh({"define", xml}), IsOk());
  }

  static std::string Nic(const std::string& link) {
    return "<interface type='user'><mac address='52:54:00:00:07:01'/>"
           "<model type='virtio'/>" +
           link + "</interface>";
  }

  RecordingObserver observer_;
  std::unique_ptr<LibvirtHost> host_;
  std::unique_ptr<LibvirtHypervisor> hypervisor_;
};

TEST_F(LibvirtHypervisorTest, TellsTheLifecycleOfARealDomain) {
  Define("web");
  ASSERT_THAT(host_->Virsh({"start", "web"}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Domain domain,
                       hypervisor_->FindDomainByName("web"));
  EXPECT_EQ(domain.state, DomainState::kRunning);
  ASSERT_OK_AND_ASSIGN(const DomainXml xml, hypervisor_->GetXml(domain.uuid));
  EXPECT_TRUE(xml.live);
  EXPECT_THAT(xml.xml, HasSubstr("<alias name="));
  EXPECT_THAT(xml.inactive_xml, Not(HasSubstr("<alias name=")));
  ASSERT_THAT(host_->Virsh({"destroy", "web"}), IsOk());
  ASSERT_THAT(host_->Virsh({"undefine", "web"}), IsOk());
  ASSERT_TRUE(observer_.WaitFor("web undefined"));
  // QEMU's vCPUs are resumed before libvirt says that it started.
  EXPECT_THAT(observer_.Of("web"), ElementsAre("defined", "resumed", "started",
                                               "stopped", "undefined"));
}

TEST_F(LibvirtHypervisorTest, TellsChangesTaintsAndTakesLinksDown) {
  Define("web");
  ASSERT_THAT(host_->Virsh({"start", "web"}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Domain web, hypervisor_->FindDomainByName("web"));
  const std::string nic = host_->folder() / "nic.xml";
  const auto describe = [&nic](const char* link) {
    std::ofstream(nic) << Nic(link);
  };
  describe("");
  ASSERT_THAT(host_->Virsh({"attach-device", "web", nic}), IsOk());
  EXPECT_TRUE(observer_.WaitFor("changed " + ToString(web.uuid)));
  EXPECT_THAT(hypervisor_->UpdateDevice(web.uuid, Nic("<link state='down'/>")),
              IsOk());
  EXPECT_THAT(hypervisor_->GetXml(web.uuid)->xml,
              HasSubstr("<link state='down'/>"));

  const auto monitored = [this, &web] {
    const auto taints = hypervisor_->GetTaints(web.uuid);
    return taints.ok() &&
           std::any_of(taints->begin(), taints->end(), [](const auto& taint) {
             return taint.find("custom monitor") != std::string::npos;
           });
  };
  EXPECT_FALSE(monitored());
  ASSERT_THAT(
      host_->Virsh({"qemu-monitor-command", "web", "--hmp", "info", "version"}),
      IsOk());
  EXPECT_TRUE(monitored());
}

TEST_F(LibvirtHypervisorTest, TellsEachResetOfARealDomain) {
  Define("web");
  ASSERT_THAT(host_->Virsh({"set-lifecycle-action", "web", "reboot", "restart",
                            "--config"}),
              IsOk());
  // Its firmware, which may add resets of its own, does not run.
  ASSERT_THAT(host_->Virsh({"start", "web", "--paused"}), IsOk());
  ASSERT_OK_AND_ASSIGN(const Domain web, hypervisor_->FindDomainByName("web"));
  const std::string told = "reset " + ToString(web.uuid);
  ASSERT_TRUE(observer_.WaitFor("web started"));
  EXPECT_THAT(observer_.lines(), Not(Contains(told))) << "a start is none";
  ASSERT_THAT(host_->Virsh({"reset", "web"}), IsOk());
  EXPECT_TRUE(observer_.WaitFor(told));
  ASSERT_THAT(host_->Virsh({"reset", "web"}), IsOk());
  EXPECT_TRUE(observer_.WaitFor(told, 2));
  ASSERT_THAT(host_->Virsh({"destroy", "web"}), IsOk());
  ASSERT_TRUE(observer_.WaitFor("web stopped"));
  const std::vector<std::string> lines = observer_.lines();
  EXPECT_EQ(std::count(lines.begin(), lines.end(), told), 2);
}

TEST_F(LibvirtHypervisorTest, ConnectsAgainAfterLibvirtdCrashed) {
  Define("web");
  ASSERT_THAT(host_->Virsh({"start", "web"}), IsOk());
  ASSERT_THAT(host_->StopLibvirtd("KILL"), IsOk());
  ASSERT_TRUE(observer_.WaitFor("disconnected"));
  EXPECT_THAT(hypervisor_->ListDomains(),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("libvirt is not connected")));
  ASSERT_THAT(host_->StartLibvirtd(), IsOk());
  ASSERT_TRUE(observer_.WaitFor("connected", 2));
  EXPECT_EQ(hypervisor_->FindDomainByName("web")->state, DomainState::kRunning);
  // Waits until libvirtd has its QEMU again, which destroy would take away.
  ASSERT_THAT(host_->Virsh({"dommemstat", "web"}), IsOk());
  ASSERT_THAT(host_->Virsh({"destroy", "web"}), IsOk());
  EXPECT_TRUE(observer_.WaitFor("web stopped"));
}

TEST_F(LibvirtHypervisorTest, NoticesALibvirtdThatHangs) {
  LibvirtHypervisor impatient(
      {.uri = host_->uri(), .keepalive_seconds = 1, .keepalive_count = 1});
  RecordingObserver observer;
  ASSERT_THAT(impatient.Start(observer), IsOk());
  ASSERT_TRUE(observer.WaitFor("connected"));
  ASSERT_OK_AND_ASSIGN(
      const std::string stopped,
      testing::RunCommand({"sh", "-c",
                           fmt::format("pid=$(cat {0}/libvirtd.pid); {1} exec "
                                       "{0} kill -STOP $pid",
                                       (host_->folder() / "host").string(),
                                       VMATTEST_TESTBED "/host")}));
  EXPECT_THAT(impatient.ListDomains(),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(observer.WaitFor("disconnected"));
  ASSERT_THAT(host_->StopLibvirtd("KILL"), IsOk());
  ASSERT_THAT(host_->StartLibvirtd(), IsOk());
  EXPECT_TRUE(observer.WaitFor("connected", 2));
}

TEST(LibvirtHypervisor, StartsWithoutLibvirtdAndFindsItLater) {
  VMATTEST_REQUIRE_LIBVIRT_HOST();
  ASSERT_OK_AND_ASSIGN(const auto host, LibvirtHost::Up("late"));
  ASSERT_THAT(host->StopLibvirtd("TERM"), IsOk());
  RecordingObserver observer;
  LibvirtHypervisor hypervisor({.uri = host->uri()});
  EXPECT_THAT(hypervisor.ListDomains(),
              StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_THAT(hypervisor.Start(observer), IsOk());
  ASSERT_TRUE(observer.WaitFor("disconnected"));
  EXPECT_THAT(observer.why(), StatusIs(absl::StatusCode::kUnavailable,
                                       HasSubstr("connecting to qemu+unix")));
  ASSERT_THAT(host->StartLibvirtd(), IsOk());
  ASSERT_TRUE(observer.WaitFor("connected"));
  EXPECT_THAT(hypervisor.ListDomains(), IsOk());
}

TEST(LibvirtHypervisor, StopsWhileItCannotConnect) {
  RecordingObserver observer;
  LibvirtHypervisor hypervisor(
      {.uri = "qemu+unix:///system?socket=/nonexistent/sock"});
  ASSERT_THAT(hypervisor.Start(observer), IsOk());
  ASSERT_TRUE(observer.WaitFor("disconnected"));
  hypervisor.Stop();
  EXPECT_THAT(observer.lines(), ElementsAre("disconnected"));
}

}  // namespace
}  // namespace vmattest::hypervisor
