#ifndef VMATTEST_VERIFIERD_KEYS_H_
#define VMATTEST_VERIFIERD_KEYS_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "base/secret_bytes.h"
#include "base/status.h"
#include "document/document.h"
#include "verification/result_keys.h"

// Keys and trust of a verifier, as files. Main thread, at start.

namespace vmattest::verifierd {

// The secret in `path`; a missing one is made, mode 0600, and lasts from then
// on.
absl::StatusOr<SecretBytes> LoadOrMakeSecret(
    const std::filesystem::path& path,
    const std::function<absl::StatusOr<SecretBytes>()>& make);

// What results and host records are signed with, in `folder`: ResultKeyFiles
// and authority.json, mode 0600, which is made if it is missing and lasts from
// then on. Without `post_quantum`, or where this process has no ML-DSA, new
// keys have none. FAILED_PRECONDITION: others may read a file. UNAVAILABLE: the
// authority's key has ML-DSA, and this process has not.
struct VerifierKeys {
  std::unique_ptr<verification::ResultKeys> results;
  document::PrivateKey authority;
};
absl::StatusOr<VerifierKeys> LoadVerifierKeys(
    const std::filesystem::path& folder, bool post_quantum,
    const std::string& module);

// The Trust Authority's key in a file, made if it is missing: with ML-DSA if
// `post_quantum` and this process has it. Errors as above.
absl::StatusOr<document::PrivateKey> LoadOrMakeAuthority(
    const std::filesystem::path& file, bool post_quantum);

// Every *.pub of a folder (document::LoadKeysIfAny), with a warning if that
// is nobody.
absl::StatusOr<std::vector<document::PublicKey>> LoadApprovers(
    const std::filesystem::path& folder);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_KEYS_H_
