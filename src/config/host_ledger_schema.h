#ifndef VMATTEST_CONFIG_HOST_LEDGER_SCHEMA_H_
#define VMATTEST_CONFIG_HOST_LEDGER_SCHEMA_H_

#include <optional>

#include "config/host_ledger_settings.h"
#include "config/key_checks.h"
#include "vmattest/v1/config.pb.h"

// The section `ledger` of vmattestd's file. Errors as KeyChecks. Pure.

namespace vmattest::config {

void SetHostLedgerDefaults(v1::HostLedgerConfig& ledger);
// `gated`: "auto" makes of a host without nodes one with a ledger of its own.
// None: off.
absl::StatusOr<std::optional<HostLedgerSettings>> CheckHostLedger(
    const v1::HostLedgerConfig& ledger, bool gated, const KeyChecks& checks);

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_HOST_LEDGER_SCHEMA_H_
