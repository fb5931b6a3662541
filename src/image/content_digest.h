#ifndef VMATTEST_IMAGE_CONTENT_DIGEST_H_
#define VMATTEST_IMAGE_CONTENT_DIGEST_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/status.h"
#include "image/fs_verity.h"
#include "vmattest/types/digest.h"

namespace vmattest::image {

struct ContentDigest {
  DigestBytes digest;
  uint64_t size = 0;  // bytes digested
  bool cached = false;
  int64_t since_unix_ms = 0;  // when it was read
  // That the file cannot change any more (rule S15).
  std::optional<VerityDigest> verity;
};

// Called from hashing threads, at most every few MiB; must not block.
using ProgressFn = std::function<void(uint64_t bytes_just_done)>;

// The digest of a file's bytes. Callable from any thread; blocks for as long
// as reading takes.
//   NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (a folder, socket, device
//   that is no block device): the message names the path.
//   ABORTED: the file changed while it was read.
//   CANCELLED: `cancelled` returned true; it is asked from hashing threads,
//   once for every MiB or so.
class ContentDigester {
 public:
  virtual ~ContentDigester() = default;
  struct Request {
    std::string path;
    HashAlgorithm algorithm = HashAlgorithm::kSha256;
    bool fresh = false;  // do not answer from the cache
    ProgressFn progress;
    std::function<bool()> cancelled;
  };
  virtual absl::StatusOr<ContentDigest> Digest(const Request& request) = 0;
};

}  // namespace vmattest::image

#endif  // VMATTEST_IMAGE_CONTENT_DIGEST_H_
