#include "gate/inputs.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <system_error>

#include "fmt/format.h"
#include "measurement/xml_element.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;
using measurement::XmlElement;

constexpr int kMaxLinks = 40;  // as the kernel's

bool IsReadOnlyDisk(const XmlElement& disk) {
  return disk.Is("disk") && disk.Get("type") == "file" &&
         (disk.Child("readonly") != nullptr || disk.Get("device") == "cdrom");
}

bool IsBootFile(const XmlElement& element) {
  return element.Is("kernel") || element.Is("initrd") || element.Is("dtb") ||
         (element.Is("loader") && element.Get("readonly") != "no");
}

absl::Status CheckOwner(const fs::path& path, const struct stat& status) {
  if (status.st_uid != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} does not belong to root", path.string()));
  }
  const bool sticky =
      S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
  if (!S_ISLNK(status.st_mode) && !sticky &&
      (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} can be written to by others than root", path.string()));
  }
  return absl::OkStatus();
}

bool LiesBelow(const fs::path& path, const fs::path& folder) {
  const auto [end, rest] =
      std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return rest != path.end() && (end == folder.end() || end->empty());
}

void PushFront(std::deque<fs::path>& names, const fs::path& path) {
  names.insert(names.begin(), path.begin(), path.end());
}

// Walks as the kernel does. Where it ends.
absl::StatusOr<fs::path> Walk(const fs::path& path) {
  std::deque<fs::path> names;
  PushFront(names, path);
  fs::path at = "/";
  int links = 0;
  while (!names.empty()) {
    const fs::path name = names.front();
    names.pop_front();
    if (name == "..") {
      at = at.parent_path();
      continue;
    }
    if (name.empty() || name == ".") {
      continue;
    }
    const fs::path next = name.is_absolute() ? fs::path("/") : at / name;
    struct stat status {};
    if (lstat(next.c_str(), &status) != 0) {
      return ErrnoStatus(errno, next.string());
    }
    RETURN_IF_ERROR(CheckOwner(next, status));
    if (!S_ISLNK(status.st_mode)) {
      at = next;
      continue;
    }
    std::error_code error;
    const fs::path target = fs::read_symlink(next, error);
    if (error || ++links > kMaxLinks) {
      return ErrnoStatus(error ? error.value() : ELOOP, next.string());
    }
    PushFront(names, target);
  }
  return at;
}

}  // namespace

absl::StatusOr<Inputs> ReadOnlyInputs(std::string_view xml) {
  ASSIGN_OR_RETURN(const XmlElement domain, measurement::ParseXml(xml));
  Inputs inputs;
  if (const XmlElement* os = domain.Child("os"); os != nullptr) {
    for (const XmlElement& element : os->children) {
      if (IsBootFile(element) && !element.Text().empty()) {
        inputs.boot.emplace_back(element.Text());
      }
    }
  }
  if (const XmlElement* devices = domain.Child("devices"); devices != nullptr) {
    for (const XmlElement& disk : devices->children) {
      const XmlElement* const source = disk.Child("source");
      if (IsReadOnlyDisk(disk) && source != nullptr &&
          !source->Get("file").empty()) {
        inputs.disks.emplace_back(source->Get("file"));
      }
    }
  }
  return inputs;
}

absl::Status CheckStored(const fs::path& path,
                         const std::vector<fs::path>& stores) {
  if (!path.is_absolute()) {
    return absl::FailedPreconditionError(
        fmt::format("{} is no absolute path", path.string()));
  }
  ASSIGN_OR_RETURN(const fs::path file, Walk(path));
  for (const fs::path& store : stores) {
    const absl::StatusOr<fs::path> folder = Walk(store);
    if (folder.ok() && LiesBelow(file, *folder)) {
      return absl::OkStatus();
    }
  }
  return absl::FailedPreconditionError(fmt::format(
      "{} lies in none of the folders of gate.store", file.string()));
}

}  // namespace vmattest::gate
