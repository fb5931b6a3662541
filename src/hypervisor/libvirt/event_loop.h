#ifndef VMATTEST_HYPERVISOR_LIBVIRT_EVENT_LOOP_H_
#define VMATTEST_HYPERVISOR_LIBVIRT_EVENT_LOOP_H_

#include <atomic>
#include <memory>
#include <thread>

#include "base/status.h"

namespace vmattest::hypervisor {

// libvirt's default event loop, running on the thread `virt-event`. libvirt
// has one for the whole process and wants it registered before the first
// connection, so all users share it: it runs while anybody holds it.
class EventLoop {
 public:
  // INTERNAL: libvirt could not be initialised.
  static absl::StatusOr<std::shared_ptr<EventLoop>> Acquire();

  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  // Joins the thread, after what was removed from the loop is freed.
  ~EventLoop();

 private:
  EventLoop() = default;
  absl::Status Start();

  std::atomic<bool> stopping_ = false;
  int timer_ = -1;  // wakes the loop
  std::thread thread_;
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_LIBVIRT_EVENT_LOOP_H_
