#include "disk/ext_file_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "disk/ext_channel.h"
#include "disk/ext_file.h"
#include "disk/partition_table.h"

namespace vmattest::disk {
namespace {

constexpr uint64_t kMaxDescriptors = uint64_t{64} << 20;
constexpr size_t kMaxLinks = 16;
constexpr size_t kMaxPath = 4096;

// libext2fs allocates what the superblock says, so that is held against the
// partition first. Offsets: linux/fs/ext4/ext4.h, struct ext4_super_block.
absl::Status CheckSuperblock(BlockSource& source) {
  std::array<uint8_t, 1024> super{};
  RETURN_IF_ERROR(source.ReadAt(1024, super));
  const uint64_t shift = LittleEndian(super, 0x18, 4);
  const uint64_t per_group = LittleEndian(super, 0x20, 4);
  const bool is_64bit = (LittleEndian(super, 0x60, 4) & 0x80) != 0;
  if (shift > 6 || per_group == 0) {
    return absl::DataLossError("the superblock is damaged");
  }
  const uint64_t block_size = uint64_t{1024} << shift;
  uint64_t blocks = LittleEndian(super, 0x4, 4);
  uint64_t descriptor = 32;
  if (is_64bit) {
    blocks |= LittleEndian(super, 0x150, 4) << 32;
    descriptor = std::max<uint64_t>(LittleEndian(super, 0xFE, 2), 32);
  }
  if (blocks > source.size() / block_size) {
    return absl::DataLossError("the file system is larger than its partition");
  }
  if (blocks / per_group + 1 > kMaxDescriptors / descriptor) {
    return absl::ResourceExhaustedError(
        "the file system has too many block groups");
  }
  return absl::OkStatus();
}

std::string UuidText(const uint8_t* raw) {
  const std::string hex = ToHex({raw, 16});
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4),
                     hex.substr(12, 4), hex.substr(16, 4), hex.substr(20));
}

ExtFileTree::Description Describe(ext2_super_block& super) {
  ExtFileTree::Description description;
  description.version = ext2fs_has_feature_extents(&super) ||
                                ext2fs_has_feature_64bit(&super) ||
                                ext2fs_has_feature_metadata_csum(&super)
                            ? "ext4"
                        : ext2fs_has_feature_journal(&super) ? "ext3"
                                                             : "ext2";
  description.uuid = UuidText(super.s_uuid);
  description.journal = ext2fs_has_feature_journal_needs_recovery(&super)
                            ? "needs-recovery"
                        : ext2fs_has_feature_journal(&super) ? "clean"
                                                             : "none";
  if (ext2fs_has_feature_encrypt(&super)) {
    description.features.emplace_back("encrypt");
  }
  if (ext2fs_has_feature_casefold(&super)) {
    description.features.emplace_back("casefold");
  }
  if (ext2fs_has_feature_verity(&super)) {
    description.features.emplace_back("verity");
  }
  description.has_errors = (super.s_state & EXT2_ERROR_FS) != 0;
  return description;
}

FileEntry::Kind KindOf(uint16_t mode) {
  if (LINUX_S_ISREG(mode)) {
    return FileEntry::Kind::kFile;
  }
  if (LINUX_S_ISDIR(mode)) {
    return FileEntry::Kind::kFolder;
  }
  return LINUX_S_ISLNK(mode) ? FileEntry::Kind::kLink : FileEntry::Kind::kOther;
}

// What a folder says about an entry's kind; what it does not, the inode says.
FileEntry::Kind KindOfEntry(int type) {
  switch (type) {
    case EXT2_FT_REG_FILE:
      return FileEntry::Kind::kFile;
    case EXT2_FT_DIR:
      return FileEntry::Kind::kFolder;
    case EXT2_FT_SYMLINK:
      return FileEntry::Kind::kLink;
    default:
      return FileEntry::Kind::kOther;
  }
}

struct Listing {
  std::vector<FileEntry> entries;
  std::vector<size_t> unknown;  // whose kind is not said
  bool too_many = false;
};

int TakeEntry(ext2_ino_t, int, ext2_dir_entry* raw, int, int, char*,
              void* user_data) {
  auto& listing = *static_cast<Listing*>(user_data);
  const auto length = static_cast<size_t>(ext2fs_dirent_name_len(raw));
  const std::string_view name(raw->name, length);
  if (name == "." || name == ".." || name.empty()) {
    return 0;
  }
  if (listing.entries.size() >= kMaxFolderEntries) {
    listing.too_many = true;
    return DIRENT_ABORT;
  }
  const int type = ext2fs_dirent_file_type(raw);
  if (type == EXT2_FT_UNKNOWN) {
    listing.unknown.push_back(listing.entries.size());
  }
  listing.entries.push_back(
      {.name = std::string(name), .kind = KindOfEntry(type), .id = raw->inode});
  return 0;
}

}  // namespace

// Members in the order in which they need each other.
struct ExtFileTree::Mounted {
  explicit Mounted(BlockSource& block_source)
      : source(block_source), channel(block_source) {}

  absl::StatusOr<ext2_inode> Inode(uint64_t number) {
    ext2_inode inode{};
    const errcode_t code = ext2fs_read_inode(
        filesystem.get(), static_cast<ext2_ino_t>(number), &inode);
    if (code != 0) {
      return channel.ToStatus(code, fmt::format("inode {}", number));
    }
    return inode;
  }

  absl::StatusOr<std::unique_ptr<BlockSource>> Content(
      uint64_t number, const ext2_inode& inode) {
    return OpenExtFile(source, channel, filesystem.get(),
                       static_cast<ext2_ino_t>(number), inode);
  }

  BlockSource& source;
  ExtChannel channel;
  ExtFilesystemHandle filesystem;
};

// One walk along a path. Own code: libext2fs believes the length that a long
// symbolic link's inode claims.
class ExtFileTree::Walk {
 public:
  explicit Walk(Mounted& mounted) : mounted_(mounted) {}

  absl::StatusOr<FileEntry> Go(std::string_view path) {
    std::string rest(path);
    while (!rest.empty()) {
      const size_t slash = std::min(rest.find('/'), rest.size());
      const std::string name = rest.substr(0, slash);
      rest.erase(0, slash + 1);
      if (name.empty() || name == ".") {
        continue;
      }
      if (name == "..") {
        if (folders_.size() > 1) {
          folders_.pop_back();
        }
        continue;
      }
      ASSIGN_OR_RETURN(const uint64_t found, Lookup(name));
      ASSIGN_OR_RETURN(const ext2_inode inode, mounted_.Inode(found));
      if (!LINUX_S_ISLNK(inode.i_mode)) {
        folders_.push_back(
            {.name = name, .kind = KindOf(inode.i_mode), .id = found});
        continue;
      }
      RETURN_IF_ERROR(Follow(found, inode, rest));
    }
    return folders_.back();
  }

 private:
  absl::StatusOr<uint64_t> Lookup(const std::string& name) {
    const FileEntry& folder = folders_.back();
    if (folder.kind != FileEntry::Kind::kFolder) {
      return absl::NotFoundError(name);
    }
    ext2_ino_t found = 0;
    const errcode_t code = ext2fs_lookup(
        mounted_.filesystem.get(), static_cast<ext2_ino_t>(folder.id),
        name.c_str(), static_cast<int>(name.size()), nullptr, &found);
    if (code == EXT2_ET_FILE_NOT_FOUND) {
      return absl::NotFoundError(name);
    }
    if (code != 0) {
      return mounted_.channel.ToStatus(code, "looking for " + name);
    }
    return found;
  }

  // Puts the link's target before `rest`.
  absl::Status Follow(uint64_t number, const ext2_inode& inode,
                      std::string& rest) {
    if (++links_ > kMaxLinks) {
      return absl::DataLossError("too many symbolic links");
    }
    std::string target;
    ext2_inode copy = inode;
    if ((inode.i_flags & EXT4_ENCRYPT_FL) == 0 &&
        ext2fs_is_fast_symlink(&copy) != 0) {
      target.assign(
          reinterpret_cast<const char*>(copy.i_block),
          std::min<uint64_t>(EXT2_I_SIZE(&inode), sizeof(copy.i_block)));
    } else {
      ASSIGN_OR_RETURN(const std::unique_ptr<BlockSource> content,
                       mounted_.Content(number, inode));
      ASSIGN_OR_RETURN(const Bytes bytes, ReadAll(*content, kMaxPath));
      target = AsText(bytes);
    }
    if (target.starts_with('/')) {
      folders_.resize(1);
    }
    rest = target + "/" + rest;
    return rest.size() <= 2 * kMaxPath
               ? absl::OkStatus()
               : absl::DataLossError("a path that is too long");
  }

  Mounted& mounted_;
  size_t links_ = 0;
  std::vector<FileEntry> folders_ = {
      {.name = "", .kind = FileEntry::Kind::kFolder, .id = EXT2_ROOT_INO}};
};

ExtFileTree::ExtFileTree(std::unique_ptr<Mounted> mounted)
    : mounted_(std::move(mounted)) {}

ExtFileTree::~ExtFileTree() = default;

absl::StatusOr<std::unique_ptr<ExtFileTree>> ExtFileTree::Mount(
    BlockSource& source) {
  RETURN_IF_ERROR(CheckSuperblock(source));
  auto mounted = std::make_unique<Mounted>(source);
  ASSIGN_OR_RETURN(mounted->filesystem, mounted->channel.OpenFilesystem());
  std::unique_ptr<ExtFileTree> tree(new ExtFileTree(std::move(mounted)));
  tree->description_ = Describe(*tree->mounted_->filesystem->super);
  return tree;
}

absl::StatusOr<FileEntry> ExtFileTree::Find(std::string_view path) {
  return Walk(*mounted_).Go(path);
}

absl::StatusOr<std::vector<FileEntry>> ExtFileTree::List(
    const FileEntry& folder) {
  ASSIGN_OR_RETURN(const ext2_inode inode, mounted_->Inode(folder.id));
  if (!LINUX_S_ISDIR(inode.i_mode)) {
    return absl::DataLossError("an entry that is no folder");
  }
  if ((inode.i_flags & EXT4_ENCRYPT_FL) != 0) {
    return absl::UnimplementedError("an encrypted folder");
  }
  Listing listing;
  const errcode_t code = ext2fs_dir_iterate2(mounted_->filesystem.get(),
                                             static_cast<ext2_ino_t>(folder.id),
                                             0, nullptr, TakeEntry, &listing);
  if (code != 0) {
    return mounted_->channel.ToStatus(code, "reading a folder");
  }
  if (listing.too_many) {
    return absl::ResourceExhaustedError(
        fmt::format("a folder of more than {} entries", kMaxFolderEntries));
  }
  for (const size_t i : listing.unknown) {
    ASSIGN_OR_RETURN(const ext2_inode entry,
                     mounted_->Inode(listing.entries[i].id));
    listing.entries[i].kind = KindOf(entry.i_mode);
  }
  std::sort(listing.entries.begin(), listing.entries.end(),
            [](const FileEntry& a, const FileEntry& b) {
              return std::tie(a.name, a.id) < std::tie(b.name, b.id);
            });
  return std::move(listing.entries);
}

absl::StatusOr<std::unique_ptr<BlockSource>> ExtFileTree::Open(
    const FileEntry& file) {
  ASSIGN_OR_RETURN(const ext2_inode inode, mounted_->Inode(file.id));
  if (!LINUX_S_ISREG(inode.i_mode)) {
    return absl::DataLossError("an entry that is no file");
  }
  return mounted_->Content(file.id, inode);
}

}  // namespace vmattest::disk
