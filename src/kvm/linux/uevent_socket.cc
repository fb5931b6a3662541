#include "kvm/linux/uevent_socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace vmattest::kvm {
namespace {

constexpr uint32_t kKernelGroup = 1;  // 2 is udev's
constexpr int kReceiveBuffer = 1 << 20;

}  // namespace

bool IsKvmEvent(std::string_view message) {
  bool misc = false;
  bool kvm = false;
  while (!message.empty()) {
    const size_t end = message.find('\0');
    const std::string_view line = message.substr(0, end);
    misc = misc || line == "SUBSYSTEM=misc";
    kvm = kvm || line == "DEVPATH=/devices/virtual/misc/kvm";
    if (end == std::string_view::npos) {
      break;
    }
    message.remove_prefix(end + 1);
  }
  return misc && kvm;
}

absl::StatusOr<UeventSocket> UeventSocket::Open() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                     NETLINK_KOBJECT_UEVENT));
  if (!fd.valid()) {
    return ErrnoStatus(errno, "kernel events of KVM");
  }
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer,
             sizeof(kReceiveBuffer));
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) !=
      0) {
    return ErrnoStatus(errno, "kernel events of KVM");
  }
  return UeventSocket(std::move(fd));
}

absl::StatusOr<UeventSocket::Event> UeventSocket::Next(bool* more) {
  char buffer[8192];
  sockaddr_nl sender = {};
  socklen_t size = sizeof(sender);
  *more = true;
  const ssize_t got = recvfrom(fd_.get(), buffer, sizeof(buffer), 0,
                               reinterpret_cast<sockaddr*>(&sender), &size);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      *more = errno == EINTR;
      return Event::kNone;
    }
    if (errno == ENOBUFS) {
      return Event::kLost;
    }
    return ErrnoStatus(errno, "kernel events of KVM");
  }
  // Any process with the capability may send to the group; only the kernel has
  // port 0.
  if (sender.nl_pid != 0) {
    return Event::kNone;
  }
  return IsKvmEvent({buffer, static_cast<size_t>(got)}) ? Event::kKvm
                                                        : Event::kNone;
}

}  // namespace vmattest::kvm
