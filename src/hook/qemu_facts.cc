#include "hook/qemu_facts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <system_error>

#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest::hook {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxArguments = 2u << 20;

// Files of /proc and /run say nothing of their size beforehand.
absl::StatusOr<std::string> ReadAll(const fs::path& path, size_t most) {
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

absl::StatusOr<int64_t> PidOf(const fs::path& run_dir,
                              const std::string& domain) {
  if (domain.empty() || domain.find('/') != std::string::npos) {
    return absl::InvalidArgumentError("a domain's name without '/'");
  }
  ASSIGN_OR_RETURN(const std::string text,
                   ReadAll(run_dir / (domain + ".pid"), 64));
  int64_t pid = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), pid);
  if (parsed.ec != std::errc() || pid <= 1) {
    return absl::InvalidArgumentError("the pid file holds no number");
  }
  return pid;
}

// "flags:" of fdinfo is octal; what cannot be read counts as read-only, of
// which more is demanded.
bool IsWritable(const fs::path& process, const fs::path& number) {
  const absl::StatusOr<std::string> info =
      ReadAll(process / "fdinfo" / number, 1u << 16);
  constexpr std::string_view kFlags = "flags:\t";
  const size_t at = info.ok() ? info->find(kFlags) : std::string::npos;
  if (at == std::string::npos) {
    return false;
  }
  unsigned flags = 0;
  const char* const from = info->data() + at + kFlags.size();
  std::from_chars(from, info->data() + info->size(), flags, 8);
  return (flags & O_ACCMODE) != O_RDONLY;
}

absl::StatusOr<std::vector<gate::OpenFile>> OpenFiles(const fs::path& process) {
  std::vector<gate::OpenFile> files;
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
    if (files.size() == gate::kMaxQemuFiles) {
      return absl::ResourceExhaustedError("too many open files");
    }
    files.push_back({path.string(), status.st_dev, status.st_ino,
                     IsWritable(process, entries->path().filename())});
  }
  if (error) {
    return ErrnoStatus(error.value(), process.string());
  }
  return files;
}

}  // namespace

absl::StatusOr<gate::QemuFacts> GatherQemuFacts(const fs::path& run_dir,
                                                const std::string& domain) {
  gate::QemuFacts facts;
  ASSIGN_OR_RETURN(facts.pid, PidOf(run_dir, domain));
  const fs::path process = fmt::format("/proc/{}", facts.pid);
  std::error_code error;
  facts.program = fs::read_symlink(process / "exe", error).string();
  if (error) {
    return ErrnoStatus(error.value(), process.string());
  }
  ASSIGN_OR_RETURN(const std::string line,
                   ReadAll(process / "cmdline", kMaxArguments));
  for (size_t from = 0; from < line.size();) {
    const size_t end = std::min(line.find('\0', from), line.size());
    facts.arguments.push_back(line.substr(from, end - from));
    from = end + 1;
  }
  ASSIGN_OR_RETURN(facts.files, OpenFiles(process));
  return facts;
}

}  // namespace vmattest::hook
