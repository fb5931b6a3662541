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

// Fills in what AttestConfig and DiscloseLeaf are both asked with.
template <class Args, class Request>
absl::Status FillRequest(const Args& args, Request& request) {
  request.set_vm(args.vm);
  ASSIGN_OR_RETURN(const Bytes nonce, NonceOrRandom(args.nonce));
  request.set_nonce(nonce.data(), nonce.size());
  ASSIGN_OR_RETURN(const auto algorithm, ParseHashOption(args.algorithm));
  request.set_algorithm(algorithm);
  ASSIGN_OR_RETURN(const auto content, ParseContentOption(args.content));
  request.set_content(content);
  ASSIGN_OR_RETURN(const auto inside, ParseInsideOption(args.inside));
  request.set_inside(inside);
  request.set_fresh(args.fresh);
  return absl::OkStatus();
}

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
