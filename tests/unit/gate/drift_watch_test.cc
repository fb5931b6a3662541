#include "gate/drift_watch.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "gate/baseline.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "unit/attestor/attestor_bed.h"

namespace vmattest::gate {
namespace {

using hypervisor::DomainState;
using testing::AttestorBed;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::Not;

// Stands for QEMU: has these files open for reading.
class Reader {
 public:
  explicit Reader(const std::vector<std::string>& paths) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0) {
      return;
    }
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (const std::string& path : paths) {
        (void)open(path.c_str(), O_RDONLY);
      }
      (void)!write(ready[1], "x", 1);
      while (true) {
        pause();
      }
    }
    close(ready[1]);
    char byte = 0;
    (void)!read(ready[0], &byte, 1);
    close(ready[0]);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::string proc() const { return "/proc/" + std::to_string(pid_); }
  ProcessKey key() const { return {pid_, *StartTicks(proc())}; }

 private:
  pid_t pid_ = -1;
};

class DriftWatchTest : public ::testing::Test {
 protected:
  DriftWatch Watch(bool pause) {
    return DriftWatch({.hypervisor = bed_.hypervisor,
                       .digester = bed_.digester,
                       .make_parser = image::MakeDirectHeaderParser,
                       .sessions = sessions_,
                       .leases = leases_,
                       .note =
                           [this](const std::string& kind,
                                  std::map<std::string, std::string> facts) {
                             notes_.push_back(kind + " " + facts["leaf"] +
                                              facts["file"] + facts["taint"] +
                                              facts["written"] + " " +
                                              facts["action"]);
                           },
                       .scratch = {}},
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
  // Its QEMU is `qemu`, which was let in with what it has open, and reads
  // `inputs`.
  Uuid RunIn(const Reader& qemu, const std::vector<std::string>& inputs = {}) {
    const Uuid uuid = Run("", "");
    LaunchSession session = *sessions_.Find(ToString(uuid));
    session.process = qemu.key();
    const auto files = ReadOpenFiles(qemu.proc());
    EXPECT_TRUE(files.ok());
    for (const OpenFile& file : *files) {
      session.open_files.emplace(file.device, file.inode);
    }
    for (const std::string& input : inputs) {
      session.inputs[input] = {*LookAt(input), HashAlgorithm::kSha256,
                               Hash(HashAlgorithm::kSha256, AsBytes(input))};
    }
    sessions_.Put(ToString(uuid), session);
    leases_.Take(ToString(uuid), inputs);
    return uuid;
  }
  // As a writer does it, and what the lease's thread then knows.
  static void WriteTo(const std::filesystem::path& path) {
    std::ofstream(path, std::ios::app) << "evil";
  }

  testing::TempDir dir_;
  FileLeases leases_{[](const std::string&) {}};
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
  EXPECT_THAT(notes_.front(), HasSubstr("hostdev"));
  EXPECT_THAT(notes_.front(), HasSubstr("paused"));
  ASSERT_THAT(bed_.hypervisor.Resume(uuid), IsOk());
  watch.Look();
  EXPECT_EQ(notes_.size(), 1U);
}

TEST_F(DriftWatchTest, AlertAloneDoesNotPause) {
  const Uuid uuid = Run("", kStick);
  Watch(false).Look();
  EXPECT_EQ(State(uuid), DomainState::kRunning);
  EXPECT_EQ(notes_.size(), 1U);
}

TEST_F(DriftWatchTest, LinksGoDownWithTheVm) {
  const std::string nic =
      "<devices><interface type='user'><mac address='52:54:00:00:00:01'/>"
      "</interface></devices>";
  bed_.hypervisor.AnswerUpdateDevice(absl::OkStatus());
  Run("", nic);
  Watch(true).Look();
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_THAT(notes_.front(), HasSubstr("paused, links down"));
  const auto updated = bed_.hypervisor.updated_devices();
  ASSERT_EQ(updated.size(), 1U);
  EXPECT_THAT(updated.front(), HasSubstr("52:54:00:00:00:01"));
  EXPECT_THAT(updated.front(), HasSubstr("down"));
}

TEST_F(DriftWatchTest, LinksThatStayUpAreNotCalledDown) {
  const Uuid uuid = Run("", "<devices><interface type='user'/></devices>");
  Watch(true).Look();
  EXPECT_EQ(State(uuid), DomainState::kPaused);
  EXPECT_THAT(notes_.front(), Not(HasSubstr("links down")));
}

// Two interfaces: each link's state, "" for none.
std::string Links(const std::string& first, const std::string& second) {
  std::string xml = "<devices>";
  int last = 0;
  for (const std::string& state : {first, second}) {
    xml += "<interface type='user'><mac address='52:54:00:00:00:0" +
           std::to_string(++last) + "'/>" +
           (state.empty() ? "" : "<link state='" + state + "'/>") +
           "</interface>";
  }
  return xml + "</devices>";
}

TEST_F(DriftWatchTest, LinksThatThisDaemonTookDownAreNoDriftUntilTheVmStops) {
  const std::string approved = Links("", "up");
  const Uuid uuid = Run(approved, Links("down", "down"));
  sessions_.MarkIsolated(ToString(uuid));
  EXPECT_TRUE(Watch(true).LookAt(ToString(uuid)));
  EXPECT_THAT(notes_, IsEmpty());
  EXPECT_EQ(State(uuid), DomainState::kRunning);
  // The next run is another session.
  ASSERT_THAT(bed_.hypervisor.Destroy(uuid), IsOk());
  sessions_.Erase(ToString(uuid));
  Run(approved, Links("down", "down"));
  Watch(true).Look();
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_THAT(notes_.front(), HasSubstr("link/state paused"));
}

TEST_F(DriftWatchTest, AnIsolatedVmIsWatchedForAllElse) {
  const std::string approved = Links("", "down");
  const std::string other =
      "<interface type='user'><mac address='52:54:00:00:"
      "00:03'/><link state='down'/></interface>";
  std::string hot_plugged = Links("down", "down");
  hot_plugged.insert(hot_plugged.rfind("</devices>"), other);
  for (const std::string& running :
       {Links("down", "up"), hot_plugged,
        Links("down", "down") + "<os><cmdline>evil</cmdline></os>"}) {
    notes_.clear();
    const Uuid uuid = Run(approved, running);
    sessions_.MarkIsolated(ToString(uuid));
    EXPECT_FALSE(Watch(true).LookAt(ToString(uuid))) << running;
    EXPECT_EQ(notes_.size(), 1U) << running;
    ASSERT_THAT(bed_.hypervisor.Destroy(uuid), IsOk());
  }
}

// Somebody else's links, of a VM that no reaction cut off.
TEST_F(DriftWatchTest, LinksThatSomebodyElseTookDownAreDrift) {
  const Uuid uuid = Run(Links("", ""), Links("down", ""));
  sessions_.MarkIsolated("00000000-0000-4000-8000-00000000000f");
  EXPECT_FALSE(Watch(true).LookAt(ToString(uuid)));
  EXPECT_EQ(notes_.size(), 1U);
}

TEST_F(DriftWatchTest, AFileThatWasOpenedSinceIsNamed) {
  const std::filesystem::path copy = dir_.Write("copy", "x");
  const Reader qemu({copy});
  const Uuid uuid = RunIn(qemu);
  Watch(true).Look();
  EXPECT_EQ(State(uuid), DomainState::kRunning);
  LaunchSession without = *sessions_.Find(ToString(uuid));
  without.open_files.erase({LookAt(copy)->device, LookAt(copy)->inode});
  sessions_.Put(ToString(uuid), without);
  Watch(true).Look();
  EXPECT_EQ(State(uuid), DomainState::kPaused);
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_THAT(notes_.front(), HasSubstr(copy.string()));
}

TEST_F(DriftWatchTest, ACommandToTheMonitorIsDrift) {
  const Uuid uuid = Run("", "");
  bed_.hypervisor.Taint(uuid, "tainted: use of host cpu passthrough");
  Watch(true).Look();
  EXPECT_EQ(State(uuid), DomainState::kRunning);
  bed_.hypervisor.Taint(uuid,
                        "tainted: custom monitor control commands issued");
  Watch(true).LookAt(ToString(uuid));
  EXPECT_EQ(State(uuid), DomainState::kPaused);
  EXPECT_THAT(notes_.front(), HasSubstr("custom monitor"));
}

// QEMU has read it: nothing of the VM is changed.
TEST_F(DriftWatchTest, AWriterToWhatQemuClosedAgainIsNamedAndPausesNothing) {
  const std::filesystem::path kernel = dir_.Write("kernel", "k");
  const Reader qemu({});
  const Uuid uuid = RunIn(qemu, {kernel});
  WriteTo(kernel);
  DriftWatch watch = Watch(true);
  watch.Look();
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_THAT(notes_.front(), HasSubstr(kernel.string() + " alert"));
  EXPECT_EQ(State(uuid), DomainState::kRunning);
  // And it is watched further.
  watch.Look();
  EXPECT_EQ(notes_.size(), 1U);
  bed_.hypervisor.Taint(uuid, "tainted: custom monitor control commands");
  watch.Look();
  EXPECT_EQ(State(uuid), DomainState::kPaused);
}

// As libvirt does it for another VM with the same kernel.
TEST_F(DriftWatchTest, OpeningAndRelabellingAFileIsNoDrift) {
  const std::filesystem::path kernel = dir_.Write("kernel", "k");
  const Reader qemu({});
  const Uuid uuid = RunIn(qemu, {kernel});
  const auto lock = open(kernel.c_str(), O_RDWR | O_CLOEXEC);
  std::filesystem::permissions(kernel, std::filesystem::perms(0640));
  DriftWatch watch = Watch(true);
  watch.Look();
  EXPECT_THAT(leases_.Broken(ToString(uuid)), Not(IsEmpty()));
  close(lock);
  watch.Look();
  EXPECT_THAT(leases_.Broken(ToString(uuid)), IsEmpty());
  EXPECT_THAT(notes_, IsEmpty());
  WriteTo(kernel);
  watch.Look();
  EXPECT_EQ(notes_.size(), 1U);
}

TEST_F(DriftWatchTest, AWriterToWhatQemuReadsPausesTheVm) {
  const std::filesystem::path medium = dir_.Write("medium", "m");
  const Reader qemu({medium});
  const Uuid uuid = RunIn(qemu, {medium});
  WriteTo(medium);
  Watch(true).Look();
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_THAT(notes_.front(), HasSubstr(medium.string() + " paused"));
  EXPECT_EQ(State(uuid), DomainState::kPaused);
}

TEST_F(DriftWatchTest, ARestartedDaemonHoldsFilesAgainAndSeesWhatWasWritten) {
  const std::filesystem::path kernel = dir_.Write("kernel", "k");
  const std::filesystem::path initrd = dir_.Write("initrd", "i");
  const Reader qemu({});
  const Uuid uuid = RunIn(qemu, {kernel, initrd});
  leases_.Release(ToString(uuid));
  LaunchSession session = *sessions_.Find(ToString(uuid));
  session.inputs[initrd].digest = Bytes(32, 1);
  sessions_.Put(ToString(uuid), session);
  // Only the ctime of both changes: what lies in them tells.
  std::filesystem::permissions(kernel, std::filesystem::perms(0640));
  std::filesystem::permissions(initrd, std::filesystem::perms(0640));
  DriftWatch watch = Watch(true);
  watch.TakeUp();
  ASSERT_EQ(notes_.size(), 1U);
  EXPECT_THAT(notes_.front(), HasSubstr(initrd.string() + " alert"));
  WriteTo(kernel);
  watch.Look();
  ASSERT_EQ(notes_.size(), 2U);
  EXPECT_THAT(notes_.back(), HasSubstr(kernel.string()));
}

}  // namespace
}  // namespace vmattest::gate
