#ifndef VMATTEST_TOKEN_KEY_FILE_H_
#define VMATTEST_TOKEN_KEY_FILE_H_

#include <filesystem>
#include <string_view>
#include <vector>

#include "token/ear.h"

// Keys that results are checked with, as somebody carried them here. Callable
// from any thread.

namespace vmattest::token {

// A JWK set, a JWK, or one PEM public key (SubjectPublicKeyInfo, P-256). Keys
// of kinds that this process cannot use are passed over. INVALID_ARGUMENT: none
// of these, malformed, or no key is left.
absl::StatusOr<std::vector<VerificationKey>> ParseKeyFile(
    std::string_view text);

// The same from disk; errors name the file.
absl::StatusOr<std::vector<VerificationKey>> LoadKeyFile(
    const std::filesystem::path& path);

}  // namespace vmattest::token

#endif  // VMATTEST_TOKEN_KEY_FILE_H_
