#include "memory/linux/process_ram.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "fmt/format.h"
#include "kvm/linux/process_scan.h"

namespace vmattest::memory {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxMaps = 32u << 20;

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

using FileId = std::pair<dev_t, ino_t>;

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

std::vector<std::string> OtherMappers(const kvm::ProcessId& process,
                                      const std::vector<RamSource>& blocks,
                                      const fs::path& proc) {
  std::set<FileId> files;
  for (const RamSource& block : blocks) {
    struct stat info {};
    if (block.way == RamSource::Way::kFile &&
        fstat(block.memory.get(), &info) == 0) {
      files.insert({info.st_dev, info.st_ino});
    }
  }
  std::vector<std::string> found;
  if (files.empty()) {
    return found;
  }
  std::error_code error;
  for (fs::directory_iterator entries(proc, error), end;
       !error && entries != end; entries.increment(error)) {
    uint64_t pid = 0;
    if (!Number(entries->path().filename().string(), 10, pid) ||
        pid == process.pid || pid == static_cast<uint64_t>(getpid())) {
      continue;
    }
    std::error_code inner;
    for (fs::directory_iterator fds(entries->path() / "fd", inner), last;
         !inner && fds != last; fds.increment(inner)) {
      struct stat info {};
      if (stat(fds->path().c_str(), &info) == 0 &&
          files.contains({info.st_dev, info.st_ino})) {
        found.push_back(fmt::format("process {}", pid));
        break;
      }
    }
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
