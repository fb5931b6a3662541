#ifndef VMATTEST_PROCESS_STATE_DIR_H_
#define VMATTEST_PROCESS_STATE_DIR_H_

#include <filesystem>

#include "base/handles.h"
#include "base/secret_bytes.h"
#include "base/status.h"

namespace vmattest::process {

// The folder that the daemon keeps its state in, ours alone for as long as the
// object lives.
class StateDir {
 public:
  // Makes it, mode 0700. FAILED_PRECONDITION: others may enter it, it is not
  // ours, or another daemon uses it.
  static absl::StatusOr<StateDir> Open(const std::filesystem::path& path);

 private:
  explicit StateDir(UniqueFd lock) : lock_(std::move(lock)) {}
  UniqueFd lock_;
};

// The secret that guards the TPM keys: 16 to 4096 bytes, as they are in the
// file. With `create` a missing one is made of 32 random bytes, mode 0600, and
// lasts from then on. FAILED_PRECONDITION: others may read it.
absl::StatusOr<SecretBytes> LoadKeyAuth(const std::filesystem::path& path,
                                        bool create);

// A secret as it is in the file, at most 16 KiB. NOT_FOUND; the same
// conditions.
absl::StatusOr<SecretBytes> LoadSecretFile(const std::filesystem::path& path);

// An authorisation value that somebody typed: one line end at the end is not
// part of it. The same conditions.
absl::StatusOr<SecretBytes> LoadAuthValue(const std::filesystem::path& path);

}  // namespace vmattest::process

#endif  // VMATTEST_PROCESS_STATE_DIR_H_
