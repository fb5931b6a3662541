#include "disk/ext_channel.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <utility>

namespace vmattest::disk {

// libext2fs frees the channel with its own allocator, which is malloc's.
struct ExtChannelCalls {
  // Who is opening: libext2fs has no other way to tell the manager.
  static thread_local ExtChannel* opening;

  static ExtChannel& Of(io_channel io) {
    return *static_cast<ExtChannel*>(io->private_data);
  }

  static errcode_t Open(const char* name, int flags, io_channel* channel) {
    if ((flags & IO_FLAG_RW) != 0 || opening == nullptr) {
      return EXT2_ET_RO_FILSYS;
    }
    auto* io = static_cast<io_channel>(std::calloc(1, sizeof(**channel)));
    char* copy = strdup(name);
    if (io == nullptr || copy == nullptr) {
      std::free(io);
      std::free(copy);
      return EXT2_ET_NO_MEMORY;
    }
    io->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    io->manager = Manager();
    io->name = copy;
    io->block_size = 1024;
    io->refcount = 1;
    io->private_data = opening;
    *channel = io;
    return 0;
  }

  static errcode_t Close(io_channel io) {
    if (--io->refcount == 0) {
      std::free(io->name);
      std::free(io);
    }
    return 0;
  }

  static errcode_t SetBlockSize(io_channel io, int size) {
    io->block_size = size;
    return 0;
  }

  // A negative count is one of bytes.
  static errcode_t Read64(io_channel io, unsigned long long block, int count,
                          void* data) {
    ExtChannel& self = Of(io);
    const auto unit = static_cast<uint64_t>(io->block_size);
    const uint64_t bytes = count < 0 ? static_cast<uint64_t>(-int64_t{count})
                                     : static_cast<uint64_t>(count) * unit;
    if (block > UINT64_MAX / unit) {
      return EXT2_ET_SHORT_READ;
    }
    absl::Status status =
        self.source_.ReadAt(block * unit, {static_cast<uint8_t*>(data), bytes});
    if (status.ok()) {
      return 0;
    }
    if (!absl::IsOutOfRange(status) && self.failure_.ok()) {
      self.failure_ = std::move(status);
    }
    std::memset(data, 0, bytes);
    return EXT2_ET_SHORT_READ;
  }

  static errcode_t Read(io_channel io, unsigned long block, int count,
                        void* data) {
    return Read64(io, block, count, data);
  }

  static errcode_t Write(io_channel, unsigned long, int, const void*) {
    return EXT2_ET_RO_FILSYS;
  }
  static errcode_t Write64(io_channel, unsigned long long, int, const void*) {
    return EXT2_ET_RO_FILSYS;
  }
  static errcode_t Flush(io_channel) { return 0; }

  static io_manager Manager() {
    static struct_io_manager manager = [] {
      struct_io_manager made{};
      made.magic = EXT2_ET_MAGIC_IO_MANAGER;
      made.name = "vmattest block source";
      made.open = Open;
      made.close = Close;
      made.set_blksize = SetBlockSize;
      made.read_blk = Read;
      made.write_blk = Write;
      made.flush = Flush;
      made.read_blk64 = Read64;
      made.write_blk64 = Write64;
      return made;
    }();
    return &manager;
  }
};

thread_local ExtChannel* ExtChannelCalls::opening = nullptr;

absl::StatusOr<ExtFilesystemHandle> ExtChannel::OpenFilesystem() {
  static const bool has_words = [] {
    initialize_ext2_error_table();
    return true;
  }();
  static_cast<void>(has_words);
  ExtChannelCalls::opening = this;
  ext2_filsys opened = nullptr;
  const errcode_t code = ext2fs_open2(
      "disk", nullptr, EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, 0, 0,
      ExtChannelCalls::Manager(), &opened);
  ExtChannelCalls::opening = nullptr;
  if (code == EXT2_ET_UNSUPP_FEATURE || code == EXT2_ET_RO_UNSUPP_FEATURE) {
    return absl::UnimplementedError(
        "the file system has features that are not known");
  }
  if (code != 0) {
    return ToStatus(code, "opening the file system");
  }
  return ExtFilesystemHandle(opened);
}

absl::Status ExtChannel::ToStatus(errcode_t code, std::string_view what) {
  if (!failure_.ok()) {
    return std::exchange(failure_, absl::OkStatus());
  }
  return absl::DataLossError(fmt::format("{}: {}", what, error_message(code)));
}

}  // namespace vmattest::disk
