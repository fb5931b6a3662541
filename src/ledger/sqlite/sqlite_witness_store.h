#ifndef VMATTEST_LEDGER_SQLITE_SQLITE_WITNESS_STORE_H_
#define VMATTEST_LEDGER_SQLITE_SQLITE_WITNESS_STORE_H_

#include <filesystem>
#include <memory>
#include <utility>

#include "base/mutex.h"
#include "sqlite/database.h"
#include "tlog/witness.h"

namespace vmattest::ledger {

// A witness' memory in an SQLite file: durable before it answers. Callable
// from any thread; one at a time gets in.
class SqliteWitnessStore final : public tlog::WitnessStore {
 public:
  // Errors as SqliteLogStore::Open.
  static absl::StatusOr<std::unique_ptr<SqliteWitnessStore>> Open(
      const std::filesystem::path& path);
  absl::StatusOr<Seen> Find(const std::string& origin) override;
  absl::Status Replace(const std::string& origin, const Seen& before,
                       const Seen& after) override;

 private:
  explicit SqliteWitnessStore(sqlite::Database database)
      : database_(std::move(database)) {}
  absl::StatusOr<Seen> FindLocked(const std::string& origin)
      REQUIRES_LOCK(mutex_);

  Mutex mutex_;
  sqlite::Database database_ GUARDED_BY(mutex_);
  sqlite::StatementHandle find_ GUARDED_BY(mutex_);
  sqlite::StatementHandle put_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_SQLITE_SQLITE_WITNESS_STORE_H_
