#ifndef VMATTEST_CONFIG_KEY_CHECKS_H_
#define VMATTEST_CONFIG_KEY_CHECKS_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/status.h"
#include "config/layers.h"

namespace vmattest::config {

// What the schemas of several daemons ask of their keys. What is wrong is
// INVALID_ARGUMENT "origin: key: why", where origin is the file and line that
// set the key, or "default". Pure; `origins` and `environment` must outlive it.
class KeyChecks {
 public:
  KeyChecks(const Origins& origins, const Environment& environment)
      : origins_(origins), environment_(environment) {}

  // An element or a key that nothing set is blamed on what holds it.
  [[nodiscard]] absl::Status Error(const std::string& key,
                                   std::string_view why) const;
  absl::StatusOr<std::filesystem::path> AbsolutePath(
      const std::string& key, const std::string& text) const;
  // The same, and "${CREDENTIALS_DIRECTORY}" is the folder of systemd's
  // credentials.
  absl::StatusOr<std::filesystem::path> SecretPath(const std::string& key,
                                                   std::string text) const;
  absl::StatusOr<std::filesystem::path> SocketPath(
      const std::string& key, const std::string& text) const;
  [[nodiscard]] absl::Status Range(const std::string& key, uint32_t value,
                                   uint32_t low, uint32_t high) const;
  [[nodiscard]] absl::Status HostPort(const std::string& key,
                                      const std::string& address) const;
  [[nodiscard]] absl::Status LogLevel(const std::string& key,
                                      const std::string& level) const;

 private:
  const Origins& origins_;
  const Environment& environment_;
};

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_KEY_CHECKS_H_
