#include "support/qemu_guest.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <regex>

#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "support/run_command.h"
#include "support/unix_socket.h"

namespace vmattest::testing {
namespace {

constexpr auto kPatience = std::chrono::minutes(3);
constexpr std::string_view kDone = "CONSOLE-DONE\r\n";

// Each line from the console is a command; what ends one's output cannot stand
// in a command, for the terminal would echo it.
constexpr std::string_view kJob = R"(#!/bin/sh
stty -echo
echo CONSOLE-"READY"
while read -r line; do
  eval "$line" 2>&1
  echo CONSOLE-"DONE"
done
)";

std::string Tool(const char* name) {
  return fmt::format("{}/{}", VMATTEST_TESTBED, name);
}

std::optional<uint64_t> Register(const std::string& text, const char* name) {
  std::smatch found;
  const std::regex pattern(fmt::format(R"(\b{}=([0-9a-f]+))", name));
  if (!std::regex_search(text, found, pattern)) {
    return std::nullopt;
  }
  return std::stoull(found[1], nullptr, 16);
}

std::optional<memory::VcpuState::Table> TableRegister(const std::string& text,
                                                      const char* name) {
  std::smatch found;
  const std::regex pattern(
      fmt::format(R"(\b{}= +([0-9a-f]+) ([0-9a-f]+))", name));
  if (!std::regex_search(text, found, pattern)) {
    return std::nullopt;
  }
  return memory::VcpuState::Table{
      std::stoull(found[1], nullptr, 16),
      static_cast<uint16_t>(std::stoul(found[2], nullptr, 16))};
}

absl::StatusOr<std::string> ReadLine(int fd) {
  std::string line;
  char c = 0;
  while (read(fd, &c, 1) == 1) {
    if (c == '\n') {
      return line;
    }
    line += c;
  }
  return absl::UnavailableError("QEMU's monitor is gone");
}

}  // namespace

absl::StatusOr<std::unique_ptr<QemuGuest>> QemuGuest::Boot(
    const GuestKernel& kernel) {
  std::unique_ptr<QemuGuest> guest(new QemuGuest);
  ASSIGN_OR_RETURN(const std::string folder, MakeGuest(kernel));
  RETURN_IF_ERROR(guest->Start(folder, kernel.name != kDebian12Kernel.name));
  absl::StatusOr<std::string> ready = guest->Await("CONSOLE-READY\r\n");
  if (!ready.ok()) {
    return Annotate(ready.status(), guest->pending_);
  }
  ASSIGN_OR_RETURN(guest->memory_, MemfdGuestMemory::Open(guest->pid_));
  return guest;
}

absl::Status QemuGuest::Start(const std::string& folder, bool modern) {
  const std::string job = dir_.Write("job", kJob);
  const std::string initrd = dir_.path() / "initrd.img";
  RETURN_IF_ERROR(
      RunCommand({Tool("add-job"), folder + "/initrd.img", initrd, job})
          .status());
  kernel_ = folder + "/vmlinuz";
  modules_ = folder + "/modules/";
  const std::vector<std::string> words = {
      "setpriv",
      "--pdeathsig",
      "KILL",
      "qemu-system-x86_64",
      "-accel",
      "tcg",
      "-cpu",
      modern ? "max" : "max,la57=off",
      "-smp",
      "2",
      "-m",
      "512M",
      "-machine",
      "pc,memory-backend=ram",
      "-object",
      "memory-backend-memfd,id=ram,size=512M,share=on",
      "-nodefaults",
      "-display",
      "none",
      "-no-reboot",
      "-kernel",
      kernel_,
      "-initrd",
      initrd,
      "-append",
      modern ? "console=ttyS0 quiet pti=on" : "console=ttyS0 quiet",
      "-serial",
      "stdio",
      "-qmp",
      fmt::format("unix:{}/qmp,server=on,wait=off", dir_.path().string())};
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0) {
    return ErrnoStatus(errno, "pipe");
  }
  const UniqueFd child_in(in[0]);
  const UniqueFd child_out(out[1]);
  to_console_ = UniqueFd(in[1]);
  from_console_ = UniqueFd(out[0]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, child_in.get(), 0);
  posix_spawn_file_actions_adddup2(&actions, child_out.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, child_out.get(), 2);
  std::vector<char*> arguments;
  for (const std::string& word : words) {
    arguments.push_back(const_cast<char*>(word.c_str()));
  }
  arguments.push_back(nullptr);
  const int error = posix_spawnp(&pid_, arguments[0], &actions, nullptr,
                                 arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) {
    return absl::NotFoundError("needs the package qemu-system-x86");
  }
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, words[0]);
}

std::string QemuGuest::module_file(std::string name) const {
  if (!std::filesystem::exists(modules_ + name + ".ko")) {
    std::replace(name.begin(), name.end(), '_', '-');
  }
  return modules_ + name + ".ko";
}

QemuGuest::~QemuGuest() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

absl::StatusOr<std::string> QemuGuest::Await(std::string_view marker) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    if (const size_t at = pending_.find(marker); at != std::string::npos) {
      std::string before = pending_.substr(0, at);
      pending_.erase(0, at + marker.size());
      return before;
    }
    pollfd waiting{from_console_.get(), POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0 ||
        poll(&waiting, 1, static_cast<int>(left.count())) <= 0) {
      return absl::DeadlineExceededError("the guest's console is silent");
    }
    std::array<char, 4096> buffer{};
    const ssize_t got = read(from_console_.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      return absl::UnavailableError("QEMU has ended");
    }
    pending_.append(buffer.data(), static_cast<size_t>(got));
  }
}

absl::StatusOr<std::string> QemuGuest::Run(std::string_view line) {
  const std::string command = std::string(line) + "\n";
  if (write(to_console_.get(), command.data(), command.size()) !=
      static_cast<ssize_t>(command.size())) {
    return ErrnoStatus(errno, "the guest's console");
  }
  return Await(kDone);
}

absl::StatusOr<std::string> QemuGuest::Monitor(std::string_view command) {
  const UniqueFd socket = ConnectUnix(dir_.path() / "qmp");
  if (!socket.valid()) {
    return absl::UnavailableError("no QMP socket");
  }
  ASSIGN_OR_RETURN(std::string line, ReadLine(socket.get()));
  const nlohmann::json words[] = {{{"execute", "qmp_capabilities"}},
                                  {{"execute", "human-monitor-command"},
                                   {"arguments", {{"command-line", command}}}}};
  for (const nlohmann::json& word : words) {
    WriteAll(socket.get(), AsBytes(word.dump() + "\n"));
    do {
      ASSIGN_OR_RETURN(line, ReadLine(socket.get()));
    } while (line.find("\"return\"") == std::string::npos &&
             line.find("\"error\"") == std::string::npos);
  }
  return nlohmann::json::parse(line).value("return", std::string());
}

absl::StatusOr<std::vector<memory::VcpuState>> QemuGuest::Vcpus() {
  ASSIGN_OR_RETURN(const std::string all, Monitor("info registers -a"));
  std::vector<memory::VcpuState> cpus;
  size_t at = all.find("CPU#");
  while (at != std::string::npos) {
    const size_t next = all.find("CPU#", at + 1);
    const std::string text = all.substr(at, next - at);
    memory::VcpuState cpu;
    cpu.cr0 = Register(text, "CR0");
    cpu.cr3 = Register(text, "CR3");
    cpu.cr4 = Register(text, "CR4");
    cpu.efer = Register(text, "EFER");
    cpu.idtr = TableRegister(text, "IDT");
    cpu.gdtr = TableRegister(text, "GDT");
    cpus.push_back(cpu);
    at = next;
  }
  return cpus;
}

}  // namespace vmattest::testing
