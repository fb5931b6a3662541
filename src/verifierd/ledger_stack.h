#ifndef VMATTEST_VERIFIERD_LEDGER_STACK_H_
#define VMATTEST_VERIFIERD_LEDGER_STACK_H_

#include <filesystem>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "config/verifierd_config.h"
#include "document/document.h"
#include "ledger/node.h"
#include "ops/metrics.h"

namespace vmattest::verifierd {

// A ledger node over SQLite from its configuration. In `folder`: ledger.db,
// ledger-node.db (what it signed), ledger-witness.db (what it cosigned),
// ledger-key.pem, ledger-witness.seed and, where there is ML-DSA,
// ledger-log.ml-dsa and ledger-witness.ml-dsa; ledger.policy, which names their
// public keys for who must believe them. Missing ones are made. Replays the
// log. Main thread; errors name the file or key.
absl::StatusOr<std::unique_ptr<ledger::LedgerNode>> OpenLedgerNode(
    const std::filesystem::path& folder, const config::LedgerSettings& settings,
    const document::PublicKey& authority, size_t max_watchers,
    Executor& checkers, const Clock& clock);

// What docs/metrics.md lists of a ledger node.
std::vector<ops::Metric> ToMetrics(const ledger::LedgerNode& node);

}  // namespace vmattest::verifierd

#endif  // VMATTEST_VERIFIERD_LEDGER_STACK_H_
