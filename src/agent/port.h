#ifndef VMATTEST_AGENT_PORT_H_
#define VMATTEST_AGENT_PORT_H_

#include <chrono>
#include <filesystem>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/handles.h"
#include "base/status.h"
#include "guestchannel/protocol/frames.h"
#include "guestchannel/protocol/messages.h"

namespace vmattest::agent {

// The device of the port that is called `name`: by udev's link in
// /dev/virtio-ports, or else by what sysfs says of each port. `root` is where
// /dev and /sys are. NOT_FOUND: this machine has no such port.
absl::StatusOr<std::string> FindPort(const std::filesystem::path& root,
                                     const std::string& name);

// The guest's end of the channel. One thread; one program at a time has it
// open, as the kernel sees to.
class Port {
 public:
  // NOT_FOUND; RESOURCE_EXHAUSTED: another program has it open.
  static absl::StatusOr<Port> Open(const std::string& path);
  // For a descriptor that is open already, and does not block.
  explicit Port(UniqueFd device) : device_(std::move(device)) {}

  // Asks, and waits for the answer that ends it: a refusal or a snapshot. Asks
  // again, by the same id, while the host says nothing: it may have begun to
  // listen only now, or may have been restarted meanwhile.
  //   DEADLINE_EXCEEDED: there was none until `deadline`; the message says
  //   whether the host said anything.
  absl::StatusOr<guestchannel::Answer> Ask(
      const guestchannel::Request& request, MonotonicTime deadline,
      std::chrono::milliseconds again = std::chrono::seconds(5));

 private:
  absl::Status Send(ByteView bytes, MonotonicTime deadline);
  // Until `deadline`, whatever there is.
  absl::Status Receive(MonotonicTime deadline);

  UniqueFd device_;
  guestchannel::FrameReader reader_;
};

}  // namespace vmattest::agent

#endif  // VMATTEST_AGENT_PORT_H_
