#ifndef VMATTEST_KVM_LINUX_UEVENT_SOCKET_H_
#define VMATTEST_KVM_LINUX_UEVENT_SOCKET_H_

#include <string_view>

#include "base/handles.h"
#include "base/status.h"

namespace vmattest::kvm {

// True if `message` (netlink(7), NETLINK_KOBJECT_UEVENT) says that a KVM VM was
// made or ended: subsystem "misc", device "kvm" (kernel: virt/kvm/kvm_main.c,
// kvm_uevent_notify_change).
bool IsKvmEvent(std::string_view message);

// What the kernel announces about devices. One thread.
class UeventSocket {
 public:
  // PERMISSION_DENIED, INTERNAL: this kernel or namespace has none.
  static absl::StatusOr<UeventSocket> Open();

  enum class Event : uint8_t {
    kNone,  // something else, or not from the kernel
    kKvm,
    kLost,  // the queue overran: anything may have happened
  };
  // What is there now; kNone if nothing is. Never blocks.
  absl::StatusOr<Event> Next(bool* more);

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit UeventSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace vmattest::kvm

#endif  // VMATTEST_KVM_LINUX_UEVENT_SOCKET_H_
