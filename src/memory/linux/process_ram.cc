#include "memory/linux/process_ram.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "fmt/format.h"
#include "kvm/linux/process_scan.h"

namespace vmattest::memory {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxMaps = 32u << 20;
constexpr size_t kMaxStat = 1u << 16;

// What proc(5) has no size for.
absl::StatusOr<std::string> ReadAll(const fs::path& path, size_t most) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return ErrnoStatus(errno, path.string());
  }
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0) {
      return ErrnoStatus(errno, path.string());
    }
    if (got == 0) {
      return text;
    }
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > most) {
      return absl::ResourceExhaustedError(
          fmt::format("{}: too long", path.string()));
    }
  }
}

std::string_view Word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

bool Number(std::string_view text, int base, uint64_t& value) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<ProcessMapping> ParseLine(std::string_view line) {
  ProcessMapping mapping;
  const std::string_view range = Word(line);
  const std::string_view rights = Word(line);
  const size_t dash = range.find('-');
  if (dash == std::string_view::npos || rights.size() != 4 ||
      !Number(range.substr(0, dash), 16, mapping.begin) ||
      !Number(range.substr(dash + 1), 16, mapping.end) ||
      mapping.end <= mapping.begin || !Number(Word(line), 16, mapping.offset)) {
    return std::nullopt;
  }
  mapping.readable = rights[0] == 'r';
  mapping.writable = rights[1] == 'w';
  mapping.shared = rights[3] == 's';
  mapping.device = Word(line);
  if (!Number(Word(line), 10, mapping.inode)) {
    return std::nullopt;
  }
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  mapping.path = line;
  return mapping;
}

absl::Status CheckAlive(const kvm::ProcessId& process, const fs::path& proc) {
  return kvm::IsRunning(process, proc)
             ? absl::OkStatus()
             : absl::UnavailableError(
                   fmt::format("process {} is gone", process.pid));
}

// A descriptor of the mapping's file, for reading, by one that the process has
// open itself: its path may not exist.
UniqueFd OpenFileOf(const ProcessMapping& mapping, const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entries(folder / "fd", error), end;
       !error && entries != end; entries.increment(error)) {
    struct stat info {};
    if (stat(entries->path().c_str(), &info) == 0 &&
        info.st_ino == mapping.inode && S_ISREG(info.st_mode) &&
        mapping.device == fmt::format("{:02x}:{:02x}", major(info.st_dev),
                                      minor(info.st_dev))) {
      UniqueFd file(open(entries->path().c_str(), O_RDONLY | O_CLOEXEC));
      if (file.valid()) {
        return file;
      }
    }
  }
  const fs::path direct = folder / "map_files" /
                          fmt::format("{:x}-{:x}", mapping.begin, mapping.end);
  return UniqueFd(open(direct.c_str(), O_RDONLY | O_CLOEXEC));
}

bool IsPlainMemory(int fd) {
  struct statfs info {};
  return fstatfs(fd, &info) == 0 &&
         static_cast<unsigned long>(info.f_type) == TMPFS_MAGIC;
}

absl::StatusOr<RamSource> Open(const ProcessMapping& mapping,
                               const fs::path& folder) {
  RamSource source;
  source.bytes = mapping.end - mapping.begin;
  source.mapped = {mapping.begin, mapping.end};
  source.inode = mapping.inode;
  if (mapping.shared && mapping.inode != 0) {
    source.memory = OpenFileOf(mapping, folder);
    if (source.memory.valid()) {
      source.way = RamSource::Way::kFile;
      source.base = mapping.offset;
      source.mappable = IsPlainMemory(source.memory.get());
      return source;
    }
  }
  source.way = RamSource::Way::kProcess;
  source.base = mapping.begin;
  source.anonymous = mapping.inode == 0 && !mapping.shared;
  source.memory =
      UniqueFd(open((folder / "mem").c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.memory.valid()) {
    return ErrnoStatus(errno, (folder / "mem").string());
  }
  source.pagemap =
      UniqueFd(open((folder / "pagemap").c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.pagemap.valid()) {
    return ErrnoStatus(errno, (folder / "pagemap").string());
  }
  return source;
}

bool IsMapped(const std::vector<ProcessMapping>& mappings,
              const MappedRam& block) {
  // The kernel may have cut it in pieces, or merged it with a neighbour.
  uint64_t at = block.range.begin;
  for (const ProcessMapping& mapping : mappings) {
    if (mapping.begin <= at && at < mapping.end && mapping.readable &&
        mapping.inode == block.inode) {
      at = mapping.end;
    }
  }
  return at >= block.range.end;
}

// Closes it, too.
struct FolderCloser {
  void operator()(DIR* folder) const noexcept { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, FolderCloser>;

Folder OpenFolder(int parent, const char* path) {
  UniqueFd fd(openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Folder folder(fd.valid() ? fdopendir(fd.get()) : nullptr);
  if (folder != nullptr) {
    [[maybe_unused]] const int its = fd.Release();
  }
  return folder;
}

// Where a process is asked for the files that it has.
class FileHolders {
 public:
  FileHolders(const std::set<FileId>& files, MonotonicTime until)
      : files_(files), until_(until) {
    for (const FileId& file : files) {
      names_.push_back(NameOf(
          fmt::format("{:02x}:{:02x}", major(file.device), minor(file.device)),
          file.inode));
    }
  }

  // Whether all that was asked for until now was looked at to its end.
  [[nodiscard]] bool InTime() {
    in_time_ = in_time_ && std::chrono::steady_clock::now() < until_;
    return in_time_;
  }
  // `process`: its folder in proc.
  [[nodiscard]] bool Holds(int proc, const std::string& process) {
    return Opened(proc, process) || Mapped(proc, process);
  }

 private:
  static std::string NameOf(std::string_view device, uint64_t inode) {
    return fmt::format(" {} {} ", device, inode);
  }

  [[nodiscard]] bool Opened(int proc, const std::string& process) {
    const Folder fds = OpenFolder(proc, (process + "/fd").c_str());
    if (fds == nullptr) {
      return false;
    }
    while (const dirent* const entry = readdir(fds.get())) {
      struct stat info {};
      if (!InTime()) {
        return false;
      }
      if (fstatat(dirfd(fds.get()), entry->d_name, &info, 0) == 0 &&
          files_.contains({info.st_dev, info.st_ino})) {
        return true;
      }
    }
    return false;
  }

  // Who has mapped a file needs it open no more: so do vhost-user's programs.
  [[nodiscard]] bool Mapped(int proc, const std::string& process) {
    const UniqueFd maps(
        openat(proc, (process + "/maps").c_str(), O_RDONLY | O_CLOEXEC));
    size_t kept = 0;  // of a line that is not all there
    while (maps.valid() && InTime()) {
      const ssize_t got =
          read(maps.get(), buffer_.data() + kept, buffer_.size() - kept);
      if (got <= 0) {
        return false;
      }
      const std::string_view text(buffer_.data(),
                                  kept + static_cast<size_t>(got));
      const size_t whole = text.rfind('\n') + 1;
      if (IsIn(text.substr(0, whole))) {
        return true;
      }
      kept = text.size() - whole;
      std::memmove(buffer_.data(), text.data() + whole, kept);
    }
    return false;
  }

  [[nodiscard]] bool IsIn(std::string_view lines) const {
    return std::any_of(names_.begin(), names_.end(), [&](const auto& name) {
      // Most lines need no closer look.
      for (std::string_view rest = lines; !rest.empty();) {
        const auto* const hit = static_cast<const char*>(
            memmem(rest.data(), rest.size(), name.data(), name.size()));
        if (hit == nullptr) {
          return false;
        }
        const size_t at = hit - lines.data();
        const size_t begin = lines.rfind('\n', at) + 1;
        const size_t end = lines.find('\n', at);
        const auto mapping = ParseLine(lines.substr(begin, end - begin));
        if (mapping && name == NameOf(mapping->device, mapping->inode)) {
          return true;
        }
        rest = lines.substr(end);
      }
      return false;
    });
  }

  const std::set<FileId>& files_;
  const MonotonicTime until_;
  bool in_time_ = true;
  // As maps has them, between the offset and the path.
  std::vector<std::string> names_;
  std::vector<char> buffer_ = std::vector<char>(size_t{1} << 16);
};

// Of `process`, a folder in proc; none: it is gone.
std::optional<uint64_t> ParentOf(const fs::path& process) {
  const std::string text =
      ReadAll(process / "stat", kMaxStat).value_or(std::string());
  // Behind the name, which may hold anything, and the state.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) {
    return std::nullopt;
  }
  std::string_view rest = std::string_view(text).substr(name_end + 1);
  (void)Word(rest);
  uint64_t parent = 0;
  return Number(Word(rest), 10, parent) ? std::optional(parent) : std::nullopt;
}

}  // namespace

std::vector<ProcessMapping> ParseMappings(std::string_view text) {
  std::vector<ProcessMapping> mappings;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (auto mapping = ParseLine(text.substr(0, end))) {
      mappings.push_back(*std::move(mapping));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return mappings;
}

absl::StatusOr<std::vector<RamSource>> OpenRam(
    const kvm::ProcessId& process, const std::vector<uint64_t>& sizes,
    const fs::path& proc) {
  const fs::path folder = proc / std::to_string(process.pid);
  RETURN_IF_ERROR(CheckAlive(process, proc));
  ASSIGN_OR_RETURN(const std::string text, ReadAll(folder / "maps", kMaxMaps));
  std::vector<RamSource> sources;
  for (const ProcessMapping& mapping : ParseMappings(text)) {
    if (mapping.readable && mapping.writable &&
        std::find(sizes.begin(), sizes.end(), mapping.end - mapping.begin) !=
            sizes.end()) {
      ASSIGN_OR_RETURN(RamSource source, Open(mapping, folder));
      sources.push_back(std::move(source));
    }
  }
  // What was opened belongs to the process only if it is still the one.
  RETURN_IF_ERROR(CheckAlive(process, proc));
  return sources;
}

absl::StatusOr<std::optional<size_t>> FirstUnmapped(
    const kvm::ProcessId& process, const std::vector<MappedRam>& blocks,
    const fs::path& proc) {
  RETURN_IF_ERROR(CheckAlive(process, proc));
  ASSIGN_OR_RETURN(
      const std::string text,
      ReadAll(proc / std::to_string(process.pid) / "maps", kMaxMaps));
  const std::vector<ProcessMapping> mappings = ParseMappings(text);
  if (mappings.empty()) {
    return absl::UnavailableError(
        fmt::format("process {} is ending", process.pid));
  }
  const auto gone = std::find_if(
      blocks.begin(), blocks.end(),
      [&](const MappedRam& block) { return !IsMapped(mappings, block); });
  return gone == blocks.end() ? std::nullopt
                              : std::optional<size_t>(gone - blocks.begin());
}

std::set<FileId> FilesOf(const std::vector<RamSource>& blocks) {
  std::set<FileId> files;
  for (const RamSource& block : blocks) {
    struct stat info {};
    if (block.way == RamSource::Way::kFile &&
        fstat(block.memory.get(), &info) == 0) {
      files.insert({info.st_dev, info.st_ino});
    }
  }
  return files;
}

std::vector<std::string> OtherMappers(const kvm::ProcessId& process,
                                      const std::set<FileId>& files,
                                      const fs::path& proc,
                                      std::chrono::milliseconds limit) {
  std::vector<std::string> found;
  const Folder processes =
      files.empty() ? nullptr : OpenFolder(AT_FDCWD, proc.c_str());
  if (processes == nullptr) {
    return found;
  }
  const auto me = static_cast<uint64_t>(getpid());
  FileHolders holders(files, std::chrono::steady_clock::now() + limit);
  while (const dirent* const entry = readdir(processes.get())) {
    const std::string name = entry->d_name;
    uint64_t pid = 0;
    if (!Number(name, 10, pid) || pid == process.pid || pid == me) {
      continue;
    }
    if (!holders.InTime()) {
      break;
    }
    const std::optional<uint64_t> parent =
        holders.Holds(dirfd(processes.get()), name) ? ParentOf(proc / name)
                                                    : std::nullopt;
    if (parent && *parent != me) {
      found.push_back(fmt::format("process {}", pid));
    }
  }
  if (!holders.InTime()) {
    found.emplace_back("not all processes could be looked at");
  }
  return found;
}

std::vector<std::string> DeviceAccess(const kvm::ProcessId& process,
                                      const fs::path& proc) {
  std::set<std::string> found;
  std::error_code error;
  for (fs::directory_iterator
           entries(proc / std::to_string(process.pid) / "fd", error),
       end;
       !error && entries != end; entries.increment(error)) {
    std::error_code inner;
    const std::string target =
        fs::read_symlink(entries->path(), inner).string();
    for (const std::string_view prefix :
         {"/dev/vfio/", "/dev/iommu", "/dev/vhost-vdpa"}) {
      if (!inner && target.rfind(prefix, 0) == 0) {
        found.insert(target);
      }
    }
  }
  return {found.begin(), found.end()};
}

}  // namespace vmattest::memory
