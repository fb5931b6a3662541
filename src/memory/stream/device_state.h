#ifndef VMATTEST_MEMORY_STREAM_DEVICE_STATE_H_
#define VMATTEST_MEMORY_STREAM_DEVICE_STATE_H_

#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "memory/vcpu_state.h"

namespace vmattest::memory {

// The registers of each vCPU, by its number, out of SavedState::devices. Which
// bytes they are is taken from the description in JSON that QEMU puts behind
// the devices (migration/vmstate.c: "vmdesc"), by names; no offset is compiled
// in. A register that it does not name is absent. Pure; any thread.
//   INVALID_ARGUMENT: devices and description do not fit together; the message
//   names the device. NOT_FOUND: there is no description, or no vCPU in it.
//   RESOURCE_EXHAUSTED: a description that is too long.
absl::StatusOr<std::vector<VcpuState>> ReadVcpuStates(ByteView devices);

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_STREAM_DEVICE_STATE_H_
