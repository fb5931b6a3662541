#ifndef VMATTEST_HYPERVISOR_GUEST_CONTROL_H_
#define VMATTEST_HYPERVISOR_GUEST_CONTROL_H_

#include <cstdint>
#include <span>

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

  static constexpr size_t kMaxPeek = size_t{1} << 20;
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_GUEST_CONTROL_H_
