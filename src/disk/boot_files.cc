#include "disk/boot_files.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "crypto/digest.h"
#include "disk/pe_image.h"

namespace vmattest::disk {
namespace {

constexpr size_t kMaxDepth = 16;
constexpr size_t kMaxFiles = 4096;
constexpr size_t kMaxPath = 1024;
constexpr uint64_t kMaxFileSize = uint64_t{1} << 30;

// One walk through the boot files of one file system, depth first, by name.
class BootWalk {
 public:
  BootWalk(FileTree& tree, std::string prefix, const Inventory& inventory)
      : tree_(tree), prefix_(std::move(prefix)), inventory_(inventory) {}

  void Visit(const FileEntry& folder, const std::string& path, size_t depth) {
    // Hostile folders can be each other's children.
    if (depth > kMaxDepth || path.size() > kMaxPath ||
        !folders_.insert(folder.id).second) {
      Unavailable(path, "folders that are too deep or form a loop");
      return;
    }
    const absl::StatusOr<std::vector<FileEntry>> entries = tree_.List(folder);
    if (!entries.ok()) {
      Unavailable(path, std::string(entries.status().message()));
      return;
    }
    for (const FileEntry& entry : *entries) {
      if (stopped_ || !inventory_.budget.failure().ok()) {
        return;
      }
      const std::string name =
          path.empty() ? entry.name : path + "/" + entry.name;
      if (entry.kind == FileEntry::Kind::kFolder) {
        Visit(entry, name, depth + 1);
      } else if (entry.kind == FileEntry::Kind::kFile) {
        AddFile(entry, name);
      }
    }
  }

  void Unavailable(const std::string& path, const std::string& why) {
    inventory_.leaves.Unavailable(Leaf(path), why);
  }

 private:
  [[nodiscard]] std::string Leaf(const std::string& path) const {
    return fmt::format("{}/boot[{}]", prefix_, EscapeLeafKey(path));
  }

  void AddFile(const FileEntry& entry, const std::string& path) {
    if (++files_ > kMaxFiles) {
      stopped_ = true;
      inventory_.leaves.Unavailable(
          prefix_ + "/boot", fmt::format("more than {} files", kMaxFiles));
      return;
    }
    const auto file = tree_.Open(entry);
    const auto digest =
        file.ok() ? DigestOf(**file, kMaxFileSize, inventory_) : file.status();
    if (!digest.ok()) {
      Unavailable(path, std::string(digest.status().message()));
      return;
    }
    inventory_.leaves.Digest(Leaf(path), inventory_.algorithm, *digest);
    AddAuthenticode(**file, Leaf(path) + "/authenticode");
  }

  // Always SHA-256: that is what Secure Boot and the measured-boot log have.
  void AddAuthenticode(BlockSource& file, const std::string& leaf) {
    const absl::StatusOr<bool> is_pe = IsPeImage(file);
    if (is_pe.ok() && !*is_pe) {
      return;
    }
    const auto digest = is_pe.ok()
                            ? AuthenticodeDigest(file, HashAlgorithm::kSha256)
                            : is_pe.status();
    if (digest.ok()) {
      inventory_.leaves.Digest(leaf, HashAlgorithm::kSha256, *digest);
    } else {
      inventory_.leaves.Unavailable(leaf,
                                    std::string(digest.status().message()));
    }
  }

  FileTree& tree_;
  const std::string prefix_;
  const Inventory& inventory_;
  std::set<uint64_t> folders_;
  size_t files_ = 0;
  bool stopped_ = false;
};

}  // namespace

void AddBootFiles(FileTree& tree, const std::string& folder,
                  const std::string& prefix, const Inventory& inventory) {
  const absl::StatusOr<FileEntry> found = tree.Find(folder);
  if (absl::IsNotFound(found.status())) {
    return;
  }
  BootWalk walk(tree, prefix, inventory);
  if (!found.ok()) {
    walk.Unavailable(folder, std::string(found.status().message()));
  } else if (found->kind == FileEntry::Kind::kFolder) {
    walk.Visit(*found, folder, 0);
  }
}

absl::StatusOr<DigestBytes> DigestOf(BlockSource& file, uint64_t max_size,
                                     const Inventory& inventory) {
  if (file.size() > max_size) {
    return absl::ResourceExhaustedError(
        fmt::format("{} bytes; at most {} are read", file.size(), max_size));
  }
  RETURN_IF_ERROR(inventory.budget.Spend(file.size()));
  Hasher hasher(inventory.algorithm);
  RETURN_IF_ERROR(file.ReadInOrder(0, file.size(), [&hasher](ByteView piece) {
    hasher.Update(piece);
    return absl::OkStatus();
  }));
  return hasher.Finish();
}

}  // namespace vmattest::disk
