#include "image/file_digester.h"

#include <fcntl.h>

#include <algorithm>
#include <thread>

#include "fmt/format.h"
#include "image/content_file.h"
#include "image/hash_file.h"
#include "image/segments.h"

namespace vmattest::image {
namespace {

// That nothing follows what was read. Size alone does not say: files of proc
// and sysfs have none, and a file may grow without a new timestamp being seen.
absl::Status CheckEnd(const ContentFile& file, const std::string& path) {
  uint8_t byte = 0;
  const absl::Status beyond =
      ReadExactly(file.fd.get(), {&byte, 1}, file.size, path);
  if (beyond.ok()) {
    return absl::AbortedError(
        fmt::format("{}: changed while it was read: more than its {} bytes",
                    path, file.size));
  }
  return absl::IsAborted(beyond) ? absl::OkStatus() : beyond;
}

}  // namespace

FileDigester::FileDigester(const Clock& clock, Executor& hashing,
                           DigestCache& cache, size_t threads)
    : clock_(clock),
      hashing_(hashing),
      cache_(cache),
      threads_(threads > 0
                   ? threads
                   : std::max<size_t>(1, std::thread::hardware_concurrency())) {
}

absl::StatusOr<ContentDigest> FileDigester::Digest(const Request& request) {
  ASSIGN_OR_RETURN(const ContentFile file, OpenContent(request.path));
  if (!request.fresh) {
    if (auto known = cache_.Find(file, request.algorithm)) {
      if (request.progress) {
        request.progress(known->size);
      }
      return *std::move(known);
    }
  }
  const auto candidate = cache_.Begin(file, request.algorithm);
  ASSIGN_OR_RETURN(ContentDigest digest, Read(file, request));
  if (candidate) {
    cache_.Store(*candidate, file, digest);
  }
  return digest;
}

absl::StatusOr<ContentDigest> FileDigester::Read(const ContentFile& file,
                                                 const Request& request) {
  ContentDigest content;
  content.size = file.size;
  content.verity = file.verity;
  content.since_unix_ms = clock_.Now().time_since_epoch().count();
  // Only advice: a failure costs speed.
  (void)posix_fadvise(file.fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  const HashJob job{file.fd.get(), file.size, request.path, request.progress,
                    request.cancelled};
  absl::StatusOr<DigestBytes> digest =
      request.algorithm == HashAlgorithm::kBlake3
          ? HashInBlocks(job, hashing_, threads_)
          : HashInOrder(job, request.algorithm, hashing_);
  if (!digest.ok()) {
    return digest.status();
  }
  content.digest = *std::move(digest);
  RETURN_IF_ERROR(CheckEnd(file, request.path));
  RETURN_IF_ERROR(CheckUnchanged(file, request.path));
  return content;
}

}  // namespace vmattest::image
