#ifndef VMATTEST_CONFIG_VERIFIERD_CONFIG_H_
#define VMATTEST_CONFIG_VERIFIERD_CONFIG_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/uuid.h"
#include "config/layers.h"

// vmattest-verifierd's configuration, checked. What each key means and its
// default: docs/configuration.md.

namespace vmattest::config {

struct RoleGrant {
  std::string identity;  // URI SAN of the client's certificate
  std::string role;      // "host", "customer", "auditor", "operator"
  bool all_vms = false;
  std::vector<Uuid> vms;  // none for a host
};

struct RoleListener {
  std::string address;  // host:port
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path client_ca;
  std::vector<RoleGrant> clients;
};

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

// The verifier itself, wherever it runs.
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

// Immutable once loaded: hand it around as const.
struct VerifierdConfig {
  std::filesystem::path state_dir;
  std::string log_level;
  std::filesystem::path admin_socket;
  std::optional<RoleListener> tcp;
  bool reflection = true;
  VerificationSettings verification;
  std::optional<std::string> metrics_address;
  uint32_t request_threads = 0;
  uint32_t max_queued_requests = 0;
  uint32_t max_watchers = 0;
  uint32_t watcher_lag = 0;
  uint32_t max_message_bytes = 0;
};

// Defaults, then `file`, then the *.yaml of `verifierd.conf.d` beside it in the
// order of their names, then variables such as
// VMATTEST_VERIFIERD_METRICS__ADDRESS. Errors as LoadDaemonConfig.
absl::StatusOr<VerifierdConfig> LoadVerifierdConfig(
    const std::filesystem::path& file, const Environment& environment);

// The same as text, after all merging, for --check-config.
absl::StatusOr<std::string> EffectiveVerifierdConfig(
    const std::filesystem::path& file, const Environment& environment);

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_VERIFIERD_CONFIG_H_
