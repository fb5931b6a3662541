#include "kvm/linux/process_scan.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest::kvm {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxProcFile = 1u << 20;
constexpr size_t kMaxPidFile = 64;
constexpr size_t kMaxCommand = 256;
constexpr std::string_view kVmFile = "anon_inode:kvm-vm";
constexpr std::string_view kEmulator = "qemu-system-";
// libvirt writes the pid file just before the program runs; clocks of
// processes count in ticks of 10 ms, file times in jiffies.
constexpr double kPidFileSlack = 2.0;

std::optional<uint32_t> ParsePid(std::string_view text) {
  uint32_t pid = 0;
  const auto [rest, error] =
      std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || rest != text.data() + text.size() || pid == 0) {
    return std::nullopt;
  }
  return pid;
}

// proc's files have no size.
std::optional<std::string> ReadProc(const fs::path& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[4096];
  while (fd.valid() && text.size() < kMaxProcFile) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got == 0) {
      return text;
    }
    if (got < 0) {
      break;
    }
    text.append(buffer, static_cast<size_t>(got));
  }
  return std::nullopt;
}

// Field 22, counted from behind the name, which may hold anything.
std::optional<uint64_t> StartTicks(const fs::path& process) {
  const std::optional<std::string> stat = ReadProc(process / "stat");
  const size_t name_end = stat ? stat->rfind(')') : std::string::npos;
  if (name_end == std::string::npos) {
    return std::nullopt;
  }
  size_t at = name_end + 1;
  for (int field = 2; field < 22; ++field) {
    at = stat->find(' ', at);
    if (at == std::string::npos) {
      return std::nullopt;
    }
    ++at;
    if (field == 21) {
      break;
    }
  }
  uint64_t ticks = 0;
  const auto parsed =
      std::from_chars(stat->data() + at, stat->data() + stat->size(), ticks);
  return parsed.ec == std::errc() ? std::optional(ticks) : std::nullopt;
}

std::string LinkTarget(const fs::path& link) {
  char target[512];
  const ssize_t size = readlink(link.c_str(), target, sizeof(target));
  return size > 0 ? std::string(target, static_cast<size_t>(size)) : "";
}

bool HasVmFile(const fs::path& process) {
  std::error_code error;
  for (fs::directory_iterator fds(process / "fd", error), end;
       !error && fds != end; fds.increment(error)) {
    if (LinkTarget(fds->path()) == kVmFile) {
      return true;
    }
  }
  return false;
}

bool IsEmulator(const fs::path& process) {
  const std::string program = LinkTarget(process / "exe");
  const std::string_view name =
      std::string_view(program).substr(program.rfind('/') + 1);
  return name.substr(0, kEmulator.size()) == kEmulator ||
         name.substr(0, 8) == "qemu-kvm";
}

// What it says about itself, fit to be shown.
std::string Command(const fs::path& process) {
  std::string command = ReadProc(process / "cmdline").value_or("");
  command.resize(std::min(command.size(), kMaxCommand));
  for (char& c : command) {
    if (static_cast<unsigned char>(c) < 0x20 ||
        static_cast<unsigned char>(c) >= 0x7f) {
      c = ' ';
    }
  }
  command.erase(command.find_last_not_of(' ') + 1);
  return command;
}

std::optional<VmProcess> Look(const fs::path& process, uint32_t pid) {
  const bool kvm = HasVmFile(process);
  if (!kvm && !IsEmulator(process)) {
    return std::nullopt;
  }
  struct stat info = {};
  const std::optional<uint64_t> start = StartTicks(process);
  if (!start || stat(process.c_str(), &info) != 0) {
    return std::nullopt;
  }
  VmProcess found;
  found.id = {pid, *start};
  found.uid = info.st_uid;
  found.accelerator = kvm ? Accelerator::kKvm : Accelerator::kTcg;
  found.command = Command(process);
  found.seen_unix_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                           std::chrono::system_clock::now().time_since_epoch())
                           .count();
  return found;
}

// Seconds since the epoch at which ticks begin.
std::optional<double> BootTime(const fs::path& proc) {
  const std::optional<std::string> uptime = ReadProc(proc / "uptime");
  if (!uptime) {
    return std::nullopt;
  }
  const double now = std::chrono::duration<double>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
  return now - std::strtod(uptime->c_str(), nullptr);
}

// The process's number in its own pid namespace: the last one of "NSpid:".
std::optional<uint32_t> InnermostPid(const fs::path& process) {
  const std::string status = ReadProc(process / "status").value_or("");
  constexpr std::string_view kField = "\nNSpid:";
  const size_t at = status.find(kField);
  if (at == std::string::npos) {
    return std::nullopt;
  }
  const size_t end = status.find('\n', at + kField.size());
  const std::string_view line(status.data() + at, end - at);
  return ParsePid(line.substr(line.find_last_of(" \t") + 1));
}

// The pid namespace of who listens on libvirt's socket; empty if nobody does.
// Asked only where an emulator of another namespace runs: each time libvirt
// notes a client that left without a word.
std::string LibvirtNamespace(const fs::path& run_dir, const fs::path& proc) {
  for (const char* name : {"libvirt-sock", "virtqemud-sock"}) {
    const std::string path = (run_dir.parent_path() / name).string();
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
      continue;
    }
    std::copy(path.begin(), path.end(), address.sun_path);
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ucred peer = {};
    socklen_t size = sizeof(peer);
    if (fd.valid() &&
        connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                sizeof(address)) == 0 &&
        getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0) {
      return LinkTarget(proc / std::to_string(peer.pid) / "ns" / "pid");
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<VmProcess>> ScanVmProcesses(const fs::path& proc) {
  std::error_code error;
  if (!fs::exists(proc / "self" / "stat", error)) {
    return absl::FailedPreconditionError(
        fmt::format("{}: no proc file system", proc.string()));
  }
  std::vector<VmProcess> found;
  for (fs::directory_iterator entries(proc, error), end;
       !error && entries != end; entries.increment(error)) {
    const std::optional<uint32_t> pid =
        ParsePid(entries->path().filename().string());
    if (!pid) {
      continue;
    }
    if (std::optional<VmProcess> process = Look(entries->path(), *pid)) {
      found.push_back(*std::move(process));
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), proc.string());
  }
  return found;
}

absl::StatusOr<std::vector<PidFile>> ReadPidFiles(const fs::path& run_dir) {
  struct stat info = {};
  if (stat(run_dir.c_str(), &info) != 0) {
    return ErrnoStatus(errno, run_dir.string());
  }
  if ((info.st_mode & S_IWOTH) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{}: anybody may write to it", run_dir.string()));
  }
  std::vector<PidFile> files;
  std::error_code error;
  for (fs::directory_iterator entries(run_dir, error), end;
       !error && entries != end; entries.increment(error)) {
    const fs::path& path = entries->path();
    if (path.extension() != ".pid" || stat(path.c_str(), &info) != 0) {
      continue;
    }
    const absl::StatusOr<Bytes> text = ReadFile(path, kMaxPidFile);
    if (!text.ok()) {
      continue;
    }
    std::string_view line = AsText(*text);
    line = line.substr(0, line.find_first_of("\r\n "));
    if (const std::optional<uint32_t> pid = ParsePid(line)) {
      files.push_back({*pid, info.st_mtime});
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), run_dir.string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::set<ProcessId> ManagedAmong(const std::vector<VmProcess>& running,
                                 const std::vector<PidFile>& pid_files,
                                 const fs::path& run_dir,
                                 const fs::path& proc) {
  const std::optional<double> boot = BootTime(proc);
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const std::string here = LinkTarget(proc / "self" / "ns" / "pid");
  std::optional<std::string> libvirt;  // asked once, and only if need be
  std::set<ProcessId> managed;
  for (const VmProcess& process : running) {
    const fs::path folder = proc / std::to_string(process.id.pid);
    const std::string space = LinkTarget(folder / "ns" / "pid");
    std::optional<uint32_t> pid = process.id.pid;
    if (space != here) {
      if (!libvirt) {
        libvirt = LibvirtNamespace(run_dir, proc);
      }
      pid = !space.empty() && space == *libvirt ? InnermostPid(folder)
                                                : std::nullopt;
    }
    for (const PidFile& file : pid_files) {
      const double started =
          boot.value_or(0) +
          static_cast<double>(process.id.start_ticks) / ticks;
      if (boot && pid == file.pid &&
          started <= static_cast<double>(file.written_unix) + kPidFileSlack) {
        managed.insert(process.id);
      }
    }
  }
  return managed;
}

absl::StatusOr<ProcessId> FindDomainProcess(const std::string& name,
                                            const std::string& uuid,
                                            const fs::path& run_dir,
                                            const fs::path& proc) {
  const fs::path file = run_dir / (name + ".pid");
  struct stat info {};
  const absl::StatusOr<Bytes> text =
      name.empty() || name.find('/') != std::string::npos
          ? absl::StatusOr<Bytes>(absl::NotFoundError("no such name"))
          : ReadFile(file, kMaxPidFile);
  if (!text.ok() || stat(file.c_str(), &info) != 0) {
    return absl::NotFoundError(
        fmt::format("{}: no pid file: it does not run", file.string()));
  }
  std::string_view line = AsText(*text);
  line = line.substr(0, line.find_first_of("\r\n "));
  const std::optional<uint32_t> pid = ParsePid(line);
  ASSIGN_OR_RETURN(const std::vector<VmProcess> running, ScanVmProcesses(proc));
  const std::set<ProcessId> managed =
      ManagedAmong(running, {{pid.value_or(0), info.st_mtime}}, run_dir, proc);
  for (const ProcessId& process : managed) {
    const std::optional<std::string> command =
        ReadProc(proc / std::to_string(process.pid) / "cmdline");
    const std::string argument = std::string("-uuid\0", 6) + uuid + '\0';
    if (command && command->find(argument) != std::string::npos) {
      return process;
    }
  }
  return absl::NotFoundError(
      fmt::format("no process of domain {} is to be seen", name));
}

std::string RunOf(const ProcessId& process, const fs::path& proc) {
  std::string boot =
      ReadProc(proc / "sys" / "kernel" / "random" / "boot_id").value_or("");
  boot.erase(std::min(boot.find('\n'), boot.size()));
  return boot.empty()
             ? ""
             : fmt::format("{}.{}.{}", boot, process.start_ticks, process.pid);
}

bool IsRunning(const ProcessId& process, const fs::path& proc) {
  return StartTicks(proc / std::to_string(process.pid)) == process.start_ticks;
}

}  // namespace vmattest::kvm
