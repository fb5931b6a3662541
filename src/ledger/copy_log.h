#ifndef VMATTEST_LEDGER_COPY_LOG_H_
#define VMATTEST_LEDGER_COPY_LOG_H_

#include <functional>

#include "ledger/log_store.h"

namespace vmattest::ledger {

// Copies a log into another store, which is empty or has a prefix of it from an
// attempt before: records, tiles, and the newest checkpoint, whose proofs and
// signatures then hold there too. Nobody may append to either meanwhile; who
// copies becomes the leader of `to` and resigns. Blocks.
//   DATA_LOSS            `from` does not give the root that it claims, or `to`
//                        is another log
//   FAILED_PRECONDITION  `from` was trimmed; `to` has another leader
// `progress`: records done, and of how many.
absl::Status CopyLog(LogStore& from, LogStore& to,
                     const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_COPY_LOG_H_
