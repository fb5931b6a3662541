#ifndef VMATTEST_CLI_ASK_OPTIONS_H_
#define VMATTEST_CLI_ASK_OPTIONS_H_

#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "vmattest/v1/attestation.pb.h"

// What the commands that ask the daemon for signed files have in common.
// INVALID_ARGUMENT names the option.

namespace vmattest::cli {

// Hex, or 32 random bytes if there is none.
absl::StatusOr<Bytes> NonceOrRandom(const std::optional<std::string>& hex);

// Empty: unspecified, which is the daemon's default.
absl::StatusOr<v1::HashAlgorithm> ParseHashOption(const std::string& name);
absl::StatusOr<v1::ContentPolicy> ParseContentOption(const std::string& name);
absl::StatusOr<v1::InsidePolicy> ParseInsideOption(const std::string& name);

// What was asked for, and where it goes.
struct SignedFile {
  std::string_view what;  // "evidence"
  const std::string& vm;
  const std::string& nonce;
  const std::string& content;
  std::string path;  // empty: standard output
  bool json = false;
};
// INVALID_ARGUMENT: binary for a terminal. To be called before the daemon is
// asked.
absl::Status CheckBinaryOutput(std::string_view what, const std::string& path);
// Writes the file, and the nonce for whoever will verify it: on `err` if the
// file itself goes to `out`.
absl::Status WriteSignedFile(const SignedFile& file, std::ostream& out,
                             std::ostream& err);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_ASK_OPTIONS_H_
