#include "memory/linux/ram_block.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "fmt/format.h"

namespace vmattest::memory {
namespace {

constexpr uint64_t kPresent = uint64_t{1} << 63;
constexpr uint64_t kSwapped = uint64_t{1} << 62;
constexpr size_t kEntries = 8192;  // of pagemap at a time: 32 MiB of memory
// How many pages of zeros are looked through for one that is not.
constexpr uint64_t kFewBytes = uint64_t{1} << 20;
constexpr size_t kMaxLooks = 512;

uint64_t PageFloor(uint64_t value) { return value / kPageSize * kPageSize; }
uint64_t PageCeil(uint64_t value) { return PageFloor(value + kPageSize - 1); }

void Append(uint64_t begin, uint64_t end, std::vector<AddressRange>& ranges) {
  if (!ranges.empty() && ranges.back().end == begin) {
    ranges.back().end = end;
  } else if (begin < end) {
    ranges.push_back({begin, end});
  }
}

absl::Status Gone(std::string_view what) {
  return absl::UnavailableError(fmt::format("its memory is gone: {}", what));
}

thread_local sigjmp_buf* bus_target = nullptr;

void OnBusError(int signal) {
  if (bus_target == nullptr) {
    // Not in GuardedRead(): what it would have been without a handler.
    ::signal(signal, SIG_DFL);
    return;
  }
  siglongjmp(*bus_target, 1);
}

bool InstallHandler() {
  struct sigaction action {};
  action.sa_handler = OnBusError;
  action.sa_flags = SA_NODEFER;
  return sigaction(SIGBUS, &action, nullptr) == 0;
}

}  // namespace

bool GuardedRead(void (*read)(void* argument), void* argument) {
  static const bool installed = InstallHandler();
  sigjmp_buf target;
  if (!installed || sigsetjmp(target, 0) != 0) {
    bus_target = nullptr;
    return false;
  }
  bus_target = &target;
  read(argument);
  bus_target = nullptr;
  return true;
}

RamBlock::~RamBlock() {
  if (map_ != nullptr) {
    munmap(map_, source_.bytes);
  }
}

const uint8_t* RamBlock::Map() {
  if (map_ == nullptr && source_.mappable) {
    void* const map =
        mmap(nullptr, source_.bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE,
             source_.memory.get(), static_cast<off_t>(source_.base));
    map_ = map == MAP_FAILED ? nullptr : map;
  }
  return static_cast<const uint8_t*>(map_);
}

namespace {

off_t PageAfter(off_t data, off_t base) {
  return base + static_cast<off_t>(
                    PageFloor(static_cast<uint64_t>(data - base)) + kPageSize);
}

off_t HoleAfter(int fd, off_t data, off_t last) {
  const off_t hole = lseek(fd, data, SEEK_HOLE);
  return hole < 0 ? last : std::min(hole, last);
}

}  // namespace

std::vector<AddressRange> RamBlock::FileExtents(uint64_t begin,
                                                uint64_t end) const {
  std::vector<AddressRange> extents;
  const int fd = source_.memory.get();
  const auto base = static_cast<off_t>(source_.base);
  const off_t last = base + static_cast<off_t>(end);
  off_t at = base + static_cast<off_t>(begin);
  // To find a hole the kernel walks over all data before it, however far.
  const bool page_by_page = end - begin <= kFewBytes;
  while (at < last) {
    const off_t data = lseek(fd, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) {
      break;
    }
    if (data < 0) {  // it cannot tell: all of it may be there
      Append(static_cast<uint64_t>(at - base), end, extents);
      break;
    }
    if (data >= last) {
      break;
    }
    const off_t until =
        page_by_page ? PageAfter(data, base) : HoleAfter(fd, data, last);
    Append(PageFloor(static_cast<uint64_t>(data - base)),
           std::min(end, PageCeil(static_cast<uint64_t>(until - base))),
           extents);
    at = until;
  }
  return extents;
}

absl::StatusOr<std::vector<AddressRange>> RamBlock::ProcessExtents(
    uint64_t begin, uint64_t end) const {
  std::vector<AddressRange> extents;
  if (!source_.anonymous) {
    Append(begin, end, extents);
    return extents;
  }
  std::vector<uint64_t> entries(kEntries);
  for (uint64_t at = begin; at < end;) {
    const size_t wanted =
        std::min<size_t>(kEntries, (end - at) / kPageSize) * sizeof entries[0];
    const ssize_t got =
        pread(source_.pagemap.get(), entries.data(), wanted,
              static_cast<off_t>((source_.base + at) / kPageSize *
                                 sizeof entries[0]));
    if (got <= 0) {
      return Gone("its page map ends");
    }
    const size_t pages = static_cast<size_t>(got) / sizeof entries[0];
    for (size_t i = 0; i < pages; ++i, at += kPageSize) {
      if ((entries[i] & (kPresent | kSwapped)) != 0) {
        Append(at, at + kPageSize, extents);
      }
    }
  }
  return extents;
}

absl::StatusOr<std::vector<AddressRange>> RamBlock::Extents(
    uint64_t begin, uint64_t end) const {
  begin = PageFloor(begin);
  end = std::min(source_.bytes, PageCeil(end));
  if (source_.way == RamSource::Way::kFile) {
    return FileExtents(begin, end);
  }
  return ProcessExtents(begin, end);
}

absl::Status RamBlock::Read(uint64_t offset, std::span<uint8_t> buffer) {
  if (offset > source_.bytes || buffer.size() > source_.bytes - offset) {
    return absl::OutOfRangeError(
        fmt::format("{} bytes at {:#x} of a block of {:#x}", buffer.size(),
                    offset, source_.bytes));
  }
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got =
        pread(source_.memory.get(), buffer.data() + done, buffer.size() - done,
              static_cast<off_t>(source_.base + offset + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return Gone(got == 0 ? "it ends"
                           : std::string(ErrnoStatus(errno, "").message()));
    }
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> RamBlock::IsUsed(uint64_t page) {
  std::array<uint8_t, kPageSize> bytes;
  RETURN_IF_ERROR(Read(page, bytes));
  return std::any_of(bytes.begin(), bytes.end(),
                     [](uint8_t byte) { return byte != 0; });
}

absl::StatusOr<uint64_t> RamBlock::FirstUsed(uint64_t begin, uint64_t end) {
  ASSIGN_OR_RETURN(const std::vector<AddressRange> extents,
                   Extents(begin, end));
  size_t looks = 0;
  for (const AddressRange& extent : extents) {
    for (uint64_t page = extent.begin; page < extent.end; page += kPageSize) {
      if (++looks > kMaxLooks) {
        return absl::NotFoundError("only zeros");
      }
      ASSIGN_OR_RETURN(const bool used, IsUsed(page));
      if (used) {
        return page;
      }
    }
  }
  return absl::NotFoundError("only zeros");
}

absl::StatusOr<uint64_t> RamBlock::LastUsed(uint64_t begin, uint64_t end) {
  ASSIGN_OR_RETURN(const std::vector<AddressRange> extents,
                   Extents(begin, end));
  size_t looks = 0;
  for (auto extent = extents.rbegin(); extent != extents.rend(); ++extent) {
    for (uint64_t page = extent->end; page > extent->begin; page -= kPageSize) {
      if (++looks > kMaxLooks) {
        return absl::NotFoundError("only zeros");
      }
      ASSIGN_OR_RETURN(const bool used, IsUsed(page - kPageSize));
      if (used) {
        return page - kPageSize;
      }
    }
  }
  return absl::NotFoundError("only zeros");
}

}  // namespace vmattest::memory
