#include "gate/protocol/process_facts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>

#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxStat = 1u << 16;
constexpr size_t kMaxArguments = 2u << 20;
constexpr int kStartField = 22;

template <class Number>
std::optional<Number> ParseNumber(std::string_view text, int base = 10) {
  Number number = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), number, base);
  return parsed.ec == std::errc() ? std::optional(number) : std::nullopt;
}

// "flags:" of fdinfo is octal; what cannot be read counts as read-only, of
// which more is demanded.
int AccessMode(const fs::path& process, const fs::path& number) {
  constexpr std::string_view kFlags = "flags:\t";
  const absl::StatusOr<std::string> info =
      ReadUnsized(process / "fdinfo" / number, kMaxStat);
  const size_t at = info.ok() ? info->find(kFlags) : std::string::npos;
  if (at == std::string::npos) {
    return O_RDONLY;
  }
  const auto flags = ParseNumber<unsigned>(
      std::string_view(*info).substr(at + kFlags.size()), 8);
  return static_cast<int>(flags.value_or(O_RDONLY)) & O_ACCMODE;
}

// The last number of the line that begins with `field`.
std::optional<int64_t> LastNumberOf(const fs::path& file,
                                    std::string_view field) {
  const absl::StatusOr<std::string> text = ReadUnsized(file, kMaxStat);
  const size_t at = text.ok() ? text->find(field) : std::string::npos;
  if (at == std::string::npos) {
    return std::nullopt;
  }
  const std::string_view line = std::string_view(*text).substr(
      at + field.size(), text->find('\n', at + 1) - at - field.size());
  const size_t space = line.find_last_of(" \t");
  return ParseNumber<int64_t>(
      space == std::string_view::npos ? line : line.substr(space + 1));
}

// The process's pid in its own namespace.
std::optional<int64_t> InnermostPid(const fs::path& process) {
  return LastNumberOf(process / "status", "\nNSpid:");
}

}  // namespace

absl::StatusOr<std::string> ReadUnsized(const fs::path& path, size_t most) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return ErrnoStatus(errno, path.string());
  }
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno != EINTR) {
      return ErrnoStatus(errno, path.string());
    }
    if (got == 0) {
      return text;
    }
    text.append(buffer, static_cast<size_t>(got < 0 ? 0 : got));
    if (text.size() > most) {
      return absl::ResourceExhaustedError(
          fmt::format("{}: more than {} bytes", path.string(), most));
    }
  }
}

absl::StatusOr<uint64_t> StartTicks(const fs::path& process) {
  ASSIGN_OR_RETURN(const std::string line,
                   ReadUnsized(process / "stat", kMaxStat));
  // Behind a name that may hold anything; the next field is the third.
  std::string_view rest(line);
  const size_t close = rest.rfind(')');
  rest = close == std::string_view::npos ? "" : rest.substr(close + 1);
  for (int field = 2; field < kStartField; ++field) {
    const size_t space = rest.find(' ');
    rest = space == std::string_view::npos ? "" : rest.substr(space + 1);
  }
  const auto ticks = ParseNumber<uint64_t>(rest);
  if (!ticks) {
    return absl::InvalidArgumentError(process.string() + "/stat");
  }
  return *ticks;
}

absl::StatusOr<std::vector<OpenFile>> ReadOpenFiles(const fs::path& process) {
  std::vector<OpenFile> files;
  std::error_code error;
  fs::directory_iterator entries(process / "fd", error);
  for (; !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    struct stat status {};
    if (stat(entries->path().c_str(), &status) != 0 ||
        (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))) {
      continue;  // closed meanwhile, or a socket, pipe, character device
    }
    std::error_code gone;
    const fs::path path = fs::read_symlink(entries->path(), gone);
    if (gone) {
      continue;
    }
    if (files.size() == kMaxQemuFiles) {
      return absl::ResourceExhaustedError("too many open files");
    }
    const int mode = AccessMode(process, entries->path().filename());
    files.push_back({path.string(), status.st_dev, status.st_ino,
                     mode != O_RDONLY, mode == O_WRONLY});
  }
  if (error) {
    return ErrnoStatus(error.value(), process.string());
  }
  return files;
}

absl::StatusOr<QemuFacts> ReadQemuFacts(const fs::path& process, int64_t pid) {
  QemuFacts facts;
  facts.pid = pid;
  std::error_code error;
  facts.program = fs::read_symlink(process / "exe", error).string();
  if (error) {
    return ErrnoStatus(error.value(), process.string());
  }
  ASSIGN_OR_RETURN(const std::string line,
                   ReadUnsized(process / "cmdline", kMaxArguments));
  for (size_t from = 0; from < line.size();) {
    const size_t end = std::min(line.find('\0', from), line.size());
    facts.arguments.push_back(line.substr(from, end - from));
    from = end + 1;
  }
  ASSIGN_OR_RETURN(facts.files, ReadOpenFiles(process));
  ASSIGN_OR_RETURN(facts.start_ticks, StartTicks(process));
  return facts;
}

bool IsAlive(const ProcessKey& process, const fs::path& proc) {
  const absl::StatusOr<uint64_t> ticks =
      StartTicks(proc / std::to_string(process.pid));
  return ticks.ok() && *ticks == process.start_ticks;
}

std::optional<ProcessKey> FindProcess(const ProcessKey& process,
                                      const fs::path& proc) {
  const auto is_it = [&process](const fs::path& candidate) {
    const absl::StatusOr<uint64_t> ticks = StartTicks(candidate);
    return ticks.ok() && *ticks == process.start_ticks &&
           InnermostPid(candidate) == process.pid;
  };
  if (is_it(proc / std::to_string(process.pid))) {
    return process;
  }
  std::error_code error;
  fs::directory_iterator entries(proc, error);
  for (; !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    const std::string name = entries->path().filename();
    if (!std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0; })) {
      continue;
    }
    const auto pid = ParseNumber<int64_t>(name);
    if (pid && is_it(entries->path())) {
      return ProcessKey{*pid, process.start_ticks};
    }
  }
  return std::nullopt;
}

std::optional<ProcessKey> ProcessBehind(int pidfd, const fs::path& proc) {
  const auto pid =
      LastNumberOf(proc / "self/fdinfo" / std::to_string(pidfd), "\nPid:");
  if (!pid || *pid <= 0) {
    return std::nullopt;
  }
  const absl::StatusOr<uint64_t> ticks =
      StartTicks(proc / std::to_string(*pid));
  return ticks.ok() ? std::optional(ProcessKey{*pid, *ticks}) : std::nullopt;
}

std::string BootId() {
  absl::StatusOr<std::string> id =
      ReadUnsized("/proc/sys/kernel/random/boot_id", 64);
  return id.ok() ? *std::move(id) : "";
}

}  // namespace vmattest::gate
