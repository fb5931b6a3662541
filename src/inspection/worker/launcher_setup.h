#ifndef VMATTEST_INSPECTION_WORKER_LAUNCHER_SETUP_H_
#define VMATTEST_INSPECTION_WORKER_LAUNCHER_SETUP_H_

#include <memory>
#include <string>

#include "base/handles.h"
#include "base/status.h"
#include "inspection/worker/private_folder.h"
#include "ipc/child_process.h"

namespace vmattest::inspection {

// What a worker gets that starts programs of others (vmattest-guestfs-worker).
struct LauncherOptions {
  // Folders of workers are in it; made if missing, passable for their user.
  std::string scratch_dir;
  // libguestfs's fixed appliance (libguestfs-make-fixed-appliance(1)); empty:
  // supermin puts one together for each worker.
  std::string appliance;
  // Of each file; supermin's has a sparse one of 4 GiB.
  uint64_t file_bytes = uint64_t{5} << 30;
};

// Of one worker; outlives its process.
struct LauncherSetup {
  std::unique_ptr<PrivateFolder> folder;
  UniqueFd landlock;
};

// Completes `child`: a process group of its own, an environment that points
// into a private folder, by Landlock nothing else to write to, and to read only
// what libguestfs or supermin need; the group that may use KVM.
absl::StatusOr<LauncherSetup> PrepareLauncher(const LauncherOptions& options,
                                              ipc::ChildOptions& child);

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_LAUNCHER_SETUP_H_
