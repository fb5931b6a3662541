#ifndef VMATTEST_INSPECTION_WORKER_WORKER_INSPECTOR_H_
#define VMATTEST_INSPECTION_WORKER_WORKER_INSPECTOR_H_

#include <chrono>
#include <string>
#include <vector>

#include "hypervisor/disk_export.h"
#include "image/header_parser.h"
#include "inspection/disk_inspector.h"
#include "inspection/worker/guestfs_reader.h"
#include "inspection/worker/image_server.h"
#include "inspection/worker/worker_pool.h"

namespace vmattest::inspection {

// Looks into disks with a vmattest-worker for each (rule S25), which gets
// nothing but a descriptor to read from:
//
//   raw image that is not in use    the file
//   qcow2, chains                   an ImageServer's connection (QEMU's code)
//   disk of a running VM            a DiskExporter's (that VM's own QEMU)
// What that does not read and libguestfs may, a vmattest-guestfs-worker reads
// next (guestfs_reader.h), through a descriptor like that.
//
// Files are opened by this process, must not be open for writing in QEMU, and
// must be after the inspection what they were before; else the result is
// thrown away. What is read is not locked meanwhile: a VM may start, and the
// answer is ABORTED then.
//
// FAILED_PRECONDITION, as a sentence: the image is in use, encrypted, has a
// network backing, or is of another format; a disk of a running VM while no
// exporter is there. The rest is in disk_inspector.h. Results are not cached.
class WorkerInspector final : public DiskInspector {
 public:
  struct Options {
    std::chrono::milliseconds limit = std::chrono::minutes(10);  // of one disk
    size_t max_leaves = 25'000;
    ImageServerOptions server;
    GuestfsOptions guestfs;
  };
  // All outlive the object, the pool in `options` too; `exporter` may be
  // nullptr. `pool` runs vmattest-worker.
  WorkerInspector(WorkerPool& pool, image::HeaderParserFactory parsers,
                  hypervisor::DiskExporter* exporter, Options options);

  absl::StatusOr<DiskReport> Inspect(const Request& request) override;

 private:
  absl::StatusOr<DiskReport> InspectFiles(const Request& request,
                                          MonotonicTime deadline);
  absl::StatusOr<DiskReport> InspectRunning(const Request& request,
                                            MonotonicTime deadline);
  absl::StatusOr<DiskReport> Ask(const Request& request,
                                 GuestfsReader::Image image,
                                 MonotonicTime deadline);
  absl::StatusOr<DiskReport> AskWorker(const Request& request,
                                       const GuestfsReader::Image& image,
                                       MonotonicTime deadline);

  WorkerPool& pool_;
  const image::HeaderParserFactory parsers_;
  hypervisor::DiskExporter* const exporter_;
  const Options options_;
  const GuestfsReader guestfs_;
};

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_WORKER_INSPECTOR_H_
