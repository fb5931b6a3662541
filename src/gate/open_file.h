#ifndef VMATTEST_GATE_OPEN_FILE_H_
#define VMATTEST_GATE_OPEN_FILE_H_

#include <functional>

#include "base/status.h"
#include "gate/recording_digester.h"
#include "vmattest/types/digest.h"

// Files of which a descriptor is held, wherever they lie. Callable from any
// thread.

namespace vmattest::gate {

// Errors as fstat(2).
absl::StatusOr<FileIdentity> LookAt(int fd);

struct OpenFileDigest {
  DigestBytes digest;  // SHA-256
  FileIdentity identity;
};
// Reads all of a regular file; blocks for as long as that takes.
//   ABORTED: it changed meanwhile. CANCELLED: `cancelled`, asked every MiB.
absl::StatusOr<OpenFileDigest> DigestOpen(
    int fd, const std::function<bool()>& cancelled);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_OPEN_FILE_H_
