#include "disk/ext_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace vmattest::disk {
namespace {

constexpr size_t kMaxRuns = size_t{1} << 20;
constexpr uint64_t kMaxInline = uint64_t{1} << 16;

// Neighbouring blocks of a file that are neighbours on the disk too. What lies
// between runs reads as zero.
struct Run {
  uint64_t begin = 0;  // in the file, bytes
  uint64_t end = 0;
  uint64_t on_disk = 0;  // bytes
};

class RunFile final : public BlockSource {
 public:
  RunFile(BlockSource& disk, uint64_t size, std::vector<Run> runs)
      : disk_(disk), size_(size), runs_(std::move(runs)) {}

  [[nodiscard]] uint64_t size() const override { return size_; }

  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
    while (!buffer.empty()) {
      const auto run = RunAfter(offset);
      const bool inside = run != runs_.end() && run->begin <= offset;
      const uint64_t until = inside               ? run->end
                             : run != runs_.end() ? run->begin
                                                  : size_;
      const auto piece =
          buffer.first(std::min<uint64_t>(buffer.size(), until - offset));
      if (inside) {
        RETURN_IF_ERROR(
            disk_.ReadAt(run->on_disk + (offset - run->begin), piece));
      } else {
        std::fill(piece.begin(), piece.end(), uint8_t{0});
      }
      offset += piece.size();
      buffer = buffer.subspan(piece.size());
    }
    return absl::OkStatus();
  }

  [[nodiscard]] absl::Status ReadInOrder(uint64_t begin, uint64_t end,
                                         const Consume& consume) override {
    RETURN_IF_ERROR(CheckRange(*this, begin, end - begin));
    while (begin < end) {
      const auto run = RunAfter(begin);
      if (run == runs_.end() || run->begin > begin) {
        const uint64_t until =
            run == runs_.end() ? end : std::min(end, run->begin);
        RETURN_IF_ERROR(BlockSource::ReadInOrder(begin, until, consume));
        begin = until;
        continue;
      }
      const uint64_t until = std::min(end, run->end);
      const uint64_t on_disk = run->on_disk + (begin - run->begin);
      RETURN_IF_ERROR(
          disk_.ReadInOrder(on_disk, on_disk + (until - begin), consume));
      begin = until;
    }
    return absl::OkStatus();
  }

 private:
  // The run that holds `offset`, or the first behind it.
  [[nodiscard]] std::vector<Run>::const_iterator RunAfter(
      uint64_t offset) const {
    return std::upper_bound(
        runs_.begin(), runs_.end(), offset,
        [](uint64_t at, const Run& run) { return at < run.end; });
  }

  BlockSource& disk_;
  const uint64_t size_;
  const std::vector<Run> runs_;
};

class InlineFile final : public BlockSource {
 public:
  explicit InlineFile(Bytes content) : content_(std::move(content)) {}
  [[nodiscard]] uint64_t size() const override { return content_.size(); }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
    std::copy_n(content_.begin() + static_cast<ptrdiff_t>(offset),
                buffer.size(), buffer.begin());
    return absl::OkStatus();
  }

 private:
  const Bytes content_;
};

// Gathers runs in the order of the file; what is out of order, past the file
// system's end, or too much, is an error.
class RunCollector {
 public:
  RunCollector(ext2_filsys filesystem, uint64_t file_size)
      : block_size_(filesystem->blocksize),
        blocks_(ext2fs_blocks_count(filesystem->super)),
        file_size_(file_size) {}

  // False: no more are wanted.
  bool Add(uint64_t logical, uint64_t physical, uint64_t count) {
    if (logical > UINT64_MAX / block_size_ / 2 || count > blocks_ ||
        physical > blocks_ - count) {
      return Refuse(absl::DataLossError("a block outside the file system"));
    }
    const Run run{.begin = logical * block_size_,
                  .end = (logical + count) * block_size_,
                  .on_disk = physical * block_size_};
    if (run.begin >= file_size_) {
      return false;
    }
    if (!runs_.empty() && run.begin < runs_.back().end) {
      return Refuse(absl::DataLossError("blocks that overlap"));
    }
    if (!runs_.empty() && run.begin == runs_.back().end &&
        run.on_disk ==
            runs_.back().on_disk + (runs_.back().end - runs_.back().begin)) {
      runs_.back().end = run.end;
      return true;
    }
    if (runs_.size() >= kMaxRuns) {
      return Refuse(
          absl::ResourceExhaustedError("a file in more than a million pieces"));
    }
    runs_.push_back(run);
    return true;
  }

  // An unwritten extent: reads as a hole.
  bool Skip(uint64_t logical) {
    if (++skipped_ > kMaxRuns) {
      return Refuse(
          absl::ResourceExhaustedError("a file in more than a million pieces"));
    }
    return logical <= file_size_ / block_size_;
  }

  absl::StatusOr<std::vector<Run>> Take() && {
    RETURN_IF_ERROR(failure_);
    return std::move(runs_);
  }
  [[nodiscard]] const absl::Status& failure() const { return failure_; }

 private:
  bool Refuse(absl::Status why) {
    failure_ = std::move(why);
    return false;
  }

  const uint64_t block_size_;
  const uint64_t blocks_;
  const uint64_t file_size_;
  size_t skipped_ = 0;
  std::vector<Run> runs_;
  absl::Status failure_;
};

absl::Status CollectExtents(ExtChannel& channel, ext2_filsys filesystem,
                            ext2_ino_t number, const ext2_inode& inode,
                            RunCollector& runs) {
  ext2_inode copy = inode;
  ext2_extent_handle_t opened = nullptr;
  errcode_t code = ext2fs_extent_open2(filesystem, number, &copy, &opened);
  if (code != 0) {
    return channel.ToStatus(code, "reading a file's extents");
  }
  const ExtExtentHandle handle(opened);
  ext2fs_extent extent{};
  for (int step = EXT2_EXTENT_ROOT;; step = EXT2_EXTENT_NEXT) {
    code = ext2fs_extent_get(handle.get(), step, &extent);
    if (code == EXT2_ET_EXTENT_NO_NEXT || code == EXT2_ET_NO_CURRENT_NODE) {
      return absl::OkStatus();
    }
    if (code != 0) {
      return channel.ToStatus(code, "reading a file's extents");
    }
    const bool unwritten = (extent.e_flags & EXT2_EXTENT_FLAGS_LEAF) == 0 ||
                           (extent.e_flags & EXT2_EXTENT_FLAGS_UNINIT) != 0;
    const bool more =
        unwritten ? runs.Skip(extent.e_lblk)
                  : runs.Add(extent.e_lblk, extent.e_pblk, extent.e_len);
    if (!more) {
      return runs.failure();
    }
  }
}

int CollectBlock(ext2_filsys, blk64_t* block, e2_blkcnt_t logical, blk64_t, int,
                 void* user_data) {
  auto& runs = *static_cast<RunCollector*>(user_data);
  return logical < 0 || runs.Add(static_cast<uint64_t>(logical), *block, 1)
             ? 0
             : BLOCK_ABORT;
}

absl::StatusOr<std::unique_ptr<BlockSource>> OpenInline(ExtChannel& channel,
                                                        ext2_filsys filesystem,
                                                        ext2_ino_t number,
                                                        uint64_t size) {
  if (size > kMaxInline) {
    return absl::DataLossError("a large file without blocks");
  }
  // libext2fs copies as much as the inode holds, and an inode is one block at
  // most.
  Bytes content(std::max<uint64_t>(filesystem->blocksize, kMaxInline) * 2);
  size_t held = 0;
  const errcode_t code = ext2fs_inline_data_get(filesystem, number, nullptr,
                                                content.data(), &held);
  if (code != 0) {
    return channel.ToStatus(code, "reading a file inside its inode");
  }
  content.resize(std::min<uint64_t>(size, held));
  return std::make_unique<InlineFile>(std::move(content));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlockSource>> OpenExtFile(
    BlockSource& disk, ExtChannel& channel, ext2_filsys filesystem,
    ext2_ino_t number, const ext2_inode& inode) {
  const uint64_t size = EXT2_I_SIZE(&inode);
  if ((inode.i_flags & EXT4_ENCRYPT_FL) != 0) {
    return absl::UnimplementedError("an encrypted file");
  }
  if ((inode.i_flags & EXT4_INLINE_DATA_FL) != 0) {
    return OpenInline(channel, filesystem, number, size);
  }
  RunCollector runs(filesystem, size);
  if ((inode.i_flags & EXT4_EXTENTS_FL) != 0) {
    RETURN_IF_ERROR(CollectExtents(channel, filesystem, number, inode, runs));
  } else if (size > 0) {
    const errcode_t code = ext2fs_block_iterate3(
        filesystem, number, BLOCK_FLAG_READ_ONLY | BLOCK_FLAG_DATA_ONLY,
        nullptr, CollectBlock, &runs);
    if (code != 0) {
      return channel.ToStatus(code, "reading a file's blocks");
    }
  }
  ASSIGN_OR_RETURN(std::vector<Run> found, std::move(runs).Take());
  return std::make_unique<RunFile>(disk, size, std::move(found));
}

}  // namespace vmattest::disk
