#ifndef VMATTEST_IMAGE_HASH_FILE_H_
#define VMATTEST_IMAGE_HASH_FILE_H_

#include <functional>
#include <string>

#include "base/executor.h"
#include "base/status.h"
#include "image/content_digest.h"
#include "vmattest/types/digest.h"

// The two ways to hash a file. Both read with pread into buffers that stay in
// the CPU's cache, not by mmap: a file cut short under a mapping is a SIGBUS.
// Both work on the calling thread and hand what can run beside it to the
// executor; one that refuses costs time, nothing else. When they return nothing
// refers to the job any more.

namespace vmattest::image {

struct HashJob {
  int fd = -1;
  uint64_t size = 0;
  const std::string& name;                 // for messages
  const ProgressFn& progress;              // may be empty
  const std::function<bool()>& cancelled;  // may be empty
};

// BLAKE3: `tasks` threads take blocks of 1 MiB. Memory: 256 KiB a thread and
// 32 bytes for every GiB (every MiB of the GiBs in hand).
//   ABORTED: shorter than `size`. CANCELLED. INVALID_ARGUMENT: over 1 PiB.
absl::StatusOr<DigestBytes> HashInBlocks(const HashJob& job, Executor& executor,
                                         size_t tasks);

// Any algorithm: one thread hashes, a second reads ahead. 1 MiB of memory.
//   ABORTED: shorter than `size`. CANCELLED.
absl::StatusOr<DigestBytes> HashInOrder(const HashJob& job,
                                        HashAlgorithm algorithm,
                                        Executor& executor);

// What both say when the caller gave up.
absl::Status CancelledStatus(const std::string& name);

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_HASH_FILE_H_
