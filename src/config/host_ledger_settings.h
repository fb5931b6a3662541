#ifndef VMATTEST_CONFIG_HOST_LEDGER_SETTINGS_H_
#define VMATTEST_CONFIG_HOST_LEDGER_SETTINGS_H_

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/verification_settings.h"

// What vmattestd is told of the trust ledger it writes to. What each key means
// and its default: docs/configuration.md.

namespace vmattest::config {

struct HostLedgerSettings {
  std::string origin;
  // Its nodes, HOST:PORT; none: this daemon keeps the ledger itself.
  std::vector<std::string> nodes;
  std::optional<HostTls> tls;  // with `nodes`
  std::string server_name;     // empty: the address's host
  bool one_home = true;        // rule S20
  std::chrono::hours home_lasts{0};
  std::chrono::seconds batch_interval{0};
  uint32_t max_queued = 0;
  // tlog-policy: whose cosignatures its own ledger asks for, or which
  // checkpoints of a remote one it believes.
  std::optional<std::filesystem::path> policy;
  // Of a ledger of its own.
  std::string owner;                  // of VMs that it registers
  std::filesystem::path authorities;  // empty: none beside this host's own
  std::filesystem::path owners;
};

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_HOST_LEDGER_SETTINGS_H_
