#ifndef VMATTEST_GUESTCHANNEL_CHANNEL_PATH_H_
#define VMATTEST_GUESTCHANNEL_CHANNEL_PATH_H_

#include <string>
#include <string_view>

#include "base/status.h"

namespace vmattest::guestchannel {

// The socket at which QEMU offers the agent's port (kPortName), as the live XML
// of a running domain says. Pure; any thread.
//   NOT_FOUND: it has no such port. FAILED_PRECONDITION: the port is none that
//   could be connected to; the message names the element.
absl::StatusOr<std::string> FindChannelPath(std::string_view live_xml);

}  // namespace vmattest::guestchannel

#endif  // VMATTEST_GUESTCHANNEL_CHANNEL_PATH_H_
