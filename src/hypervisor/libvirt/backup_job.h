#ifndef VMATTEST_HYPERVISOR_LIBVIRT_BACKUP_JOB_H_
#define VMATTEST_HYPERVISOR_LIBVIRT_BACKUP_JOB_H_

#include <chrono>
#include <filesystem>
#include <string>

#include "base/status.h"
#include "base/uuid.h"
#include "hypervisor/libvirt/event_loop.h"
#include "hypervisor/libvirt/handles.h"

// Single steps of a pull-mode backup, over libvirt's API. Block; any thread
// but libvirt's event loop.

namespace vmattest::hypervisor {

// A connection for some calls, its event loop with it.
struct JobConnection {
  std::shared_ptr<EventLoop> loop;  // outlives the connection
  ConnectHandle connect;
};
// UNAVAILABLE.
absl::StatusOr<JobConnection> OpenJobConnection(const std::string& uri,
                                                int keepalive_seconds,
                                                unsigned keepalive_count);

// NOT_FOUND: no such domain, or it does not run.
absl::StatusOr<DomainHandle> FindRunning(const ConnectHandle& connect,
                                         const Uuid& uuid);

// What QEMU runs as, by libvirt's label; -1 each if libvirt does not say.
struct Owner {
  uid_t user = static_cast<uid_t>(-1);
  gid_t group = static_cast<gid_t>(-1);
};
Owner OwnerOf(virDomainPtr domain);

// Begins the view of the disk `target` on `socket`. Scratch must not exist.
//   NOT_FOUND: no such disk. FAILED_PRECONDITION: another job is running, or
//   libvirt or QEMU cannot do it.
absl::Status BeginBackup(virDomainPtr domain, const std::string& target,
                         const std::filesystem::path& socket,
                         const std::filesystem::path& scratch);

// Whether a backup is running that serves on a socket below `folder`.
// INTERNAL, UNAVAILABLE: libvirt would not say.
absl::StatusOr<bool> RunsBackupBelow(virDomainPtr domain,
                                     const std::filesystem::path& folder);

// Ends such a backup and waits until it is over; OK if there is none.
// DEADLINE_EXCEEDED: it is still there after `limit`.
absl::Status EndBackupBelow(virDomainPtr domain,
                            const std::filesystem::path& folder,
                            std::chrono::milliseconds limit);

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_LIBVIRT_BACKUP_JOB_H_
