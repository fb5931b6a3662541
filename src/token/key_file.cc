#include "token/key_file.h"

#include "base/file.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace vmattest::token {
namespace {

absl::StatusOr<std::vector<VerificationKey>> ParseAny(std::string_view text) {
  if (text.find("-----BEGIN ") != std::string_view::npos) {
    ASSIGN_OR_RETURN(EcPublicKey key, ParseP256Pem(text));
    return std::vector{VerificationKey::FromEc(std::move(key))};
  }
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_object() && json.contains("keys")) {
    return ParseJwkSet(text);
  }
  ASSIGN_OR_RETURN(VerificationKey key, VerificationKey::FromJwk(text));
  return std::vector{std::move(key)};
}

}  // namespace

absl::StatusOr<std::vector<VerificationKey>> ParseKeyFile(
    std::string_view text) {
  absl::StatusOr<std::vector<VerificationKey>> keys =
      text.size() > kMaxJwkSetSize
          ? absl::InvalidArgumentError("too large for keys")
          : ParseAny(text);
  if (absl::IsUnimplemented(keys.status()) ||
      absl::IsUnavailable(keys.status()) || (keys.ok() && keys->empty())) {
    return absl::InvalidArgumentError("holds no key that can be used here");
  }
  return keys;
}

absl::StatusOr<std::vector<VerificationKey>> LoadKeyFile(
    const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMaxJwkSetSize));
  ASSIGN_OR_RETURN_WITH(std::vector<VerificationKey> keys,
                        ParseKeyFile(AsText(bytes)), path.string());
  return keys;
}

}  // namespace vmattest::token
