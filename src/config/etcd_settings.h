#ifndef VMATTEST_CONFIG_ETCD_SETTINGS_H_
#define VMATTEST_CONFIG_ETCD_SETTINGS_H_

#include <filesystem>
#include <string>
#include <vector>

// An etcd cluster, and as whom it is used. What each key means:
// docs/configuration.md.

namespace vmattest::config {

struct EtcdSettings {
  std::vector<std::string> endpoints;  // at least one
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path ca;
  std::string server_name;
  std::string prefix;
  bool allow_unsafe_version = false;
  friend bool operator==(const EtcdSettings&, const EtcdSettings&) = default;
};

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_ETCD_SETTINGS_H_
