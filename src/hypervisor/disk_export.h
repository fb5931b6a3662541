#ifndef VMATTEST_HYPERVISOR_DISK_EXPORT_H_
#define VMATTEST_HYPERVISOR_DISK_EXPORT_H_

#include <memory>
#include <string>

#include "base/status.h"
#include "base/uuid.h"

namespace vmattest::hypervisor {

// A running VM's disk as it was at one moment, served over NBD on a Unix
// socket for as long as the object lives. The VM goes on writing.
class DiskExport {
 public:
  virtual ~DiskExport() = default;
  [[nodiscard]] virtual const std::string& socket() const = 0;
  [[nodiscard]] virtual const std::string& export_name() const = 0;
};

// Makes such views (libvirt's pull-mode backup). Blocks; any thread but the
// hypervisor adapter's own. One view of a VM at a time: the next waits.
//   NOT_FOUND: no such VM or disk, or it is not running.
//   UNAVAILABLE: not connected. FAILED_PRECONDITION: a block job of somebody
//   else is running, or the disk cannot be backed up; the message says why.
class DiskExporter {
 public:
  virtual ~DiskExporter() = default;
  virtual absl::StatusOr<std::unique_ptr<DiskExport>> Export(
      const Uuid& uuid, const std::string& target) = 0;
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_DISK_EXPORT_H_
