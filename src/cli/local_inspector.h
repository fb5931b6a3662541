#ifndef VMATTEST_CLI_LOCAL_INSPECTOR_H_
#define VMATTEST_CLI_LOCAL_INSPECTOR_H_

#include <filesystem>
#include <memory>
#include <string>

#include "inspection/disk_inspector.h"
#include "inspection/worker/worker_inspector.h"
#include "inspection/worker/worker_pool.h"

namespace vmattest::cli {

// Looks into disks with no daemon, by the daemon's own means: a confined
// vmattest-worker for each, qemu-storage-daemon for what is not raw. Run by
// root, they run as another user. Disks that a running VM has open for
// writing are not looked into: there is no libvirt here to ask for a moment
// of rest. Callable from any thread.
class LocalInspector final : public inspection::DiskInspector {
 public:
  // `worker`: the program's path; empty: where the installation puts it.
  // NOT_FOUND, PERMISSION_DENIED: no such program, says where it was looked
  // for. Else: no folder for its sockets can be made.
  static absl::StatusOr<std::unique_ptr<LocalInspector>> Make(
      const std::string& worker);
  ~LocalInspector() override;
  LocalInspector(const LocalInspector&) = delete;
  LocalInspector& operator=(const LocalInspector&) = delete;

  absl::StatusOr<inspection::DiskReport> Inspect(
      const Request& request) override;

 private:
  LocalInspector(inspection::WorkerPoolOptions workers,
                 std::filesystem::path folder);

  const std::filesystem::path folder_;  // of sockets; gone with the object
  inspection::WorkerPool pool_;
  inspection::WorkerInspector inspector_;
};

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_LOCAL_INSPECTOR_H_
