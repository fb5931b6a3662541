#ifndef VMATTEST_CONFIG_VERIFICATION_SETTINGS_H_
#define VMATTEST_CONFIG_VERIFICATION_SETTINGS_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

// What a verifier is told, wherever it runs. What each key means and its
// default: docs/configuration.md.

namespace vmattest::config {

struct HostTls {
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path ca;
};

struct WebhookSettings {
  std::string url;
  std::filesystem::path secret_file;
  std::optional<std::filesystem::path> ca;
  bool refused_only = false;
};

struct VerificationSettings {
  std::filesystem::path ek_roots;
  std::filesystem::path approvers;
  bool post_quantum = true;  // where this process can
  std::string module;
  std::chrono::seconds evidence_max_age{300};
  std::map<std::string, std::string> hosts;  // host id -> address
  std::optional<HostTls> host_tls;
  std::optional<WebhookSettings> webhook;
  uint32_t keep_decisions = 0;
  uint32_t keep_evidence = 0;
};

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_VERIFICATION_SETTINGS_H_
