#ifndef VMATTEST_INSPECTION_WORKER_IMAGE_LOCK_H_
#define VMATTEST_INSPECTION_WORKER_IMAGE_LOCK_H_

#include <string>

#include "base/status.h"

namespace vmattest::inspection {

// FAILED_PRECONDITION if QEMU, in a running VM or a tool, has the image open
// for writing: it says so with a lock on one byte (QEMU block/file-posix.c,
// docs/system/qemu-block-drivers "Disk image file locking"). Only asks: a lock
// of ours could keep a VM from starting. Nothing is known of other programs,
// nor where locking was turned off.
absl::Status CheckNotBeingWritten(int fd, const std::string& path);

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_IMAGE_LOCK_H_
