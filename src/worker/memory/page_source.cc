#include "worker/memory/page_source.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "fmt/format.h"

namespace vmattest::worker {
namespace {

using memory::AddressRange;
using memory::RamSection;

constexpr uint64_t kPiece = uint64_t{1} << 20;

// Calls `take` with each section that has a part of `range`, that part, and
// its place in the block. Returns false where a part is in none.
template <class Take>
bool ForEachPart(const std::vector<RamSection>& sections,
                 const AddressRange& range, Take take) {
  auto section = std::upper_bound(
      sections.begin(), sections.end(), range.begin,
      [](uint64_t at, const RamSection& one) { return at < one.guest.end; });
  uint64_t at = range.begin;
  for (; at < range.end && section != sections.end() &&
         section->guest.begin <= at;
       ++section) {
    const AddressRange part{at, std::min(range.end, section->guest.end)};
    if (!take(*section, part, section->offset + at - section->guest.begin)) {
      return true;
    }
    at = part.end;
  }
  return at >= range.end;
}

absl::Status ReadUsedPart(memory::RamBlock& block, uint64_t offset,
                          std::span<uint8_t> buffer) {
  // Reading a file fills no hole, and to look for holes takes long.
  if (block.source().way == memory::RamSource::Way::kFile) {
    return block.Read(offset, buffer);
  }
  std::fill(buffer.begin(), buffer.end(), uint8_t{0});
  const uint64_t end = offset + buffer.size();
  ASSIGN_OR_RETURN(const std::vector<AddressRange> extents,
                   block.Extents(offset, end));
  for (const AddressRange& extent : extents) {
    const uint64_t first = std::max(extent.begin, offset);
    const uint64_t last = std::min(extent.end, end);
    if (first < last) {
      RETURN_IF_ERROR(
          block.Read(first, buffer.subspan(first - offset, last - first)));
    }
  }
  return absl::OkStatus();
}

struct CopyArguments {
  uint8_t* to;
  const uint8_t* from;
  size_t size;
};

bool GuardedCopy(uint8_t* to, const uint8_t* from, size_t size) {
  CopyArguments arguments{to, from, size};
  return memory::GuardedRead(
      [](void* pointer) {
        const auto& copy = *static_cast<CopyArguments*>(pointer);
        std::memcpy(copy.to, copy.from, copy.size);
      },
      &arguments);
}

}  // namespace

absl::StatusOr<GuestView> GuestView::Make(RamBlocks& blocks,
                                          std::vector<RamSection> sections) {
  for (size_t i = 0; i < sections.size(); ++i) {
    const RamSection& section = sections[i];
    const uint64_t size = section.guest.end - section.guest.begin;
    if (section.guest.begin >= section.guest.end ||
        section.guest.begin % memory::kPageSize != 0 ||
        section.guest.end % memory::kPageSize != 0 ||
        section.offset % memory::kPageSize != 0 ||
        section.block >= blocks.size() ||
        section.offset > blocks[section.block]->bytes() ||
        size > blocks[section.block]->bytes() - section.offset ||
        (i > 0 && sections[i - 1].guest.end > section.guest.begin)) {
      return absl::InvalidArgumentError(
          fmt::format("section {} is in no block", i));
    }
  }
  for (const auto& block : blocks) {
    (void)block->Map();
  }
  return GuestView(blocks, std::move(sections));
}

absl::StatusOr<std::vector<AddressRange>> GuestView::Extents(
    const AddressRange& range) const {
  std::vector<AddressRange> found;
  absl::Status status;
  ForEachPart(sections_, range,
              [&](const RamSection& section, const AddressRange& part,
                  uint64_t offset) {
                const auto extents = (*blocks_)[section.block]->Extents(
                    offset, offset + part.end - part.begin);
                if (!extents.ok()) {
                  status = extents.status();
                  return false;
                }
                for (const AddressRange& extent : *extents) {
                  const uint64_t first = std::max(extent.begin, offset);
                  const uint64_t begin = part.begin + first - offset;
                  const uint64_t end =
                      std::min(part.end, part.begin + extent.end - offset);
                  if (!found.empty() && found.back().end == begin) {
                    found.back().end = end;
                  } else {
                    found.push_back({begin, end});
                  }
                }
                return true;
              });
  RETURN_IF_ERROR(status);
  return found;
}

absl::Status GuestView::Read(const AddressRange& range,
                             std::span<uint8_t> buffer) const {
  absl::Status status;
  const bool all = ForEachPart(
      sections_, range,
      [&](const RamSection& section, const AddressRange& part,
          uint64_t offset) {
        status = (*blocks_)[section.block]->Read(
            offset,
            buffer.subspan(part.begin - range.begin, part.end - part.begin));
        return status.ok();
      });
  RETURN_IF_ERROR(status);
  return all ? absl::OkStatus()
             : absl::OutOfRangeError(fmt::format("{:#x} to {:#x} is not RAM",
                                                 range.begin, range.end));
}

absl::Status GuestView::ReadUsed(const AddressRange& range,
                                 std::span<uint8_t> buffer) const {
  absl::Status status;
  const bool all = ForEachPart(
      sections_, range,
      [&](const RamSection& section, const AddressRange& part,
          uint64_t offset) {
        status = ReadUsedPart(
            *(*blocks_)[section.block], offset,
            buffer.subspan(part.begin - range.begin, part.end - part.begin));
        return status.ok();
      });
  RETURN_IF_ERROR(status);
  return all ? absl::OkStatus()
             : absl::OutOfRangeError(fmt::format("{:#x} to {:#x} is not RAM",
                                                 range.begin, range.end));
}

const uint8_t* GuestView::Direct(const AddressRange& range) const {
  const uint8_t* direct = nullptr;
  ForEachPart(sections_, range,
              [&](const RamSection& section, const AddressRange& part,
                  uint64_t offset) {
                const uint8_t* const map = (*blocks_)[section.block]->Map();
                if (map != nullptr && part == range) {
                  direct = map + offset;
                }
                return false;
              });
  return direct;
}

void RunOnThreads(size_t threads, size_t tasks,
                  const std::function<void(size_t task)>& work) {
  std::atomic<size_t> next = 0;
  const auto run = [&] {
    for (size_t task = next++; task < tasks; task = next++) {
      work(task);
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(threads, tasks); ++i) {
    others.emplace_back(run);
  }
  run();
  for (std::thread& other : others) {
    other.join();
  }
}

absl::StatusOr<std::unique_ptr<GuestCopy>> GuestCopy::Prepare(
    std::vector<AddressRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const AddressRange& a, const AddressRange& b) {
              return a.begin < b.begin;
            });
  std::vector<Piece> pieces;
  uint64_t size = 0;
  uint64_t covered = 0;  // regions may have the same page
  for (const AddressRange& range : ranges) {
    for (uint64_t at = std::max(range.begin, covered); at < range.end;) {
      const uint64_t next = std::min(range.end, (at / kPiece + 1) * kPiece);
      pieces.push_back({{at, next}, size, false, {}});
      size += next - at;
      at = next;
    }
    covered = std::max(covered, range.end);
  }
  if (size == 0) {
    return std::unique_ptr<GuestCopy>(new GuestCopy({}, nullptr, 0));
  }
  void* const data = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        fmt::format("no memory for a copy of {} bytes", size));
  }
  std::memset(data, 0, size);
  return std::unique_ptr<GuestCopy>(
      new GuestCopy(std::move(pieces), static_cast<uint8_t*>(data), size));
}

GuestCopy::~GuestCopy() {
  if (data_ != nullptr) {
    munmap(data_, size_);
  }
}

absl::Status GuestCopy::CopyPiece(const GuestView& view, Piece& piece) {
  ASSIGN_OR_RETURN(const std::vector<AddressRange> extents,
                   view.Extents(piece.range));
  for (const AddressRange& extent : extents) {
    uint8_t* const to = data_ + piece.offset + extent.begin - piece.range.begin;
    const size_t size = extent.end - extent.begin;
    const uint8_t* const direct = view.Direct(extent);
    if (direct == nullptr || !GuardedCopy(to, direct, size)) {
      RETURN_IF_ERROR(view.Read(extent, {to, size}));
    }
  }
  piece.extents = extents;
  piece.copied = true;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AddressRange>> GuestCopy::Extents(
    const GuestView& view, const AddressRange& range) const {
  std::vector<AddressRange> found;
  auto piece = std::upper_bound(
      pieces_.begin(), pieces_.end(), range.begin,
      [](uint64_t at, const Piece& one) { return at < one.range.end; });
  for (; piece != pieces_.end() && piece->range.begin < range.end; ++piece) {
    std::vector<AddressRange> extents = piece->extents;
    if (!piece->copied) {
      ASSIGN_OR_RETURN(extents, view.Extents(piece->range));
    }
    for (const AddressRange& extent : extents) {
      const uint64_t begin = std::max(extent.begin, range.begin);
      const uint64_t end = std::min(extent.end, range.end);
      if (begin < end && !found.empty() && found.back().end == begin) {
        found.back().end = end;
      } else if (begin < end) {
        found.push_back({begin, end});
      }
    }
  }
  return found;
}

absl::StatusOr<uint64_t> GuestCopy::Fill(const GuestView& view,
                                         std::chrono::microseconds budget,
                                         size_t threads) {
  const auto end = std::chrono::steady_clock::now() + budget;
  std::atomic<uint64_t> copied = 0;
  RunOnThreads(threads, pieces_.size(), [&](size_t i) {
    if (std::chrono::steady_clock::now() < end &&
        CopyPiece(view, pieces_[i]).ok()) {
      copied += pieces_[i].range.end - pieces_[i].range.begin;
    }
  });
  complete_ = copied == size_;
  return copied.load();
}

const uint8_t* GuestCopy::Direct(const AddressRange& range) const {
  auto piece = std::upper_bound(
      pieces_.begin(), pieces_.end(), range.begin,
      [](uint64_t at, const Piece& one) { return at < one.range.end; });
  if (piece == pieces_.end() || piece->range.begin > range.begin) {
    return nullptr;
  }
  const uint8_t* const direct =
      data_ + piece->offset + range.begin - piece->range.begin;
  // Neighbours in the guest are neighbours in the copy.
  for (uint64_t at = range.begin; at < range.end; ++piece) {
    if (piece == pieces_.end() || piece->range.begin > at || !piece->copied) {
      return nullptr;
    }
    at = piece->range.end;
  }
  return direct;
}

}  // namespace vmattest::worker
