#ifndef VMATTEST_DOCUMENT_KEY_FILES_H_
#define VMATTEST_DOCUMENT_KEY_FILES_H_

#include <filesystem>
#include <vector>

#include "document/document.h"

// Key files on disk. Callable from any thread.

namespace vmattest::document {

// FAILED_PRECONDITION: group or others may read the file, or it is another
// user's. NOT_FOUND, INVALID_ARGUMENT as ReadFile and PrivateKey::Parse.
absl::StatusOr<PrivateKey> LoadPrivateKey(const std::filesystem::path& path);

// Makes the file, mode 0600. ALREADY_EXISTS: a key is never overwritten.
absl::Status WritePrivateKey(const std::filesystem::path& path,
                             const PrivateKey& key);

absl::StatusOr<PublicKey> LoadPublicKey(const std::filesystem::path& path);

// Every file "*.pub" of `folder`, by name. INVALID_ARGUMENT: one of them is no
// key, or there are more than 1000. An empty folder gives none.
absl::StatusOr<std::vector<PublicKey>> LoadPublicKeys(
    const std::filesystem::path& folder);

// The same for those who may sign: a folder that is not there, or an empty
// path, is nobody.
absl::StatusOr<std::vector<PublicKey>> LoadKeysIfAny(
    const std::filesystem::path& folder);

}  // namespace vmattest::document

#endif  // VMATTEST_DOCUMENT_KEY_FILES_H_
