#ifndef VMATTEST_CONFIG_LEDGER_SETTINGS_H_
#define VMATTEST_CONFIG_LEDGER_SETTINGS_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/etcd_settings.h"
#include "config/verification_settings.h"

// What a ledger node is told, wherever it runs. What each key means and its
// default: docs/configuration.md.

namespace vmattest::config {

struct LedgerArchiveSettings {
  std::filesystem::path folder;
  uint64_t keep_records = 0;  // 0: all
  std::vector<std::string> others;
};

struct LedgerSettings {
  std::string origin;
  std::string address;  // empty: nobody is sent here
  std::optional<std::filesystem::path> policy;
  std::filesystem::path authorities;  // empty: none
  std::filesystem::path owners;
  std::optional<HostTls> witness_tls;
  std::optional<EtcdSettings> etcd;  // else a file of the node's own
  std::optional<LedgerArchiveSettings> archive;
};

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_LEDGER_SETTINGS_H_
