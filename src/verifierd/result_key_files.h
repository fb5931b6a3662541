#ifndef VMATTEST_VERIFIERD_RESULT_KEY_FILES_H_
#define VMATTEST_VERIFIERD_RESULT_KEY_FILES_H_

#include <filesystem>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "verification/result_keys.h"

namespace vmattest::verifierd {

// Result keys as files of one folder, which is ours alone:
//
//   result-key.pem, result-key.ml-dsa             active; private, mode 0600
//   next-result-key.pem, next-result-key.ml-dsa   next; the same
//   old-result-keys.json                          old; public, a JWK set
//   result-keys.json                              all public halves, for others
//
// A step that is cut short leaves a mixture that still verifies everything, and
// the step can be made again: old keys are written down before anything is
// renamed.
class ResultKeyFiles final : public verification::ResultKeys {
 public:
  // Makes an active key if there is none. Without `post_quantum` new keys have
  // no ML-DSA, and one that is there does not sign, with a warning.
  // FAILED_PRECONDITION: others may read a file.
  static absl::StatusOr<std::unique_ptr<ResultKeyFiles>> Open(
      const std::filesystem::path& folder, bool post_quantum);

  [[nodiscard]] std::shared_ptr<const token::TokenSigner> Signer()
      const override EXCLUDES_LOCK(mutex_);
  [[nodiscard]] std::vector<Key> List() const override EXCLUDES_LOCK(mutex_);
  absl::Status Rotate(Step step) override EXCLUDES_LOCK(mutex_);

 private:
  ResultKeyFiles(std::filesystem::path folder, bool post_quantum)
      : folder_(std::move(folder)), post_quantum_(post_quantum) {}
  // As the files say.
  absl::Status Load() REQUIRES_LOCK(mutex_);
  absl::Status Prepare() REQUIRES_LOCK(mutex_);
  absl::Status Activate() REQUIRES_LOCK(mutex_);
  absl::Status Retire() REQUIRES_LOCK(mutex_);

  const std::filesystem::path folder_;
  const bool post_quantum_;
  mutable Mutex mutex_;
  std::shared_ptr<const token::TokenSigner> signer_ GUARDED_BY(mutex_);
  std::vector<Key> keys_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_RESULT_KEY_FILES_H_
