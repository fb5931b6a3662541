#ifndef VMATTEST_DAEMON_SETUP_H_
#define VMATTEST_DAEMON_SETUP_H_

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/status.h"
#include "config/daemon_config.h"
#include "inspection/worker/worker_header_parser.h"
#include "inspection/worker/worker_inspector.h"
#include "inspection/worker/worker_pool.h"
#include "inventory/vm_store.h"
#include "signing/remote/signer_setup.h"

// From the configuration to what the daemon's children are started with. Main
// thread.

namespace vmattest::daemon {

// Reads the secrets, and makes those that may be made. Errors name the key.
absl::StatusOr<signing::SignerSetup> MakeSignerSetup(
    const config::DaemonConfig& config);
// Where the signer keeps the host event log.
std::filesystem::path SignerFolder(const config::DaemonConfig& config);
std::filesystem::path EventLogFolder(const config::DaemonConfig& config);

// Where the journal goes on: after what the log has, or, in a log without any
// of the store's events, from now on.
uint64_t JournaledBefore(const config::DaemonConfig& config,
                         inventory::VmStore& store);
// The folder of half-done exports. QEMU's user passes through it; what lies in
// it is libvirt's to protect.
absl::Status MakeScratch(const config::DaemonConfig& config);

struct WorkerSetup {
  inspection::WorkerPoolOptions disks;
  inspection::WorkerPoolOptions headers;
  // No program: libguestfs is not used; `inspector` says why.
  inspection::WorkerPoolOptions guestfs;
  inspection::WorkerInspector::Options inspector;
};
// FAILED_PRECONDITION: there is no such user, and this process could become
// it.
absl::StatusOr<WorkerSetup> MakeWorkerSetup(const config::DaemonConfig& config);

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_SETUP_H_
