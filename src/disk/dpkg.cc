#include "disk/dpkg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <unordered_map>
#include <utility>

#include "crypto/digest.h"
#include "disk/leaf_list.h"

namespace vmattest::disk {
namespace {

constexpr size_t kMaxPackages = 100'000;
constexpr uint64_t kMaxStatus = uint64_t{64} << 20;
constexpr uint64_t kMaxManifest = uint64_t{64} << 20;
constexpr std::string_view kManifestSuffix = ".md5sums";

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string_view TakeLine(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

bool SameField(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return std::tolower(static_cast<unsigned char>(x)) ==
                  std::tolower(static_cast<unsigned char>(y));
         });
}

struct Paragraph {
  InstalledPackage package;
  std::string_view status;
  bool has_status = false;
  bool empty = true;
};

void TakeField(std::string_view line, Paragraph& paragraph) {
  paragraph.empty = false;
  const size_t colon = line.find(':');
  if (line.front() == ' ' || line.front() == '\t' ||
      colon == std::string_view::npos) {
    return;
  }
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trim(line.substr(colon + 1));
  if (SameField(name, "Package")) {
    paragraph.package.name = value;
  } else if (SameField(name, "Version")) {
    paragraph.package.version = value;
  } else if (SameField(name, "Architecture")) {
    paragraph.package.architecture = value;
  } else if (SameField(name, "Status")) {
    paragraph.status = value;
    paragraph.has_status = true;
  }
}

// "want flag state": whether files of it are there.
bool IsThere(Paragraph& paragraph) {
  if (!paragraph.has_status) {
    return true;
  }
  const std::string_view state =
      paragraph.status.substr(paragraph.status.rfind(' ') + 1);
  if (state == "not-installed" || state == "config-files") {
    return false;
  }
  if (state != "installed") {
    paragraph.package.state = state;
  }
  return true;
}

using Manifests = std::unordered_map<std::string, FileEntry>;

// The manifests of a folder by what stands before ".md5sums".
absl::StatusOr<Manifests> ListManifests(FileTree& tree,
                                        const std::string& folder) {
  Manifests manifests;
  const absl::StatusOr<FileEntry> found = tree.Find(folder);
  if (absl::IsNotFound(found.status())) {
    return manifests;
  }
  RETURN_IF_ERROR(found.status());
  ASSIGN_OR_RETURN(std::vector<FileEntry> entries, tree.List(*found));
  for (FileEntry& entry : entries) {
    const std::string_view name = entry.name;
    if (name.ends_with(kManifestSuffix)) {
      std::string key(name.substr(0, name.size() - kManifestSuffix.size()));
      manifests.emplace(std::move(key), std::move(entry));
    }
  }
  return manifests;
}

// A manifest that cannot be read is a fact about its package.
std::string ManifestText(FileTree& tree, const Manifests& manifests,
                         const InstalledPackage& package,
                         HashAlgorithm algorithm) {
  auto found = manifests.find(package.name + ":" + package.architecture);
  if (found == manifests.end()) {
    found = manifests.find(package.name);
  }
  if (found == manifests.end()) {
    return "md5sums=none";
  }
  const auto file = tree.Open(found->second);
  const auto content =
      file.ok() ? ReadAll(**file, kMaxManifest) : file.status();
  if (!content.ok()) {
    return fmt::format("md5sums=unavailable ({})",
                       std::string(content.status().message()));
  }
  return "md5sums=" + DigestText(algorithm, Hash(algorithm, *content));
}

absl::StatusOr<std::string> ReadText(FileTree& tree, const FileEntry& entry) {
  ASSIGN_OR_RETURN(const auto file, tree.Open(entry));
  ASSIGN_OR_RETURN(const Bytes bytes, ReadAll(*file, kMaxStatus));
  return std::string(AsText(bytes));
}

// Distroless images: one status file for each package.
absl::Status ReadStatusFolder(FileTree& tree, const std::string& folder,
                              std::vector<InstalledPackage>& packages) {
  ASSIGN_OR_RETURN(const FileEntry found, tree.Find(folder));
  ASSIGN_OR_RETURN(const std::vector<FileEntry> entries, tree.List(found));
  for (const FileEntry& entry : entries) {
    if (entry.kind != FileEntry::Kind::kFile ||
        std::string_view(entry.name).ends_with(kManifestSuffix)) {
      continue;
    }
    ASSIGN_OR_RETURN(const std::string text, ReadText(tree, entry));
    ASSIGN_OR_RETURN(std::vector<InstalledPackage> more, ParseDpkgStatus(text));
    std::move(more.begin(), more.end(), std::back_inserter(packages));
    if (packages.size() > kMaxPackages) {
      return absl::ResourceExhaustedError("more than 100000 packages");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<InstalledPackage>> ParseDpkgStatus(
    std::string_view text) {
  std::vector<InstalledPackage> packages;
  Paragraph paragraph;
  while (true) {
    const bool at_end = text.empty();
    const std::string_view line = TakeLine(text);
    if (!Trim(line).empty()) {
      TakeField(line, paragraph);
      continue;
    }
    if (!paragraph.empty) {
      if (paragraph.package.name.empty()) {
        return absl::DataLossError("a package without a name");
      }
      if (IsThere(paragraph)) {
        packages.push_back(std::move(paragraph.package));
      }
      if (packages.size() > kMaxPackages) {
        return absl::ResourceExhaustedError("more than 100000 packages");
      }
      paragraph = {};
    }
    if (at_end) {
      return packages;
    }
  }
}

absl::StatusOr<std::vector<InstalledPackage>> ReadDpkgDatabase(
    FileTree& tree, const std::string& folder, HashAlgorithm algorithm) {
  const absl::StatusOr<FileEntry> status = tree.Find(folder + "/status");
  const absl::StatusOr<FileEntry> many = tree.Find(folder + "/status.d");
  if (!status.ok() && !absl::IsNotFound(status.status())) {
    return status.status();
  }
  if (!many.ok() && !absl::IsNotFound(many.status())) {
    return many.status();
  }
  if (!status.ok() && !many.ok()) {
    return absl::NotFoundError(folder);
  }
  std::vector<InstalledPackage> packages;
  if (status.ok()) {
    ASSIGN_OR_RETURN(const std::string text, ReadText(tree, *status));
    ASSIGN_OR_RETURN(packages, ParseDpkgStatus(text));
  }
  const size_t of_status = packages.size();
  if (many.ok()) {
    RETURN_IF_ERROR(ReadStatusFolder(tree, folder + "/status.d", packages));
  }
  ASSIGN_OR_RETURN(const Manifests info, ListManifests(tree, folder + "/info"));
  ASSIGN_OR_RETURN(const Manifests beside,
                   ListManifests(tree, folder + "/status.d"));
  for (size_t i = 0; i < packages.size(); ++i) {
    packages[i].manifest = ManifestText(tree, i < of_status ? info : beside,
                                        packages[i], algorithm);
  }
  return packages;
}

}  // namespace vmattest::disk
