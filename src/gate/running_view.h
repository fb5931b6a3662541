#ifndef VMATTEST_GATE_RUNNING_VIEW_H_
#define VMATTEST_GATE_RUNNING_VIEW_H_

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gate/launch_session.h"
#include "gate/protocol/messages.h"

// What is seen of a VM that runs, beside its XML (rule S11). Any thread.

namespace vmattest::gate {

// The path of a file that QEMU has open and had not when it started, or that it
// opened for writing though it only reads it; empty if there is none. Not
// counted: what it only writes (logs, screenshots, dumps), memory, and files
// below `own`, where this daemon has it keep scratch space.
std::string FirstUnapprovedFile(const std::vector<OpenFile>& files,
                                const LaunchSession& session,
                                const std::filesystem::path& own);

// Of what libvirt says was done past its API, what may have changed the VM:
// commands to QEMU's monitor; empty if none.
std::string FirstMonitorTaint(const std::vector<std::string>& taints);

// The network interfaces of a live domain, each as a device whose link is down.
// INVALID_ARGUMENT: no domain.
absl::StatusOr<std::vector<std::string>> WithLinksDown(
    std::string_view live_xml);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_RUNNING_VIEW_H_
