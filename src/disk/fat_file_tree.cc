#include "disk/fat_file_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "disk/handles.h"

namespace vmattest::disk {
namespace {

constexpr size_t kSector = 512;
// libtsk holds a folder in memory as a whole.
constexpr int64_t kMaxFolderSize = int64_t{16} << 20;

// The part of libtsk that reads. Its first base is what libtsk sees.
struct Image : TSK_IMG_INFO {
  explicit Image(BlockSource& block_source)
      : TSK_IMG_INFO(), source(block_source) {
    tsk_img_open_external(this, static_cast<TSK_OFF_T>(source.size()), 512,
                          Read, Close, Describe);
  }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image() { tsk_img_close(this); }

  // libtsk takes what is in the buffer for content even where reading failed,
  // and rounds lengths up past the image's end: both are made harmless here.
  static ssize_t Read(TSK_IMG_INFO* info, TSK_OFF_T offset, char* buffer,
                      size_t length) {
    auto& self = *static_cast<Image*>(info);
    std::memset(buffer, 0, length);
    const auto begin = static_cast<uint64_t>(offset);
    const uint64_t size = self.source.size();
    const uint64_t inside =
        offset < 0 || begin >= size ? 0 : std::min(length, size - begin);
    const absl::Status status =
        inside == 0 ? absl::DataLossError("a block outside the file system")
                    : self.source.ReadAt(
                          begin, {reinterpret_cast<uint8_t*>(buffer), inside});
    if (status.ok()) {
      return static_cast<ssize_t>(inside);
    }
    if (self.failure.ok()) {
      self.failure = status;
    }
    return -1;
  }
  static void Close(TSK_IMG_INFO*) {}
  static void Describe(TSK_IMG_INFO*, FILE*) {}

  // The source's error if there was one since the last call, else DATA_LOSS
  // with libtsk's own words.
  absl::Status ToStatus(std::string_view what) {
    const char* text = tsk_error_get();
    const std::string words = text != nullptr ? text : "no detail";
    tsk_error_reset();
    if (!failure.ok()) {
      return std::exchange(failure, absl::OkStatus());
    }
    return absl::DataLossError(fmt::format("{}: {}", what, words));
  }

  BlockSource& source;
  absl::Status failure;
};

bool SameName(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

// libtsk adds entries that are on no disk, and finds deleted ones.
bool IsReal(const TSK_FS_NAME& name) {
  if (name.name == nullptr || (name.flags & TSK_FS_NAME_FLAG_ALLOC) == 0 ||
      (name.type != TSK_FS_NAME_TYPE_REG &&
       name.type != TSK_FS_NAME_TYPE_DIR)) {
    return false;
  }
  const std::string_view text(name.name);
  return !text.empty() && text != "." && text != ".." &&
         !text.ends_with(" (Volume Label Entry)");
}

}  // namespace

// Members in the order in which they need each other.
struct FatFileTree::Mounted {
  explicit Mounted(BlockSource& source) : image(source) {}

  absl::StatusOr<TskFileHandle> OpenMeta(uint64_t id) {
    TskFileHandle file(tsk_fs_file_open_meta(filesystem.get(), nullptr, id));
    if (!file || file->meta == nullptr) {
      return image.ToStatus("reading a directory entry");
    }
    return file;
  }

  Image image;
  TskFilesystemHandle filesystem;
};

class FatFileTree::File final : public BlockSource {
 public:
  File(Mounted& mounted, TskFileHandle file)
      : mounted_(mounted), file_(std::move(file)) {}

  [[nodiscard]] uint64_t size() const override {
    return static_cast<uint64_t>(std::max<int64_t>(file_->meta->size, 0));
  }

  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
    while (!buffer.empty()) {
      // Whole sectors first: see Image::Read.
      const size_t whole = buffer.size() - buffer.size() % kSector;
      const auto piece = buffer.first(whole > 0 ? whole : buffer.size());
      const ssize_t count =
          tsk_fs_file_read(file_.get(), static_cast<TSK_OFF_T>(offset),
                           reinterpret_cast<char*>(piece.data()), piece.size(),
                           TSK_FS_FILE_READ_FLAG_NONE);
      if (count != static_cast<ssize_t>(piece.size()) ||
          !mounted_.image.failure.ok()) {
        return mounted_.image.ToStatus("reading a file");
      }
      offset += piece.size();
      buffer = buffer.subspan(piece.size());
    }
    return absl::OkStatus();
  }

 private:
  Mounted& mounted_;
  const TskFileHandle file_;
};

FatFileTree::FatFileTree(std::unique_ptr<Mounted> mounted)
    : mounted_(std::move(mounted)) {}

FatFileTree::~FatFileTree() = default;

absl::StatusOr<std::unique_ptr<FatFileTree>> FatFileTree::Mount(
    BlockSource& source) {
  auto mounted = std::make_unique<Mounted>(source);
  mounted->filesystem.reset(
      tsk_fs_open_img(&mounted->image, 0, TSK_FS_TYPE_FAT_DETECT));
  if (!mounted->filesystem) {
    return mounted->image.ToStatus("opening the file system");
  }
  // Probing may look past the end of a small image.
  if (absl::IsDataLoss(mounted->image.failure)) {
    mounted->image.failure = absl::OkStatus();
  }
  RETURN_IF_ERROR(mounted->image.failure);
  return std::unique_ptr<FatFileTree>(new FatFileTree(std::move(mounted)));
}

absl::StatusOr<FileEntry> FatFileTree::Find(std::string_view path) {
  FileEntry at{.name = "",
               .kind = FileEntry::Kind::kFolder,
               .id = mounted_->filesystem->root_inum};
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty()) {
      continue;
    }
    if (at.kind != FileEntry::Kind::kFolder) {
      return absl::NotFoundError(std::string(name));
    }
    ASSIGN_OR_RETURN(const std::vector<FileEntry> entries, List(at));
    const auto found = std::find_if(
        entries.begin(), entries.end(),
        [name](const FileEntry& entry) { return SameName(entry.name, name); });
    if (found == entries.end()) {
      return absl::NotFoundError(std::string(name));
    }
    at = *found;
  }
  return at;
}

absl::StatusOr<std::vector<FileEntry>> FatFileTree::List(
    const FileEntry& folder) {
  ASSIGN_OR_RETURN(const TskFileHandle meta, mounted_->OpenMeta(folder.id));
  if (meta->meta->size > kMaxFolderSize) {
    return absl::ResourceExhaustedError("a folder of more than 16 MiB");
  }
  const TskFolderHandle opened(
      tsk_fs_dir_open_meta(mounted_->filesystem.get(), folder.id));
  if (!opened) {
    return mounted_->image.ToStatus("reading a folder");
  }
  std::vector<FileEntry> entries;
  const size_t count = tsk_fs_dir_getsize(opened.get());
  for (size_t i = 0; i < count && i < kMaxFolderEntries; ++i) {
    const TSK_FS_NAME* name = tsk_fs_dir_get_name(opened.get(), i);
    if (name != nullptr && IsReal(*name)) {
      entries.push_back({.name = name->name,
                         .kind = name->type == TSK_FS_NAME_TYPE_DIR
                                     ? FileEntry::Kind::kFolder
                                     : FileEntry::Kind::kFile,
                         .id = name->meta_addr});
    }
  }
  if (!mounted_->image.failure.ok()) {
    return mounted_->image.ToStatus("reading a folder");
  }
  std::sort(entries.begin(), entries.end(),
            [](const FileEntry& a, const FileEntry& b) {
              return std::tie(a.name, a.id) < std::tie(b.name, b.id);
            });
  return entries;
}

absl::StatusOr<std::unique_ptr<BlockSource>> FatFileTree::Open(
    const FileEntry& file) {
  ASSIGN_OR_RETURN(TskFileHandle meta, mounted_->OpenMeta(file.id));
  return std::make_unique<File>(*mounted_, std::move(meta));
}

}  // namespace vmattest::disk
