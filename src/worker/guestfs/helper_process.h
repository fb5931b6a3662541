#ifndef VMATTEST_WORKER_GUESTFS_HELPER_PROCESS_H_
#define VMATTEST_WORKER_GUESTFS_HELPER_PROCESS_H_

#include "base/handles.h"
#include "base/status.h"
#include "worker/guestfs/serve_appliance.h"

namespace vmattest::worker {

// Forks twice, before there is a second thread: a process that runs
// ServeAppliance() in the launchers' sandbox, and one that does nothing but
// kill the whole process group once this process and that one are gone,
// whatever ended them. Our end of the first one's channel is the result.
//
// FAILED_PRECONDITION: this process leads no process group, so that ending one
// would end others.
absl::StatusOr<UniqueFd> StartHelper(const StartAppliance& start);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_GUESTFS_HELPER_PROCESS_H_
