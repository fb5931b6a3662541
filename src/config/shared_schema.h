#ifndef VMATTEST_CONFIG_SHARED_SCHEMA_H_
#define VMATTEST_CONFIG_SHARED_SCHEMA_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/etcd_settings.h"
#include "config/key_checks.h"
#include "config/ledger_settings.h"
#include "config/tcp_listener.h"
#include "config/verification_settings.h"
#include "vmattest/v1/config.pb.h"

// The sections that several daemons' files have. Errors as KeyChecks. Pure.

namespace vmattest::config {

// `listen.tcp`, whose clients may have these roles and no other.
absl::StatusOr<TcpListener> CheckTcp(const v1::TcpConfig& tcp,
                                     const std::vector<std::string_view>& roles,
                                     const KeyChecks& checks);

void SetVerificationDefaults(v1::VerificationConfig& verification);
// `verification`.
absl::StatusOr<VerificationSettings> CheckVerification(
    const v1::VerificationConfig& verification, const KeyChecks& checks);

// `key` is where it stands: "store.etcd".
absl::StatusOr<EtcdSettings> CheckEtcd(const v1::EtcdConfig& etcd,
                                       const std::string& key,
                                       const std::string& default_prefix,
                                       const KeyChecks& checks);

// The same of a ledger node's: "ledger".
absl::StatusOr<LedgerSettings> CheckLedger(const v1::LedgerConfig& ledger,
                                           const std::string& key,
                                           const KeyChecks& checks);

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_SHARED_SCHEMA_H_
