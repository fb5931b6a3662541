#include "tpm/esys/swtpm_tcti.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "base/handles.h"
#include "fmt/format.h"

namespace vmattest::tpm {
namespace {

using std::chrono::steady_clock;

constexpr size_t kHeaderSize = 10;

class SwtpmTcti final : public Tcti {
 public:
  SwtpmTcti(std::string path, std::chrono::milliseconds timeout)
      : path_(std::move(path)), timeout_(timeout) {}

  absl::Status Connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof(address.sun_path)) {
      return absl::InvalidArgumentError(
          fmt::format("swtpm socket path too long: {}", path_));
    }
    std::memcpy(address.sun_path, path_.data(), path_.size());
    fd_ = UniqueFd(
        socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd_.valid() ||
        connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0) {
      return Gone("connecting");
    }
    return absl::OkStatus();
  }

  absl::Status Transmit(ByteView command) override {
    deadline_ = steady_clock::now() + timeout_;
    RETURN_IF_ERROR(Connect());
    while (!command.empty()) {
      const ssize_t sent =
          send(fd_.get(), command.data(), command.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EAGAIN) {
        RETURN_IF_ERROR(WaitFor(POLLOUT));
      } else if (sent < 0 && errno != EINTR) {
        return Gone("sending");
      } else if (sent > 0) {
        command = command.subspan(static_cast<size_t>(sent));
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Bytes> Receive() override {
    Bytes response(kHeaderSize);
    RETURN_IF_ERROR(ReadExactly(response.data(), kHeaderSize));
    ByteReader reader(response);
    reader.U16();
    const uint32_t size = reader.U32();
    if (size < kHeaderSize || size > kMaxTpmMessage) {
      return absl::UnavailableError(
          fmt::format("{}: a response of {} bytes", path_, size));
    }
    response.resize(size);
    RETURN_IF_ERROR(
        ReadExactly(response.data() + kHeaderSize, size - kHeaderSize));
    fd_.Reset();
    return response;
  }

 private:
  absl::Status Gone(std::string_view doing) {
    const int error = errno;
    fd_.Reset();
    return absl::UnavailableError(
        fmt::format("{}: {}: {}", path_, doing, std::strerror(error)));
  }

  absl::Status WaitFor(short events) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline_ - steady_clock::now());
    pollfd poll_fd{fd_.get(), events, 0};
    if (left.count() <= 0 ||
        poll(&poll_fd, 1, static_cast<int>(left.count())) == 0) {
      fd_.Reset();
      return absl::UnavailableError(
          fmt::format("{}: no answer in {} ms", path_, timeout_.count()));
    }
    return absl::OkStatus();
  }

  absl::Status ReadExactly(uint8_t* out, size_t size) {
    while (size > 0) {
      const ssize_t got = recv(fd_.get(), out, size, 0);
      if (got > 0) {
        out += got;
        size -= static_cast<size_t>(got);
      } else if (got == 0) {
        errno = ECONNRESET;
        return Gone("receiving");
      } else if (errno == EAGAIN) {
        RETURN_IF_ERROR(WaitFor(POLLIN));
      } else if (errno != EINTR) {
        return Gone("receiving");
      }
    }
    return absl::OkStatus();
  }

  const std::string path_;
  const std::chrono::milliseconds timeout_;
  UniqueFd fd_;
  steady_clock::time_point deadline_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tcti>> OpenSwtpmTcti(
    std::string path, std::chrono::milliseconds timeout) {
  auto tcti = std::make_unique<SwtpmTcti>(std::move(path), timeout);
  RETURN_IF_ERROR(tcti->Connect());
  return tcti;
}

}  // namespace vmattest::tpm
