#include "gate/hook_watch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <system_error>
#include <vector>

#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxProgram = 256u << 20;
constexpr int64_t kSecond = 1'000'000'000;
// How exactly the kernel tells when a process began, and some more.
constexpr int64_t kTick = kSecond / 20;

absl::Status Wrong(std::string sentence) {
  return absl::FailedPreconditionError(std::move(sentence));
}

std::optional<struct stat> Stat(const fs::path& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? std::optional(status)
                                          : std::nullopt;
}

// What changes with a file's content; empty: there is none.
std::string Identity(const fs::path& path) {
  const std::optional<struct stat> found = Stat(path);
  return found ? fmt::format("{}:{}:{}:{}.{} ", found->st_dev, found->st_ino,
                             found->st_size, found->st_ctim.tv_sec,
                             found->st_ctim.tv_nsec)
               : "";
}

// Programs are large, and this is done beside launches: piece by piece.
bool SameContent(const fs::path& a, const fs::path& b) {
  std::error_code error;
  const auto size = fs::file_size(a, error);
  if (error || size > kMaxProgram || fs::file_size(b, error) != size || error) {
    return false;
  }
  std::ifstream one(a, std::ios::binary);
  std::ifstream other(b, std::ios::binary);
  std::array<char, 65536> left{};
  std::array<char, 65536> right{};
  while (one && other) {
    one.read(left.data(), left.size());
    other.read(right.data(), right.size());
    if (one.gcount() != other.gcount() ||
        !std::equal(left.begin(), left.begin() + one.gcount(), right.begin())) {
      return false;
    }
  }
  return one.eof() && other.eof();
}

// Those libvirts that see our folder of hooks as theirs; where that cannot be
// told (no right to look), all of them.
std::vector<fs::path> Libvirtds(const fs::path& proc, const fs::path& hooks) {
  std::vector<fs::path> found;
  const std::optional<struct stat> ours = Stat(hooks);
  std::error_code error;
  fs::directory_iterator entries(proc, error);
  for (; !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    const std::string name = entries->path().filename();
    if (name.empty() || !std::all_of(name.begin(), name.end(), [](char c) {
          return std::isdigit(static_cast<unsigned char>(c)) != 0;
        })) {
      continue;
    }
    std::string comm;
    std::ifstream(entries->path() / "comm") >> comm;
    if (comm != "libvirtd" && comm != "virtqemud") {
      continue;
    }
    const fs::path seen = entries->path() / "root/etc/libvirt/hooks";
    struct stat theirs {};
    const bool known = stat(seen.c_str(), &theirs) == 0;
    if (known ? ours && theirs.st_ino == ours->st_ino &&
                    theirs.st_dev == ours->st_dev
              : errno == EACCES || errno == EPERM) {
      found.push_back(entries->path());
    }
  }
  return found;
}

int64_t Nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * kSecond + time.tv_nsec;
}

// When the process began, by the wall clock: field 22 of its stat, in ticks
// since boot, behind a name that may hold anything.
std::optional<int64_t> StartOf(const fs::path& process) {
  std::ifstream file(process / "stat");
  const std::string line((std::istreambuf_iterator<char>(file)), {});
  const size_t close = line.rfind(')');
  if (close == std::string::npos) {
    return std::nullopt;
  }
  std::istringstream fields(line.substr(close + 1));
  std::string field;
  for (int i = 3; i <= 22 && fields >> field; ++i) {
  }
  if (!fields) {
    return std::nullopt;
  }
  timespec boot{};
  timespec wall{};
  clock_gettime(CLOCK_BOOTTIME, &boot);
  clock_gettime(CLOCK_REALTIME, &wall);
  const int64_t ticks = std::strtoll(field.c_str(), nullptr, 10);
  return Nanoseconds(wall) - Nanoseconds(boot) +
         ticks * (kSecond / sysconf(_SC_CLK_TCK));
}

}  // namespace

fs::path HookFile(const fs::path& hooks) {
  return hooks / "qemu.d" / "vmattest";
}

void HookWatch::NoteCall() {
  // Its time says when; a failure only makes the check more anxious.
  const UniqueFd file(
      open(options_.called.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  (void)futimens(file.get(), nullptr);
}

bool HookWatch::NoteStarted(const std::string& vm_uuid,
                            const std::string& name) {
  const bool called = sessions_.WasCalled(vm_uuid);
  const MutexLock lock(mutex_);
  if (called) {
    unasked_.clear();
  } else {
    unasked_ = name.empty() ? vm_uuid : name;
  }
  return called;
}

absl::Status HookWatch::Check() const {
  RETURN_IF_ERROR(CheckFile());
  std::string unasked;
  {
    const MutexLock lock(mutex_);
    unasked = unasked_;
  }
  if (!unasked.empty()) {
    return Wrong(fmt::format(
        "VM '{}' started and libvirt did not call the hook; restart libvirtd "
        "or send it SIGHUP, then start the VM again",
        unasked));
  }
  return CheckLibvirtd();
}

absl::Status HookWatch::CheckFile() const {
  const fs::path file = HookFile(options_.hooks);
  const std::optional<struct stat> status = Stat(file);
  if (!status) {
    return Wrong(fmt::format("{} is missing; run `vmattest hook install`",
                             file.string()));
  }
  if ((status->st_mode & S_IXUSR) == 0) {
    return Wrong(fmt::format(
        "{} is not executable; run `vmattest hook install`", file.string()));
  }
  if (status->st_uid != 0 || (status->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Wrong(
        fmt::format("{} can be changed by others than root", file.string()));
  }
  if (!SameAsProgram(file)) {
    return Wrong(
        fmt::format("{} is not the vmattest-hook of this build; run `vmattest "
                    "hook install`",
                    file.string()));
  }
  return absl::OkStatus();
}

// Both are some megabytes, and this is asked each second.
bool HookWatch::SameAsProgram(const fs::path& file) const {
  const std::string now = Identity(file) + Identity(options_.program);
  {
    const MutexLock lock(mutex_);
    if (now == same_) {
      return true;
    }
  }
  const bool same = SameContent(file, options_.program);
  const MutexLock lock(mutex_);
  same_ = same ? now : "";
  return same;
}

absl::Status HookWatch::CheckLibvirtd() const {
  const std::optional<struct stat> hook = Stat(HookFile(options_.hooks));
  const std::optional<struct stat> called = Stat(options_.called);
  if (!hook ||
      (called && Nanoseconds(called->st_mtim) >= Nanoseconds(hook->st_ctim))) {
    return absl::OkStatus();  // called since it was installed
  }
  for (const fs::path& process : Libvirtds(options_.proc, options_.hooks)) {
    if (const std::optional<int64_t> started = StartOf(process);
        started && *started + kTick < Nanoseconds(hook->st_ctim)) {
      return Wrong(
          "the hook was installed after libvirtd started, so libvirtd does not "
          "know it; restart libvirtd or send SIGHUP");
    }
  }
  return absl::OkStatus();
}

}  // namespace vmattest::gate
