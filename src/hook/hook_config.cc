#include "hook/hook_config.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/file.h"
#include "crypto/ec_private_key.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace vmattest::hook {
namespace {

using nlohmann::json;

constexpr std::string_view kFormat = "vmattest/hook/v1";
constexpr size_t kMaxConfig = 1u << 20;
constexpr int64_t kMaxDeadlineMs = 3'600'000;

absl::Status Wrong(std::string_view key, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{}: {}", key, why));
}

absl::Status CheckKeys(const json& file) {
  static const std::set<std::string> kKnown = {
      "format",   "socket",        "deadline_ms", "when_unavailable",
      "gate_key", "verifier_keys", "host_id",     "accept"};
  for (const auto& item : file.items()) {
    if (!kKnown.contains(item.key())) {
      return Wrong(item.key(), "not a key of this file");
    }
  }
  for (const char* key : {"format", "socket", "when_unavailable", "gate_key"}) {
    if (!file.contains(key) || !file[key].is_string()) {
      return Wrong(key, "must be a text");
    }
  }
  return file["format"] == kFormat
             ? absl::OkStatus()
             : Wrong("format", fmt::format("must be {}", kFormat));
}

absl::Status ParseAccept(const json& file, HookConfig& config) {
  if (!file.contains("accept") || !file["accept"].is_array()) {
    return Wrong("accept", "must be a list");
  }
  for (const json& item : file["accept"]) {
    const auto basis = gate::ParseBasis(
        item.is_string() ? item.get_ref<const std::string&>() : std::string());
    if (!basis || *basis == gate::Basis::kNone) {
      return Wrong("accept", "has an element that is no basis");
    }
    config.accept.insert(*basis);
  }
  // Without these two nothing could ever be told or begun.
  config.accept.insert(gate::Basis::kDeferred);
  config.accept.insert(gate::Basis::kNotGated);
  return absl::OkStatus();
}

absl::Status ParseVerifierKeys(const json& file, HookConfig& config) {
  if (!file.contains("verifier_keys") || !file["verifier_keys"].is_array()) {
    return Wrong("verifier_keys", "must be a list of JWKs");
  }
  for (const json& item : file["verifier_keys"]) {
    ASSIGN_OR_RETURN_WITH(token::VerificationKey key,
                          token::VerificationKey::FromJwk(item.dump(
                              -1, ' ', false, json::error_handler_t::replace)),
                          "verifier_keys");
    config.verifier_keys.push_back(std::move(key));
  }
  return absl::OkStatus();
}

absl::Status CheckOwned(const std::filesystem::path& path, uid_t owner) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    return ErrnoStatus(errno, path.string());
  }
  if (status.st_uid != owner || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{} must belong to root and be writable by nobody else",
                    path.string()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HookConfig> ParseHookConfig(std::string_view text) {
  const json file = json::parse(text, nullptr, false);
  if (!file.is_object()) {
    return absl::InvalidArgumentError("not a JSON object");
  }
  RETURN_IF_ERROR(CheckKeys(file));
  HookConfig config;
  config.socket = file["socket"].get<std::string>();
  if (!config.socket.is_absolute()) {
    return Wrong("socket", "must be an absolute path");
  }
  if (!file.contains("deadline_ms") ||
      !file["deadline_ms"].is_number_unsigned() ||
      file["deadline_ms"].get<uint64_t>() > kMaxDeadlineMs) {
    return Wrong("deadline_ms", fmt::format("must be 0 to {}", kMaxDeadlineMs));
  }
  config.deadline =
      std::chrono::milliseconds(file["deadline_ms"].get<int64_t>());
  const auto& unavailable = file["when_unavailable"];
  if (unavailable != "deny" && unavailable != "allow") {
    return Wrong("when_unavailable", "must be deny or allow");
  }
  config.allow_when_unavailable = unavailable == "allow";
  ASSIGN_OR_RETURN_WITH(
      config.gate_key,
      ParseP256Pem(file["gate_key"].get_ref<const std::string&>()), "gate_key");
  if (file.contains("host_id")) {
    if (!file["host_id"].is_string()) {
      return Wrong("host_id", "must be a text");
    }
    config.host_id = file["host_id"].get<std::string>();
  }
  RETURN_IF_ERROR(ParseVerifierKeys(file, config));
  RETURN_IF_ERROR(ParseAccept(file, config));
  return config;
}

absl::StatusOr<HookConfig> LoadHookConfig(const std::filesystem::path& path,
                                          uid_t owner) {
  RETURN_IF_ERROR(CheckOwned(path.parent_path(), owner));
  RETURN_IF_ERROR(CheckOwned(path, owner));
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, kMaxConfig));
  absl::StatusOr<HookConfig> config = ParseHookConfig(AsText(bytes));
  return config.ok() ? std::move(config)
                     : Annotate(config.status(), path.string());
}

std::filesystem::path ConfigPathFor(const std::filesystem::path& program) {
  return program.parent_path().parent_path() / "vmattest-hook.json";
}

}  // namespace vmattest::hook
