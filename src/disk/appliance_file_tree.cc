#include "disk/appliance_file_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace vmattest::disk {
namespace {

constexpr uint64_t kCallPrice = 4096;
constexpr size_t kMaxFiles = 1'000'000;
constexpr uint64_t kMaxFileSize = uint64_t{1} << 60;

// A name that a kernel can have listed: it becomes part of a path.
bool IsName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

}  // namespace

class ApplianceFileTree::Content final : public BlockSource {
 public:
  Content(Appliance& appliance, Budget& budget, const Appliance::File& file)
      : appliance_(appliance), budget_(budget), file_(file) {}

  [[nodiscard]] uint64_t size() const override { return file_.size; }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
    while (!buffer.empty()) {
      const auto piece =
          buffer.first(std::min(buffer.size(), Appliance::kMaxRead));
      RETURN_IF_ERROR(budget_.Spend(piece.size()));
      RETURN_IF_ERROR(appliance_.ReadFile(file_.path, offset, piece));
      offset += piece.size();
      buffer = buffer.subspan(piece.size());
    }
    return absl::OkStatus();
  }
  // In the appliance's pieces: each is a message there and back.
  [[nodiscard]] absl::Status ReadInOrder(uint64_t begin, uint64_t end,
                                         const Consume& consume) override {
    Bytes buffer(std::min<uint64_t>(Appliance::kMaxRead, size()));
    for (uint64_t at = begin; at < end;) {
      const auto piece =
          std::span(buffer).first(std::min<uint64_t>(buffer.size(), end - at));
      RETURN_IF_ERROR(ReadAt(at, piece));
      for (size_t done = 0; done < piece.size();) {
        const size_t part = std::min(kPieceSize, piece.size() - done);
        RETURN_IF_ERROR(consume(piece.subspan(done, part)));
        done += part;
      }
      at += piece.size();
    }
    return absl::OkStatus();
  }

 private:
  Appliance& appliance_;
  Budget& budget_;
  const Appliance::File file_;
};

absl::StatusOr<std::unique_ptr<ApplianceFileTree>> ApplianceFileTree::Mount(
    Appliance& appliance, Budget& budget, const std::string& device,
    const std::string& options) {
  RETURN_IF_ERROR(appliance.Mount(device, options));
  return std::unique_ptr<ApplianceFileTree>(
      new ApplianceFileTree(appliance, budget));
}

ApplianceFileTree::~ApplianceFileTree() { (void)appliance_.Unmount(); }

absl::Status ApplianceFileTree::Pay() {
  if (files_.size() > kMaxFiles) {
    return absl::ResourceExhaustedError("too many files to look at");
  }
  return budget_.Spend(kCallPrice);
}

FileEntry ApplianceFileTree::Remember(Appliance::File file) {
  const auto [found, is_new] = by_path_.try_emplace(file.path, files_.size());
  FileEntry entry{.name = file.path.substr(file.path.rfind('/') + 1),
                  .kind = file.kind,
                  .id = found->second};
  if (is_new) {
    files_.push_back(std::move(file));
  }
  return entry;
}

absl::StatusOr<FileEntry> ApplianceFileTree::Find(std::string_view path) {
  RETURN_IF_ERROR(Pay());
  absl::StatusOr<Appliance::File> found =
      appliance_.Find("/" + std::string(path));
  RETURN_IF_ERROR(found.status());
  if (!found->path.starts_with('/') || found->size > kMaxFileSize) {
    return absl::DataLossError("a file that cannot be");
  }
  return Remember(*std::move(found));
}

absl::StatusOr<std::vector<FileEntry>> ApplianceFileTree::List(
    const FileEntry& folder) {
  RETURN_IF_ERROR(Pay());
  if (folder.kind != FileEntry::Kind::kFolder) {
    return absl::DataLossError("an entry that is no folder");
  }
  std::string path = files_.at(folder.id).path;
  ASSIGN_OR_RETURN(std::vector<Appliance::File> files, appliance_.List(path));
  if (files.size() > kMaxFolderEntries) {
    return absl::ResourceExhaustedError(
        fmt::format("a folder of more than {} entries", kMaxFolderEntries));
  }
  RETURN_IF_ERROR(budget_.Spend(files.size() * 512));
  std::sort(files.begin(), files.end(),
            [](const Appliance::File& a, const Appliance::File& b) {
              return a.path < b.path;
            });
  if (path != "/") {
    path += '/';
  }
  std::vector<FileEntry> entries;
  for (Appliance::File& file : files) {
    if (!IsName(file.path) || file.size > kMaxFileSize) {
      return absl::DataLossError("a folder with a name that cannot be");
    }
    file.path.insert(0, path);
    entries.push_back(Remember(std::move(file)));
  }
  return entries;
}

absl::StatusOr<std::unique_ptr<BlockSource>> ApplianceFileTree::Open(
    const FileEntry& file) {
  RETURN_IF_ERROR(budget_.Spend(0));
  const Appliance::File& opened = files_.at(file.id);
  if (opened.kind != FileEntry::Kind::kFile) {
    return absl::DataLossError("an entry that is no file");
  }
  return std::make_unique<Content>(appliance_, budget_, opened);
}

}  // namespace vmattest::disk
