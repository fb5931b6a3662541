#ifndef VMATTEST_CONFIG_VERIFIERD_CONFIG_H_
#define VMATTEST_CONFIG_VERIFIERD_CONFIG_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/status.h"
#include "config/etcd_settings.h"
#include "config/layers.h"
#include "config/ledger_settings.h"
#include "config/tcp_listener.h"
#include "config/verification_settings.h"

// vmattest-verifierd's configuration, checked. What each key means and its
// default: docs/configuration.md.

namespace vmattest::config {

// Immutable once loaded: hand it around as const.
struct VerifierdConfig {
  std::filesystem::path state_dir;
  std::string log_level;
  std::filesystem::path admin_socket;
  std::optional<TcpListener> tcp;
  bool reflection = true;
  VerificationSettings verification;
  std::optional<EtcdSettings> etcd;  // of the store; else a file in state_dir
  std::optional<LedgerSettings> ledger;  // a ledger node
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
