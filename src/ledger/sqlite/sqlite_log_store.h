#ifndef VMATTEST_LEDGER_SQLITE_SQLITE_LOG_STORE_H_
#define VMATTEST_LEDGER_SQLITE_SQLITE_LOG_STORE_H_

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/handles.h"
#include "base/mutex.h"
#include "ledger/log_store.h"
#include "sqlite/database.h"

namespace vmattest::ledger {

// One prepared statement for each thing that the store does.
struct SqliteLogStatements {
  sqlite::StatementHandle head;
  sqlite::StatementHandle put_head;
  sqlite::StatementHandle put_record;
  sqlite::StatementHandle records;
  sqlite::StatementHandle put_tile;
  sqlite::StatementHandle tile;
  sqlite::StatementHandle put_checkpoint;
  sqlite::StatementHandle checkpoint;
  sqlite::StatementHandle put_state;
  sqlite::StatementHandle drop_state;
  sqlite::StatementHandle state;
  sqlite::StatementHandle put_state_size;
  sqlite::StatementHandle mark_archived;
  sqlite::StatementHandle archived;
  sqlite::StatementHandle trim;
  sqlite::StatementHandle put_first;
};

// The log in one SQLite file: write-ahead log, synchronous=FULL. One process
// has it open at a time, and so leads. Callable from any thread; one at a time
// gets in.
class SqliteLogStore final : public LogStore {
 public:
  // Creates the file, or brings one of an older version up to date.
  //   DATA_LOSS            damaged, or not a vmattest ledger
  //   FAILED_PRECONDITION  on a network file system, written by a newer
  //                        version, or SQLite refuses a setting that
  //                        durability needs
  //   UNAVAILABLE          another process has it open
  //   PERMISSION_DENIED, NOT_FOUND
  static absl::StatusOr<std::unique_ptr<SqliteLogStore>> Open(
      const std::filesystem::path& path);

  absl::StatusOr<LogHead> Head() override;
  absl::StatusOr<LogHead> WaitForHead(
      uint64_t seen_size,
      std::chrono::steady_clock::time_point deadline) override;
  absl::StatusOr<Leadership> Lead(const std::string& self) override;
  absl::Status Resign() override;
  [[nodiscard]] std::chrono::milliseconds LeaseInterval() const override {
    return std::chrono::minutes(1);
  }
  absl::Status Append(const LogBatch& batch) override;
  absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin,
                                             size_t limit) override;
  absl::StatusOr<HashTile> Tile(uint32_t level, uint64_t index) override;
  absl::Status PutCheckpoint(const StoredCheckpoint& checkpoint) override;
  absl::StatusOr<std::optional<StoredCheckpoint>> Checkpoint() override;
  absl::Status PutState(uint64_t seen_size, uint64_t size,
                        const std::vector<StateItem>& items) override;
  absl::StatusOr<uint64_t> StateSize() override;
  absl::StatusOr<std::vector<StateItem>> State(const std::string& after,
                                               size_t limit) override;
  absl::Status MarkArchived(const std::string& node, uint64_t size) override;
  absl::Status Trim(uint64_t before,
                    const std::vector<std::string>& archives) override;
  absl::StatusOr<uint64_t> FirstRecord() override;

 private:
  struct Row {
    LogHead head;
    uint64_t first_record = 0;
    uint64_t state_size = 0;
  };
  SqliteLogStore(UniqueFd lock, sqlite::Database database)
      : lock_(std::move(lock)), database_(std::move(database)) {}
  absl::StatusOr<Row> ReadRow() REQUIRES_LOCK(mutex_);
  absl::Status WriteBatch(const LogBatch& batch) REQUIRES_LOCK(mutex_);

  UniqueFd lock_;
  Mutex mutex_;
  CondVar grown_;
  sqlite::Database database_ GUARDED_BY(mutex_);
  // Destroyed before the database that they belong to.
  SqliteLogStatements statements_ GUARDED_BY(mutex_);
  std::string leader_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_SQLITE_SQLITE_LOG_STORE_H_
