#ifndef VMATTEST_VERIFICATION_SQLITE_ROWS_H_
#define VMATTEST_VERIFICATION_SQLITE_ROWS_H_

#include "sqlite/database.h"
#include "verification/verifier_store.h"

// Between rows and values. Reading is DATA_LOSS for what Bind would not have
// written. Of the thread that has the query.

namespace vmattest::verification {

void Bind(sqlite::Query& query, const HostEntry& host);
absl::StatusOr<HostEntry> ReadHost(const sqlite::Query& query);

// Without vm_uuids: they are rows of their own.
void Bind(sqlite::Query& query, const ReferenceEntry& reference);
ReferenceEntry ReadReference(const sqlite::Query& query);

void Bind(sqlite::Query& query, uint64_t sequence,
          const DecisionEntry& decision);
absl::StatusOr<DecisionEntry> ReadDecision(const sqlite::Query& query);

// SQLite's integers have a sign.
int64_t ToInteger(uint64_t value);

}  // namespace vmattest::verification

#endif  // VMATTEST_VERIFICATION_SQLITE_ROWS_H_
