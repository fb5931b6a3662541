#include "config/key_checks.h"

#include <charconv>
#include <set>

#include "fmt/format.h"

namespace vmattest::config {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxSocketPath = 107;  // sockaddr_un without its NUL
constexpr std::string_view kCredentials = "${CREDENTIALS_DIRECTORY}";

}  // namespace

// An element or a key that nothing set is blamed on what holds it.
absl::Status KeyChecks::Error(const std::string& key,
                              std::string_view why) const {
  std::string origin = "default";
  for (std::string at = key; !at.empty();) {
    if (const auto it = origins_.find(at); it != origins_.end()) {
      origin = it->second;
      break;
    }
    const size_t cut = at.find_last_of(".[");
    at.erase(cut == std::string::npos ? 0 : cut);
  }
  return absl::InvalidArgumentError(
      fmt::format("{}: {}: {}", origin, key, why));
}

absl::StatusOr<fs::path> KeyChecks::AbsolutePath(
    const std::string& key, const std::string& text) const {
  const fs::path path = text;
  if (!path.is_absolute()) {
    return Error(key, fmt::format("must be an absolute path, not '{}'", text));
  }
  return path.lexically_normal();
}

absl::StatusOr<fs::path> KeyChecks::SecretPath(const std::string& key,
                                               std::string text) const {
  if (text.rfind(kCredentials, 0) == 0) {
    const auto it = environment_.find("CREDENTIALS_DIRECTORY");
    if (it == environment_.end()) {
      return Error(key,
                   "systemd gave no credentials: ${CREDENTIALS_DIRECTORY} "
                   "is not set");
    }
    text = it->second + text.substr(kCredentials.size());
  }
  return AbsolutePath(key, text);
}

absl::StatusOr<fs::path> KeyChecks::SocketPath(const std::string& key,
                                               const std::string& text) const {
  ASSIGN_OR_RETURN(fs::path path, AbsolutePath(key, text));
  if (path.string().size() > kMaxSocketPath) {
    return Error(key, fmt::format("a socket's path has at most {} bytes, "
                                  "this one {}",
                                  kMaxSocketPath, path.string().size()));
  }
  return path;
}

absl::Status KeyChecks::Range(const std::string& key, uint32_t value,
                              uint32_t low, uint32_t high) const {
  if (value < low || value > high) {
    return Error(
        key, fmt::format("must be from {} to {}, not {}", low, high, value));
  }
  return absl::OkStatus();
}

absl::Status KeyChecks::HostPort(const std::string& key,
                                 const std::string& address) const {
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (colon != std::string::npos && colon > 0) {
    const char* end = address.data() + address.size();
    const auto [rest, error] =
        std::from_chars(address.data() + colon + 1, end, port);
    if (rest == end && error == std::errc() && port > 0 && port < 65536) {
      return absl::OkStatus();
    }
  }
  return Error(key, fmt::format("must be HOST:PORT, not '{}'", address));
}

absl::Status KeyChecks::LogLevel(const std::string& key,
                                 const std::string& level) const {
  static const std::set<std::string> kLevels = {"debug", "info", "warning",
                                                "error"};
  if (!kLevels.contains(level)) {
    return Error(key, "must be debug, info, warning or error");
  }
  return absl::OkStatus();
}

}  // namespace vmattest::config
