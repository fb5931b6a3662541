#ifndef VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_DISK_EXPORTER_H_
#define VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_DISK_EXPORTER_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "base/mutex.h"
#include "hypervisor/disk_export.h"

namespace vmattest::hypervisor {

// Views of running VMs' disks by libvirt's pull-mode backup (libvirt 6.0 or
// newer, QEMU 4.2): from the moment the job begins QEMU copies what the guest
// is about to overwrite into a scratch file first, and serves the disk as it
// was. Works for raw and qcow2 images and block devices; not for disks that
// are empty, and not while another job of the domain runs.
//
// `scratch_dir` holds one sparse file for each view, which grows by what the
// guest overwrites, at most to the size of the disk's data. Should that space
// run out, QEMU would fail the *guest's* writes: a thread (`export-watch`)
// gives the view up as soon as less than `keep_free_bytes` are left, and its
// readers find the server gone.
//
// `socket_dir` holds a folder of mode 0700 for each view, owned by the user
// that runs that QEMU (its DAC label), who must be able to pass through the
// folders above. So must `scratch_dir`, in which libvirt makes the files.
//
// A job outlives its maker: one that a crash left is recognised by its socket's
// folder, and ended by AbortLeftOvers() and by the next Export() of that VM.
// Hence `socket_dir` belongs to one exporter.
//
// Connections are its own, one for each view. Callable from any thread but
// libvirt's event loop.
class LibvirtDiskExporter final : public DiskExporter {
 public:
  struct Options {
    std::string uri = "qemu:///system";
    std::filesystem::path socket_dir = "/run/vmattest/exports";
    std::filesystem::path scratch_dir = "/var/lib/vmattest/scratch";
    uint64_t keep_free_bytes = uint64_t{1} << 30;
    int keepalive_seconds = 5;
    unsigned keepalive_count = 3;
  };
  explicit LibvirtDiskExporter(Options options);
  LibvirtDiskExporter(const LibvirtDiskExporter&) = delete;
  LibvirtDiskExporter& operator=(const LibvirtDiskExporter&) = delete;
  // Views must be gone by then.
  ~LibvirtDiskExporter() override;

  // RESOURCE_EXHAUSTED: no room for scratch.
  absl::StatusOr<std::unique_ptr<DiskExport>> Export(
      const Uuid& uuid, const std::string& target) override;

  // Ends all jobs of a former life that nobody holds now, and removes what they
  // left. Meant for the start, before the first Export(). UNAVAILABLE: not
  // connected.
  absl::Status AbortLeftOvers();

 private:
  class View;
  class Turn;
  class Turns;

  void RemoveFiles() const;

  const Options options_;
  const std::shared_ptr<Turns> turns_;
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_DISK_EXPORTER_H_
