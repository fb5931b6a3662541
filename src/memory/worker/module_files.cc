#include "memory/worker/module_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <optional>
#include <system_error>

#include "fmt/format.h"

namespace vmattest::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".ko";
constexpr std::string_view kReadable[] = {".ko", ".ko.xz", ".ko.zst"};
constexpr const char* kSystemMap = "System.map";
constexpr size_t kMostEntries = 1u << 16;  // of the folder
constexpr size_t kPiece = 1u << 20;

using Paths = std::map<std::string, fs::path>;  // by the module's name

// Absent: there is no such release.
std::optional<fs::path> FolderOf(const fs::path& folder,
                                 const std::string& release) {
  std::error_code error;
  size_t seen = 0;
  for (fs::directory_iterator entry(folder, error), end;
       !error && entry != end && seen < kMostEntries;
       entry.increment(error), ++seen) {
    if (entry->path().filename() == release && entry->is_directory(error)) {
      return entry->path();
    }
  }
  return std::nullopt;
}

// Where ".ko" begins, which nothing follows or "." and a compression; npos.
size_t SuffixOf(const std::string& name) {
  const size_t at = name.rfind(kSuffix);
  return at != std::string::npos && (at + kSuffix.size() == name.size() ||
                                     name[at + kSuffix.size()] == '.')
             ? at
             : std::string::npos;
}

bool IsReadable(const std::string& name) {
  return std::find(std::begin(kReadable), std::end(kReadable),
                   std::string_view(name).substr(SuffixOf(name))) !=
         std::end(kReadable);
}

Paths FindModules(const fs::path& folder) {
  Paths found;
  std::error_code error;
  size_t seen = 0;
  for (fs::recursive_directory_iterator entry(folder, error), end;
       !error && entry != end && seen < kMostEntries;
       entry.increment(error), ++seen) {
    std::string name = entry->path().filename();
    const size_t suffix = SuffixOf(name);
    if (suffix != std::string::npos) {
      name.resize(suffix);
      std::replace(name.begin(), name.end(), '-', '_');
      const auto [at, added] = found.emplace(name, entry->path());
      if (!added && entry->path().extension() == kSuffix) {
        at->second = entry->path();
      }
    }
  }
  return found;
}

absl::Status Append(const fs::path& path, uint64_t left, const UniqueFd& to,
                    uint64_t& bytes) {
  const UniqueFd file(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  struct stat info {};
  if (!file.valid() || fstat(file.get(), &info) != 0) {
    return ErrnoStatus(errno, path.filename().string());
  }
  const auto size = static_cast<uint64_t>(info.st_size);
  if (!S_ISREG(info.st_mode) || size == 0 || size > left) {
    return absl::FailedPreconditionError(
        fmt::format("{} is no file, or too large", path.filename().string()));
  }
  std::vector<uint8_t> piece(std::min<uint64_t>(kPiece, size));
  for (uint64_t done = 0; done < size;) {
    const ssize_t got = pread(file.get(), piece.data(),
                              std::min<uint64_t>(piece.size(), size - done),
                              static_cast<off_t>(done));
    if (got <= 0 ||
        write(to.get(), piece.data(), static_cast<size_t>(got)) != got) {
      return ErrnoStatus(got == 0 ? ENODATA : errno, path.filename().string());
    }
    done += static_cast<uint64_t>(got);
  }
  bytes = size;
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> ReadOnly(const UniqueFd& file) {
  UniqueFd same(open(fmt::format("/proc/self/fd/{}", file.get()).c_str(),
                     O_RDONLY | O_CLOEXEC));
  if (!same.valid()) {
    return ErrnoStatus(errno, "files of modules");
  }
  return same;
}

}  // namespace

absl::StatusOr<ModuleFiles> CollectModuleFiles(
    const fs::path& folder, const std::string& release,
    const std::vector<std::string>& names) {
  const std::optional<fs::path> modules = FolderOf(folder, release);
  const Paths paths = modules ? FindModules(*modules) : Paths();
  UniqueFd all(memfd_create("vmattest-modules", MFD_CLOEXEC));
  if (!all.valid()) {
    return ErrnoStatus(errno, "a file for files of modules");
  }
  ModuleFiles out;
  uint64_t total = 0;
  const auto append = [&](const fs::path& path,
                          uint64_t& bytes) -> absl::Status {
    // What was written of one that failed is written over.
    RETURN_IF_ERROR(lseek(all.get(), static_cast<off_t>(total), SEEK_SET) < 0
                        ? ErrnoStatus(errno, "files of modules")
                        : absl::OkStatus());
    RETURN_IF_ERROR(Append(path, kMaxModuleFiles - total, all, bytes));
    total += bytes;
    return absl::OkStatus();
  };
  for (const std::string& name : names) {
    ModuleFiles::File file{name, 0, {}};
    const auto path = paths.find(name);
    if (path == paths.end()) {
      file.problem = modules ? "no file of that name"
                             : "no files of this release of the kernel";
    } else if (!IsReadable(path->second.filename())) {
      file.problem = fmt::format("{} is compressed, neither xz nor zst",
                                 path->second.filename().string());
    } else {
      file.problem = std::string(append(path->second, file.bytes).message());
    }
    out.files.push_back(std::move(file));
  }
  std::error_code error;
  if (modules && fs::exists(*modules / kSystemMap, error)) {
    // One that cannot be read is none: then there is no record of it.
    (void)append(*modules / kSystemMap, out.system_map);
  }
  if (total > 0) {
    ASSIGN_OR_RETURN(out.content, ReadOnly(all));
  }
  return out;
}

}  // namespace vmattest::memory
