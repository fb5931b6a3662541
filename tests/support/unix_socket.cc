#include "support/unix_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace vmattest::testing {
namespace {

constexpr size_t kHeaderSize = 10;
constexpr size_t kMaxFrame = 64 * 1024;

sockaddr_un Address(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.string().size() >= sizeof(address.sun_path)) {
    throw std::runtime_error("socket path too long: " + path.string());
  }
  std::strcpy(address.sun_path, path.c_str());
  return address;
}

UniqueFd NewSocket() {
  return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

bool ReadExactly(int fd, uint8_t* out, size_t size) {
  while (size > 0) {
    const ssize_t got = recv(fd, out, size, 0);
    if (got <= 0) {
      if (got < 0 && errno == EINTR) {
        continue;
      }
      return false;
    }
    out += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

UniqueFd ListenUnix(const std::filesystem::path& path) {
  const sockaddr_un address = Address(path);
  UniqueFd fd = NewSocket();
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0 ||
      listen(fd.get(), 64) != 0) {
    throw std::runtime_error("cannot listen at " + path.string());
  }
  return fd;
}

UniqueFd ConnectUnix(const std::filesystem::path& path) {
  const sockaddr_un address = Address(path);
  UniqueFd fd = NewSocket();
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    return UniqueFd();
  }
  return fd;
}

bool WriteAll(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) {
        continue;
      }
      return false;
    }
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  return true;
}

Bytes ReadTpmFrame(int fd) {
  Bytes frame(kHeaderSize);
  if (!ReadExactly(fd, frame.data(), kHeaderSize)) {
    return {};
  }
  ByteReader reader(frame);
  reader.U16();
  const uint32_t size = reader.U32();
  if (size < kHeaderSize || size > kMaxFrame) {
    return {};
  }
  frame.resize(size);
  if (!ReadExactly(fd, frame.data() + kHeaderSize, size - kHeaderSize)) {
    return {};
  }
  return frame;
}

}  // namespace vmattest::testing
