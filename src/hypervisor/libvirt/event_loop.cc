#include "hypervisor/libvirt/event_loop.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>

#include "base/mutex.h"
#include "hypervisor/libvirt/libvirt_errors.h"

namespace vmattest::hypervisor {
namespace {

Mutex acquire_mutex;
std::weak_ptr<EventLoop>& Current() {
  static auto* const current = new std::weak_ptr<EventLoop>;
  return *current;
}

absl::Status RegisterOnce() {
  static const absl::Status registered = [] {
    // libvirt prints errors on stderr unless told who handles them.
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0) {
      return LibvirtStatus("starting libvirt's client library");
    }
    return absl::OkStatus();
  }();
  return registered;
}

}  // namespace

absl::StatusOr<std::shared_ptr<EventLoop>> EventLoop::Acquire() {
  const MutexLock lock(acquire_mutex);
  RETURN_IF_ERROR(RegisterOnce());
  if (std::shared_ptr<EventLoop> running = Current().lock()) {
    return running;
  }
  std::shared_ptr<EventLoop> loop(new EventLoop, [](EventLoop* last) {
    const MutexLock deleting(acquire_mutex);
    delete last;
  });
  RETURN_IF_ERROR(loop->Start());
  Current() = loop;
  return loop;
}

absl::Status EventLoop::Start() {
  timer_ = virEventAddTimeout(
      -1, [](int timer, void*) { virEventUpdateTimeout(timer, -1); }, nullptr,
      nullptr);
  if (timer_ < 0) {
    return LibvirtStatus("adding a timer to libvirt's event loop");
  }
  thread_ = std::thread([this] {
    while (!stopping_) {
      virEventRunDefaultImpl();
    }
  });
  pthread_setname_np(thread_.native_handle(), "virt-event");
  return absl::OkStatus();
}

EventLoop::~EventLoop() {
  if (!thread_.joinable()) {
    return;
  }
  stopping_ = true;
  virEventUpdateTimeout(timer_, 0);
  thread_.join();
  // The loop frees what was removed from it at its next turn.
  const int last_turn = virEventAddTimeout(
      0, [](int timer, void*) { virEventRemoveTimeout(timer); }, nullptr,
      nullptr);
  virEventRemoveTimeout(timer_);
  if (last_turn >= 0) {
    virEventRunDefaultImpl();
  }
}

}  // namespace vmattest::hypervisor
