#ifndef VMATTEST_HYPERVISOR_GUEST_CONTROL_H_
#define VMATTEST_HYPERVISOR_GUEST_CONTROL_H_

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "base/uuid.h"

namespace vmattest::hypervisor {

// Stopping a guest for a moment and looking into it, by the hypervisor's own
// API. Errors and threads as Hypervisor's.
class GuestControl {
 public:
  virtual ~GuestControl() = default;
  // Stops the vCPUs until EndPause(). False: they stood already, and will go on
  // standing. FAILED_PRECONDITION: it does not run, or is paused by us already.
  virtual absl::StatusOr<bool> BeginPause(const Uuid& uuid) = 0;
  // Lets them run again, unless BeginPause() found them standing, or somebody
  // asked Hypervisor::Suspend() for it meanwhile. NOT_FOUND: no such pause.
  virtual absl::Status EndPause(const Uuid& uuid) = 0;
  // What the guest's physical memory holds. Of RAM only: reading a device may
  // change it. Milliseconds a call, whatever the size; at most kMaxPeek bytes.
  virtual absl::Status PeekMemory(const Uuid& uuid, uint64_t address,
                                  std::span<uint8_t> buffer) = 0;
  // FAILED_PRECONDITION "post-copy: ...": its memory is on two hosts (rule
  // S23).
  virtual absl::Status CheckMemoryIsHere(const Uuid& uuid) = 0;

  // Writes the guest's state of one moment to `pipe`, a FIFO that somebody
  // reads, by a path that the hypervisor sees: its memory, while it runs, and
  // at the end, while it stands, what it wrote meanwhile and its devices.
  // Nothing is kept that the guest could be started from (rule S12). Afterwards
  // it runs, unless it stood before or Hypervisor::Suspend() was called
  // meanwhile. Takes seconds; how long it stood is returned.
  //   FAILED_PRECONDITION: it does not run, is paused by us, or cannot be
  //   migrated; the message has the hypervisor's reason. ABORTED: AbortSave(),
  //   or a reader that left.
  virtual absl::StatusOr<std::chrono::microseconds> SaveState(
      const Uuid& uuid, const std::string& pipe) = 0;
  // Has a SaveState() of another thread end early; OK if there is none, or it
  // has not come to where it can be ended: ask again.
  virtual absl::Status AbortSave(const Uuid& uuid) = 0;

  static constexpr size_t kMaxPeek = size_t{1} << 20;
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_GUEST_CONTROL_H_
