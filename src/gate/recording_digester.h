#ifndef VMATTEST_GATE_RECORDING_DIGESTER_H_
#define VMATTEST_GATE_RECORDING_DIGESTER_H_

#include <cstdint>
#include <map>
#include <string>

#include "base/mutex.h"
#include "image/content_digest.h"

namespace vmattest::gate {

// Which file it was: if all of this is the same later, so is the content (rule
// S13).
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t ctime_ns = 0;
  int64_t mtime_ns = 0;
  uint64_t size = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};
struct MeasuredFile {
  FileIdentity identity;
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  DigestBytes digest;
};
using MeasuredFiles = std::map<std::string, MeasuredFile>;  // by path

// Errors as stat(2), with the path.
absl::StatusOr<FileIdentity> LookAt(const std::string& path);
absl::StatusOr<FileIdentity> IdentityOf(int fd);
// Whether a file that was `before` is `now` another but for its ctime, which
// also changes with owner, label and name.
bool WasWritten(const FileIdentity& before, const FileIdentity& now);

// Remembers which files one measurement digested, as they were before it read
// them. Callable from any thread.
class RecordingDigester final : public image::ContentDigester {
 public:
  explicit RecordingDigester(image::ContentDigester& inner) : inner_(inner) {}
  absl::StatusOr<image::ContentDigest> Digest(const Request& request) override
      EXCLUDES_LOCK(mutex_);
  MeasuredFiles Take() EXCLUDES_LOCK(mutex_);

 private:
  image::ContentDigester& inner_;
  Mutex mutex_;
  MeasuredFiles files_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_RECORDING_DIGESTER_H_
