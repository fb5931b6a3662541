#ifndef VMATTEST_WORKER_GUESTFS_INSPECT_CONTENTS_H_
#define VMATTEST_WORKER_GUESTFS_INSPECT_CONTENTS_H_

#include <vector>

#include "worker/guestfs/remote_appliance.h"
#include "worker/worker_program.h"

namespace vmattest::worker {

// vmattest-guestfs-worker's work: InspectDisk, of the contents that it names.
// Says "progress" once the appliance has started; an error before that means
// that nothing was parsed.
absl::StatusOr<internal::WorkerReply> HandleInspectContents(
    RemoteAppliance& appliance, const internal::WorkerRequest& request,
    std::vector<UniqueFd> descriptors,
    const WorkerProgram::SendProgress& progress);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_GUESTFS_INSPECT_CONTENTS_H_
