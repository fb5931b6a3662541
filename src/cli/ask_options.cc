#include "cli/ask_options.h"

#include <sys/random.h>
#include <unistd.h>

#include "base/file.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "vmattest/types/digest.h"

namespace vmattest::cli {
namespace {

constexpr size_t kRandomNonce = 32;

}  // namespace

absl::StatusOr<Bytes> NonceOrRandom(const std::optional<std::string>& hex) {
  if (hex) {
    ASSIGN_OR_RETURN_WITH(Bytes nonce, ParseHex(*hex), "--nonce");
    return nonce;
  }
  Bytes nonce(kRandomNonce);
  if (getrandom(nonce.data(), nonce.size(), 0) !=
      static_cast<ssize_t>(nonce.size())) {
    return absl::InternalError("no random numbers");
  }
  return nonce;
}

absl::StatusOr<v1::HashAlgorithm> ParseHashOption(const std::string& name) {
  if (name.empty()) {
    return v1::HASH_ALGORITHM_UNSPECIFIED;
  }
  const auto algorithm = ParseHashAlgorithm(name);
  if (!algorithm) {
    return absl::InvalidArgumentError(
        fmt::format("--hash: '{}' is unknown", name));
  }
  return static_cast<v1::HashAlgorithm>(*algorithm);
}

absl::StatusOr<v1::ContentPolicy> ParseContentOption(const std::string& name) {
  if (name.empty()) {
    return v1::CONTENT_POLICY_UNSPECIFIED;
  }
  if (name == "full") {
    return v1::CONTENT_POLICY_FULL;
  }
  if (name == "chain") {
    return v1::CONTENT_POLICY_CHAIN;
  }
  if (name == "none") {
    return v1::CONTENT_POLICY_NONE;
  }
  return absl::InvalidArgumentError(
      fmt::format("--content: '{}' is none of full, chain, none", name));
}

absl::StatusOr<v1::InsidePolicy> ParseInsideOption(const std::string& name) {
  if (name.empty()) {
    return v1::INSIDE_POLICY_UNSPECIFIED;
  }
  if (name == "none") {
    return v1::INSIDE_POLICY_NONE;
  }
  if (name == "inventory") {
    return v1::INSIDE_POLICY_INVENTORY;
  }
  if (name == "full") {
    return v1::INSIDE_POLICY_FULL;
  }
  return absl::InvalidArgumentError(
      fmt::format("--inside: '{}' is none of none, inventory, full", name));
}

absl::Status CheckBinaryOutput(std::string_view what, const std::string& path) {
  if (path.empty() && isatty(STDOUT_FILENO) != 0) {
    return absl::InvalidArgumentError(
        fmt::format("{} is binary: name a file with --out, or redirect", what));
  }
  return absl::OkStatus();
}

absl::Status WriteSignedFile(const SignedFile& file, std::ostream& out,
                             std::ostream& err) {
  if (!file.path.empty()) {
    RETURN_IF_ERROR(WriteFileAtomic(file.path, AsBytes(file.content)));
  }
  const std::string nonce = ToHex(AsBytes(file.nonce));
  std::ostream& text = file.path.empty() ? err : out;
  if (file.json) {
    text << nlohmann::json{{"vm", file.vm},
                           {"nonce", nonce},
                           {"file", file.path},
                           {"bytes", file.content.size()}}
                .dump()
         << std::endl;
  } else {
    text << fmt::format("nonce: {}\n", nonce);
    if (!file.path.empty()) {
      text << fmt::format("{}: {} ({} bytes)\n", file.what, file.path,
                          file.content.size());
    }
  }
  if (file.path.empty()) {
    out.write(file.content.data(),
              static_cast<std::streamsize>(file.content.size()));
  }
  out.flush();
  return out.good() ? absl::OkStatus()
                    : absl::UnavailableError("standard output is closed");
}

}  // namespace vmattest::cli
