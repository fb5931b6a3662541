#ifndef VMATTEST_IMAGE_FILE_DIGESTER_H_
#define VMATTEST_IMAGE_FILE_DIGESTER_H_

#include "base/clock.h"
#include "base/executor.h"
#include "image/content_digest.h"
#include "image/digest_cache.h"

namespace vmattest::image {

// Digests regular files and block devices, streaming, with bounded memory: no
// more than 256 KiB a thread, whatever the size. Holes count as the zeros they
// read as, without being read.
//
// BLAKE3 uses `threads` threads: the caller's own and tasks on `hashing`. The
// other algorithms hash on the caller's thread while one task on `hashing`
// reads ahead. The tasks read files, so `hashing` is a pool of its own; nothing
// waits for a task that has not started.
class FileDigester final : public ContentDigester {
 public:
  // All three outlive the object. `threads` of 0 means one for each CPU.
  FileDigester(const Clock& clock, Executor& hashing, DigestCache& cache,
               size_t threads = 0);

  absl::StatusOr<ContentDigest> Digest(const Request& request) override;

 private:
  absl::StatusOr<ContentDigest> Read(const ContentFile& file,
                                     const Request& request);

  const Clock& clock_;
  Executor& hashing_;
  DigestCache& cache_;
  const size_t threads_;
};

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_FILE_DIGESTER_H_
