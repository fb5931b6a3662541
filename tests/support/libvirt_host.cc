#include "support/libvirt_host.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>
#include <utility>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "support/guest_files.h"
#include "support/run_command.h"

namespace vmattest::testing {
namespace {

std::string Tool(const char* name) {
  return fmt::format("{}/{}", VMATTEST_TESTBED, name);
}

}  // namespace

std::string LibvirtHost::WhyNot() {
  if (geteuid() != 0) {
    return "needs root: libvirtd runs in namespaces of its own";
  }
  if (access("/usr/sbin/libvirtd", X_OK) != 0) {
    return "needs the package libvirt-daemon-system";
  }
  return "";
}

absl::StatusOr<std::unique_ptr<LibvirtHost>> LibvirtHost::Up(
    const std::string& name) {
  // libvirt's client writes to a libvirtd that was killed with write(2).
  (void)std::signal(SIGPIPE, SIG_IGN);
  std::unique_ptr<LibvirtHost> host(new LibvirtHost);
  // QEMU's helpers go there under other users.
  std::filesystem::permissions(
      host->folder(),
      std::filesystem::perms::others_read | std::filesystem::perms::others_exec,
      std::filesystem::perm_options::add);
  const std::string lifeline = host->folder() / "lifeline";
  if (mkfifo(lifeline.c_str(), S_IRUSR | S_IWUSR) != 0) {
    return ErrnoStatus(errno, lifeline);
  }
  host->lifeline_ = UniqueFd(open(lifeline.c_str(), O_RDWR | O_CLOEXEC));
  RETURN_IF_ERROR(RunCommand({Tool("host"), "up", host->bed(), name,
                              "--lifeline", lifeline})
                      .status());
  return host;
}

LibvirtHost::~LibvirtHost() {
  if (::testing::Test::HasFailure()) {
    // What libvirtd said goes with the folder: keep it in the test's output.
    const absl::StatusOr<std::string> log = RunCommand(
        {"sh", "-c",
         fmt::format("tail -n 60 {0}/log/*.log {0}/log/qemu/*.log", bed())});
    std::cerr << "logs of " << bed() << ":\n"
              << (log.ok() ? *log : log.status().ToString()) << "\n";
  }
  RunCommand({Tool("host"), "down", bed()}).IgnoreError();
}

std::string LibvirtHost::bed() const { return folder() / "host"; }

std::string LibvirtHost::uri() const {
  return fmt::format("qemu+unix:///system?socket={}/run/libvirt-sock", bed());
}

absl::StatusOr<std::string> LibvirtHost::Virsh(std::vector<std::string> words) {
  std::vector<std::string> all = {Tool("host"), "virsh", bed()};
  all.insert(all.end(), std::make_move_iterator(words.begin()),
             std::make_move_iterator(words.end()));
  return RunCommand(all);
}

absl::Status LibvirtHost::StopLibvirtd(const std::string& signal) {
  return RunCommand({Tool("host"), "stop", bed(), signal}).status();
}

absl::Status LibvirtHost::StartLibvirtd() {
  return RunCommand({Tool("host"), "start", bed()}).status();
}

absl::Status LibvirtHost::KillGuest(const std::string& name) {
  // Numbers of the host's own PID namespace.
  return RunCommand(
             {Tool("host"), "exec", bed(), "sh", "-c",
              fmt::format("kill -9 $(cat /run/libvirt/qemu/{}.pid)", name)})
      .status();
}

absl::StatusOr<std::filesystem::path> LibvirtHost::MakeDomain(
    const std::string& name, const std::vector<std::string>& options) {
  bool with_guest = true;
  std::vector<std::string> words = {Tool("make-domain"), name, GuestFolder()};
  for (const std::string& option : options) {
    with_guest = with_guest && option != "kernel=none";
    words.push_back(option);
  }
  if (with_guest) {
    RETURN_IF_ERROR(MakeGuest().status());
  }
  ASSIGN_OR_RETURN(const std::string xml, RunCommand(words));
  const std::filesystem::path path = folder() / (name + ".xml");
  std::ofstream(path) << xml;
  return path;
}

absl::StatusOr<std::string> LibvirtHost::AddJob(
    std::string_view script, const std::vector<std::string>& programs) {
  RETURN_IF_ERROR(MakeGuest().status());
  const std::string job = folder() / "job";
  std::ofstream(job) << script;
  std::string initrd = folder() / "job-initrd.img";
  std::vector<std::string> words = {Tool("add-job"),
                                    GuestFolder() + "/initrd.img", initrd, job};
  words.insert(words.end(), programs.begin(), programs.end());
  RETURN_IF_ERROR(RunCommand(words).status());
  return initrd;
}

bool LibvirtHost::AwaitConsole(const std::string& name,
                               std::string_view text) const {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (Console(name).find(text) == std::string::npos) {
    if (std::chrono::steady_clock::now() > until) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

std::string LibvirtHost::Console(const std::string& name) const {
  std::ifstream log(fmt::format("{}/log/qemu/{}-serial.log", bed(), name));
  return {std::istreambuf_iterator<char>(log), {}};
}

}  // namespace vmattest::testing
