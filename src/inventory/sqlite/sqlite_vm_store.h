#ifndef VMATTEST_INVENTORY_SQLITE_SQLITE_VM_STORE_H_
#define VMATTEST_INVENTORY_SQLITE_SQLITE_VM_STORE_H_

#include <filesystem>
#include <memory>

#include "base/mutex.h"
#include "inventory/vm_store.h"
#include "sqlite/database.h"

namespace vmattest::inventory {

// The inventory in one SQLite file: write-ahead log, synchronous=FULL, so what
// was acknowledged survives a crash of process and machine
// (docs/adr/2026-11-21-sqlite-inventory.md). Callable from any thread; one at
// a time gets in.
class SqliteVmStore final : public VmStore {
 public:
  // Creates the file, or brings one of an older version up to date.
  //   DATA_LOSS            damaged, or not a vmattest inventory
  //   FAILED_PRECONDITION  written by a newer version, or SQLite refuses a
  //                        setting that durability needs
  //   PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE (locked by somebody else)
  static absl::StatusOr<std::unique_ptr<SqliteVmStore>> Open(
      const std::filesystem::path& path);

  absl::StatusOr<uint64_t> Record(const VmRecord& vm,
                                  const EventRecord& event) override;
  absl::StatusOr<std::optional<VmRecord>> Find(const Uuid& uuid) override;
  absl::StatusOr<std::vector<VmRecord>> List(const std::optional<Uuid>& after,
                                             size_t limit) override;
  absl::StatusOr<std::vector<EventRecord>> Events(uint64_t after_sequence,
                                                  size_t limit) override;
  absl::StatusOr<uint64_t> LastSequence() override;
  absl::StatusOr<SecretBytes> Salt(const Uuid& uuid) override;
  absl::Status Trim(size_t keep) override;

 private:
  explicit SqliteVmStore(sqlite::Database database)
      : database_(std::move(database)) {}
  absl::Status Prepare();
  absl::StatusOr<uint64_t> NextSequence() REQUIRES_LOCK(mutex_);

  Mutex mutex_;
  sqlite::Database database_ GUARDED_BY(mutex_);
  // Destroyed before the database that they belong to.
  sqlite::StatementHandle put_vm_ GUARDED_BY(mutex_);
  sqlite::StatementHandle add_event_ GUARDED_BY(mutex_);
  sqlite::StatementHandle next_sequence_ GUARDED_BY(mutex_);
  sqlite::StatementHandle last_sequence_ GUARDED_BY(mutex_);
  sqlite::StatementHandle find_vm_ GUARDED_BY(mutex_);
  sqlite::StatementHandle list_vms_ GUARDED_BY(mutex_);
  sqlite::StatementHandle list_events_ GUARDED_BY(mutex_);
  sqlite::StatementHandle find_salt_ GUARDED_BY(mutex_);
  sqlite::StatementHandle add_salt_ GUARDED_BY(mutex_);
  sqlite::StatementHandle trim_events_ GUARDED_BY(mutex_);
  sqlite::StatementHandle trim_vms_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::inventory

#endif  // VMATTEST_INVENTORY_SQLITE_SQLITE_VM_STORE_H_
