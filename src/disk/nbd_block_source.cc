#include "disk/nbd_block_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "disk/handles.h"

namespace vmattest::disk {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kAllocation[] = "base:allocation";
constexpr uint32_t kZeroFlag = 2;  // NBD protocol, NBD_STATE_ZERO
constexpr size_t kInFlight = 8;
// Of reading into blocks: larger requests cost QEMU less for each byte, and
// what is in flight should stay in the CPU's cache. 256 KiB and 1 MiB are
// slower.
constexpr size_t kBlockPiece = size_t{512} << 10;
constexpr size_t kBlockPieces = 4;
static_assert(kBlockPieces <= BlockSource::kMaxBlocksOut);
// What one block status request may ask for: under 2^32, aligned.
constexpr uint64_t kMaxStatus = uint64_t{2} << 30;
constexpr size_t kMaxExtents = 65536;
constexpr std::string_view kReading = "reading from the NBD server";
constexpr uint64_t kMaxSize = uint64_t{1} << 60;

absl::Status NbdError(std::string_view what) {
  const char* text = nbd_get_error();
  return absl::UnavailableError(
      fmt::format("{}: {}", what, text != nullptr ? text : "no detail"));
}

struct KnownExtent {
  uint64_t begin = 0;
  uint64_t end = 0;
  bool zero = false;
};

struct StatusReply {
  uint64_t next = 0;  // where the next extent begins
  uint64_t end = 0;   // of what was asked for
  std::vector<KnownExtent> extents;
};

// A request of ReadBlocks that is in flight.
struct BlockPiece {
  int64_t cookie = 0;
  size_t fills = 0;  // bytes of the block that is full with it, else 0
};

// libnbd's extent callback: pairs of length and flags.
int TakeExtents(void* user_data, const char* context, uint64_t offset,
                uint32_t* entries, size_t count, int* error) {
  auto& reply = *static_cast<StatusReply*>(user_data);
  if (std::string_view(context) != kAllocation || offset != reply.next ||
      !reply.extents.empty() || count % 2 != 0 || count > 2 * kMaxExtents) {
    *error = EPROTO;
    return -1;
  }
  for (size_t i = 0; i < count && reply.next < reply.end; i += 2) {
    const uint64_t end = std::min<uint64_t>(reply.next + entries[i], reply.end);
    if (end == reply.next) {
      *error = EPROTO;
      return -1;
    }
    reply.extents.push_back({.begin = reply.next,
                             .end = end,
                             .zero = (entries[i + 1] & kZeroFlag) != 0});
    reply.next = end;
  }
  return 0;
}

}  // namespace

struct NbdBlockSource::Connection {
  NbdHandle handle;
  std::chrono::milliseconds timeout{};
  bool has_allocation = false;
  // In order, without gaps: the last block status reply.
  std::vector<KnownExtent> known;

  [[nodiscard]] absl::Status CheckOpen() const {
    return handle ? absl::OkStatus()
                  : absl::UnavailableError("the NBD server stopped answering");
  }

  // Lets libnbd work until `done`.
  template <class Done>
  absl::Status PollUntil(const Done& done, std::string_view what) {
    const Clock::time_point deadline = Clock::now() + timeout;
    while (!done()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          deadline - Clock::now());
      if (left.count() <= 0) {
        // What is in flight would be answered into buffers that are gone.
        handle.reset();
        return absl::DeadlineExceededError(
            fmt::format("{}: no answer within {} ms", what, timeout.count()));
      }
      if (nbd_poll(handle.get(), static_cast<int>(left.count())) < 0) {
        return NbdError(what);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Await(int64_t cookie, std::string_view what) {
    if (cookie < 0) {
      return NbdError(what);
    }
    int result = 0;
    RETURN_IF_ERROR(PollUntil(
        [&] {
          result = nbd_aio_command_completed(handle.get(),
                                             static_cast<uint64_t>(cookie));
          return result != 0;
        },
        what));
    return result > 0 ? absl::OkStatus() : NbdError(what);
  }

  absl::StatusOr<int64_t> Start(uint64_t offset, std::span<uint8_t> buffer) {
    RETURN_IF_ERROR(CheckOpen());
    return nbd_aio_pread(handle.get(), buffer.data(), buffer.size(), offset,
                         nbd_completion_callback{}, 0);
  }
};

NbdBlockSource::NbdBlockSource(std::unique_ptr<Connection> connection,
                               uint64_t size)
    : connection_(std::move(connection)), size_(size) {}

NbdBlockSource::~NbdBlockSource() = default;

absl::StatusOr<std::unique_ptr<NbdBlockSource>> NbdBlockSource::Connect(
    UniqueFd socket, const std::string& export_name,
    std::chrono::milliseconds timeout) {
  auto connection = std::make_unique<Connection>();
  connection->timeout = timeout;
  connection->handle.reset(nbd_create());
  nbd_handle* handle = connection->handle.get();
  if (handle == nullptr || nbd_set_debug(handle, false) < 0 ||
      nbd_set_export_name(handle, export_name.c_str()) < 0 ||
      nbd_add_meta_context(handle, kAllocation) < 0 ||
      // Zeroing each buffer first costs 50 ms of processor time for each GiB.
      // A server that does not fill it could as well have sent what is in it.
      nbd_set_pread_initialize(handle, false) < 0) {
    return NbdError("preparing the NBD connection");
  }
  // libnbd owns the socket from here, also if this fails.
  if (nbd_aio_connect_socket(handle, socket.Release()) < 0) {
    return NbdError("greeting the NBD server");
  }
  RETURN_IF_ERROR(connection->PollUntil(
      [handle] {
        return nbd_aio_is_ready(handle) == 1 || nbd_aio_is_dead(handle) == 1 ||
               nbd_aio_is_closed(handle) == 1;
      },
      "greeting the NBD server"));
  const int64_t size = nbd_get_size(handle);
  if (nbd_aio_is_ready(handle) != 1 || size < 0) {
    return NbdError("greeting the NBD server");
  }
  if (static_cast<uint64_t>(size) > kMaxSize) {
    return absl::InvalidArgumentError("the NBD server exports more than 1 EiB");
  }
  connection->has_allocation = nbd_can_meta_context(handle, kAllocation) == 1;
  return std::unique_ptr<NbdBlockSource>(
      new NbdBlockSource(std::move(connection), static_cast<uint64_t>(size)));
}

absl::Status NbdBlockSource::ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) {
  RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
  while (!buffer.empty()) {
    const auto piece = buffer.first(std::min(buffer.size(), kPieceSize));
    ASSIGN_OR_RETURN(const int64_t cookie, connection_->Start(offset, piece));
    RETURN_IF_ERROR(connection_->Await(cookie, kReading));
    offset += piece.size();
    buffer = buffer.subspan(piece.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<BlockSource::Extent> NbdBlockSource::ExtentAt(uint64_t offset) {
  RETURN_IF_ERROR(CheckRange(*this, offset, 1));
  std::vector<KnownExtent>& known = connection_->known;
  if (!connection_->has_allocation) {
    return Extent{.size = size_ - offset, .zero = false};
  }
  if (known.empty() || offset < known.front().begin ||
      offset >= known.back().end) {
    RETURN_IF_ERROR(connection_->CheckOpen());
    const uint64_t length = std::min(size_ - offset, kMaxStatus);
    StatusReply reply{.next = offset, .end = offset + length, .extents = {}};
    const nbd_extent_callback take = {
        .callback = TakeExtents, .user_data = &reply, .free = nullptr};
    RETURN_IF_ERROR(connection_->Await(
        nbd_aio_block_status(connection_->handle.get(), length, offset, take,
                             nbd_completion_callback{}, 0),
        "asking the NBD server for holes"));
    if (reply.extents.empty()) {
      return absl::UnavailableError("the NBD server says nothing about holes");
    }
    known = std::move(reply.extents);
  }
  const auto found = std::upper_bound(
      known.begin(), known.end(), offset,
      [](uint64_t at, const KnownExtent& extent) { return at < extent.end; });
  return Extent{.size = found->end - offset, .zero = found->zero};
}

absl::Status NbdBlockSource::ReadInOrder(uint64_t begin, uint64_t end,
                                         const Consume& consume) {
  RETURN_IF_ERROR(CheckRange(*this, begin, end - begin));
  struct Slot {
    int64_t cookie = 0;
    std::span<uint8_t> piece;
  };
  const auto buffer =
      std::make_unique_for_overwrite<uint8_t[]>(kInFlight * kPieceSize);
  std::array<Slot, kInFlight> slots;
  size_t started = 0;
  absl::Status status;
  for (size_t taken = 0; taken < started || (status.ok() && begin < end);) {
    while (status.ok() && begin < end && started - taken < kInFlight) {
      Slot& slot = slots[started % kInFlight];
      slot.piece = {buffer.get() + (started % kInFlight) * kPieceSize,
                    std::min<uint64_t>(kPieceSize, end - begin)};
      ASSIGN_OR_RETURN(slot.cookie, connection_->Start(begin, slot.piece));
      begin += slot.piece.size();
      ++started;
    }
    const Slot& slot = slots[taken++ % kInFlight];
    const absl::Status read = connection_->Await(slot.cookie, kReading);
    if (connection_->handle == nullptr) {
      return read;
    }
    if (status.ok()) {
      status = read.ok() ? consume(slot.piece) : read;
    }
  }
  return status;
}

absl::Status NbdBlockSource::ReadBlocks(uint64_t begin, uint64_t end,
                                        Blocks& blocks) {
  RETURN_IF_ERROR(CheckRange(*this, begin, end - begin));
  std::array<BlockPiece, kBlockPieces> slots;
  std::span<uint8_t> block;
  size_t used = 0;
  size_t started = 0;
  absl::Status status;
  // Also after an error until nothing is in flight: the memory is lent.
  for (size_t taken = 0; taken < started || (status.ok() && begin < end);) {
    while (status.ok() && begin < end && started - taken < kBlockPieces) {
      if (used == block.size()) {
        block = blocks.Next();
        used = 0;
      }
      const std::span<uint8_t> piece = block.subspan(
          used,
          std::min<uint64_t>({kBlockPiece, block.size() - used, end - begin}));
      BlockPiece& slot = slots[started++ % kBlockPieces];
      ASSIGN_OR_RETURN(slot.cookie, connection_->Start(begin, piece));
      begin += piece.size();
      used += piece.size();
      slot.fills = used == block.size() || begin == end ? used : 0;
    }
    const BlockPiece& slot = slots[taken++ % kBlockPieces];
    const absl::Status read = connection_->Await(slot.cookie, kReading);
    if (connection_->handle == nullptr) {
      return read;
    }
    if (status.ok()) {
      status = read;
    }
    if (status.ok() && slot.fills != 0) {
      blocks.Filled(slot.fills);
    }
  }
  return status;
}

}  // namespace vmattest::disk
