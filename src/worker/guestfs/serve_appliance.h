#ifndef VMATTEST_WORKER_GUESTFS_SERVE_APPLIANCE_H_
#define VMATTEST_WORKER_GUESTFS_SERVE_APPLIANCE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/handles.h"
#include "disk/appliance.h"
#include "ipc/channel.h"
#include "vmattest/internal/appliance.pb.h"

namespace vmattest::worker {

struct StartedAppliance {
  std::unique_ptr<disk::Appliance> appliance;
  std::vector<std::string> devices;  // of each content
};
using StartAppliance = std::function<absl::StatusOr<StartedAppliance>(
    const internal::ApplianceRequest::Start& start, UniqueFd image)>;

// Answers a RemoteAppliance: starts what it asks for, once, then hands over
// calls until the channel ends. Sizes are checked: the other side parses what
// a guest wrote. One thread.
absl::Status ServeAppliance(ipc::Channel& channel, const StartAppliance& start);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_GUESTFS_SERVE_APPLIANCE_H_
