#include "support/memfd_guest_memory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "fmt/format.h"

namespace vmattest::testing {
namespace {

constexpr uint64_t kLowEnd = 0xa0000;
constexpr uint64_t kHighBegin = 0x100000;

}  // namespace

MemfdGuestMemory::MemfdGuestMemory(UniqueFd file, uint64_t size)
    : file_(std::move(file)), ram_{{0, kLowEnd}, {kHighBegin, size}} {}

absl::StatusOr<std::unique_ptr<MemfdGuestMemory>> MemfdGuestMemory::Open(
    pid_t qemu) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(
           fmt::format("/proc/{}/fd", qemu), error)) {
    const std::string target = std::filesystem::read_symlink(entry, error);
    if (target.rfind("/memfd:memory-backend-memfd", 0) != 0) {
      continue;
    }
    UniqueFd file(open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
    struct stat about {};
    if (!file.valid() || fstat(file.get(), &about) != 0) {
      return ErrnoStatus(errno, entry.path().string());
    }
    return std::unique_ptr<MemfdGuestMemory>(new MemfdGuestMemory(
        std::move(file), static_cast<uint64_t>(about.st_size)));
  }
  return absl::NotFoundError("the process has no memory-backend-memfd");
}

absl::Status MemfdGuestMemory::ReadAt(uint64_t address,
                                      std::span<uint8_t> buffer) {
  const bool is_ram =
      std::any_of(ram_.begin(), ram_.end(), [&](const auto& range) {
        return address >= range.begin && address < range.end &&
               buffer.size() <= range.end - address;
      });
  if (!is_ram) {
    return absl::OutOfRangeError("no RAM");
  }
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t got =
        pread(file_.get(), buffer.data() + done, buffer.size() - done,
              static_cast<off_t>(address + done));
    if (got <= 0) {
      return ErrnoStatus(got == 0 ? EIO : errno, "guest memory");
    }
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status MemfdGuestMemory::WriteAt(uint64_t address,
                                       std::span<const uint8_t> bytes) {
  if (pwrite(file_.get(), bytes.data(), bytes.size(),
             static_cast<off_t>(address)) !=
      static_cast<ssize_t>(bytes.size())) {
    return ErrnoStatus(errno, "guest memory");
  }
  return absl::OkStatus();
}

}  // namespace vmattest::testing
