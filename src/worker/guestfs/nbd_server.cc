#include "worker/guestfs/nbd_server.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "fmt/format.h"

namespace vmattest::worker {
namespace {

// A client that does not take its answers holds up the others.
constexpr time_t kSendSeconds = 30;

bool SendAll(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent <= 0) {
      return false;
    }
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  return true;
}

absl::StatusOr<UniqueFd> ListenAt(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(
        fmt::format("{}: too long for a socket's path", path));
  }
  path.copy(address.sun_path, path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() ||
      bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof address) != 0 ||
      listen(fd.get(), SOMAXCONN) != 0) {
    return ErrnoStatus(errno, path);
  }
  return fd;
}

}  // namespace

struct NbdServer::Connection {
  Connection(UniqueFd fd, const std::vector<NbdExport>& exports)
      : socket(std::move(fd)), session(exports) {}
  const UniqueFd socket;
  NbdSession session;
  Bytes unread;
};

absl::StatusOr<std::unique_ptr<NbdServer>> NbdServer::Listen(
    const std::string& path, std::vector<NbdExport> exports) {
  ASSIGN_OR_RETURN(UniqueFd listener, ListenAt(path));
  UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) {
    return ErrnoStatus(errno, "an event descriptor");
  }
  return std::unique_ptr<NbdServer>(
      new NbdServer(std::move(exports), std::move(listener), std::move(stop)));
}

NbdServer::NbdServer(std::vector<NbdExport> exports, UniqueFd listener,
                     UniqueFd stop)
    : exports_(std::move(exports)),
      listener_(std::move(listener)),
      stop_(std::move(stop)),
      thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "nbd");
}

NbdServer::~NbdServer() {
  (void)eventfd_write(stop_.get(), 1);
  thread_.join();
}

absl::Status NbdServer::failure() const {
  const MutexLock lock(mutex_);
  return failure_;
}

void NbdServer::Run() {
  while (true) {
    std::vector<pollfd> waiting = {{stop_.get(), POLLIN, 0},
                                   {listener_.get(), POLLIN, 0}};
    for (const auto& connection : connections_) {
      waiting.push_back({connection->socket.get(), POLLIN, 0});
    }
    if (poll(waiting.data(), waiting.size(), -1) < 0) {
      continue;  // EINTR
    }
    if (waiting[0].revents != 0) {
      return;
    }
    for (size_t i = waiting.size(); i-- > 2;) {
      if (waiting[i].revents != 0 && !Serve(*connections_[i - 2])) {
        connections_.erase(connections_.begin() +
                           static_cast<ptrdiff_t>(i - 2));
      }
    }
    if (waiting[1].revents != 0) {
      Accept();
    }
  }
}

void NbdServer::Accept() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd.valid() || connections_.size() >= kMaxConnections) {
    return;
  }
  const timeval limit{kSendSeconds, 0};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (SendAll(fd.get(), NbdSession::Greeting())) {
    connections_.push_back(
        std::make_unique<Connection>(std::move(fd), exports_));
  }
}

bool NbdServer::Serve(Connection& connection) {
  std::array<uint8_t, NbdSession::kMaxMessage> piece{};
  const ssize_t got =
      recv(connection.socket.get(), piece.data(), piece.size(), MSG_DONTWAIT);
  if (got <= 0) {
    return got < 0 && (errno == EINTR || errno == EAGAIN);
  }
  connection.unread.insert(connection.unread.end(), piece.begin(),
                           piece.begin() + got);
  size_t done = 0;
  while (true) {
    Bytes out;
    const absl::StatusOr<size_t> taken =
        connection.session.Take(ByteView(connection.unread).subspan(done), out);
    if (!connection.session.failure().ok()) {
      const MutexLock lock(mutex_);
      failure_.Update(connection.session.failure());
    }
    if (!taken.ok() || !SendAll(connection.socket.get(), out)) {
      return false;
    }
    if (*taken == 0) {
      break;
    }
    done += *taken;
  }
  connection.unread.erase(
      connection.unread.begin(),
      connection.unread.begin() + static_cast<ptrdiff_t>(done));
  return true;
}

}  // namespace vmattest::worker
