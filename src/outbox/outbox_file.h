#ifndef VMATTEST_OUTBOX_OUTBOX_FILE_H_
#define VMATTEST_OUTBOX_OUTBOX_FILE_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "base/uuid.h"
#include "sqlite/database.h"
#include "vmattest/v1/ledger_entry.pb.h"

namespace vmattest::outbox {

// What one host has to write to the ledger, in an SQLite file (write-ahead
// log, synchronous=FULL): what a call changed is on disk when it returns.
// Callable from any thread; one at a time gets in.
//
//   waits -> signed -> committed -> gone, once it is witnessed
//        <- signed anew |
//                       -> refused: kept for people to see, the newest 1,000
class OutboxFile {
 public:
  // For the ledger of that name: what waits in a file that was for another one
  // goes to this one now, and what that one had is its own matter. Errors as
  // ledger::SqliteLogStore::Open.
  static absl::StatusOr<std::unique_ptr<OutboxFile>> Open(
      const std::filesystem::path& path, const std::string& origin);

  struct Queued {
    int64_t id = 0;
    int64_t time_ms = 0;       // of what it tells
    v1::LedgerEntryBody body;  // the `what` alone
    // Once it is signed.
    uint64_t sequence = 0;
    Bytes hash;
    Bytes entry;
  };
  absl::StatusOr<int64_t> Add(int64_t time_ms, const v1::LedgerEntryBody& body);
  // The oldest that is not committed and not refused.
  absl::StatusOr<std::optional<Queued>> Oldest();
  // The newest that is not signed yet and says `what`; about `vm` if given
  // (the entry's `vm_id`).
  absl::StatusOr<std::optional<Queued>> NewestUnsigned(
      v1::LedgerEntryBody::WhatCase what, const Uuid* vm = nullptr);
  // NOT_FOUND: it is signed by now.
  absl::Status Replace(int64_t id, int64_t time_ms,
                       const v1::LedgerEntryBody& body);

  absl::Status Sign(const Queued& queued);
  absl::Status Unsign(int64_t id);
  absl::Status Commit(int64_t id, uint64_t index);
  absl::Status Refuse(int64_t id, const std::string& why);

  struct Written {
    uint64_t sequence = 0;
    Bytes hash;
  };
  // The newest that was committed; sequence 0: none ever was.
  absl::StatusOr<Written> LastCommitted();
  // The newest that was witnessed, and is not here any more.
  absl::StatusOr<Written> LastWitnessed();
  // That of `sequence`, if it is still here.
  absl::StatusOr<std::optional<Written>> FindCommitted(uint64_t sequence);
  // The ledger lost what came after `sequence`: it waits again, signed.
  absl::StatusOr<uint64_t> Uncommit(uint64_t sequence);
  // Of the ledger's word alone: it had them, or has lost them.
  absl::Status Adopt(const Written& last);
  // Takes away what is committed below record `witnessed`.
  absl::Status Forget(uint64_t witnessed);

  struct Counts {
    uint64_t waiting = 0;  // not committed
    int64_t oldest_ms = 0;
    uint64_t unwitnessed = 0;  // committed
    uint64_t refused = 0;      // ever
    std::string last_refusal;
  };
  absl::StatusOr<Counts> Count();

  // What the ledger said of a VM's home, signed (outbox/homes.h).
  struct Home {
    std::string host;
    uint64_t epoch = 0;
    int64_t as_of_ms = 0;
    Bytes signature;
  };
  absl::Status PutHome(const Uuid& vm, const Home& home);
  absl::Status DropHome(const Uuid& vm);
  absl::StatusOr<std::optional<Home>> FindHome(const Uuid& vm);
  // One that is older than `before_ms`, the oldest.
  absl::StatusOr<std::optional<Uuid>> OldestHome(int64_t before_ms);

 private:
  explicit OutboxFile(sqlite::Database database)
      : database_(std::move(database)) {}
  absl::Status Prepare() REQUIRES_LOCK(mutex_);
  absl::Status BeFor(const std::string& origin) REQUIRES_LOCK(mutex_);
  absl::Status AdoptLocked(const Written& last) REQUIRES_LOCK(mutex_);
  absl::StatusOr<std::optional<Queued>> Read(sqlite::Query& query)
      REQUIRES_LOCK(mutex_);
  absl::StatusOr<Written> Fact(const char* name) REQUIRES_LOCK(mutex_);
  absl::Status SetFact(const char* name, const Written& written)
      REQUIRES_LOCK(mutex_);

  Mutex mutex_;
  sqlite::Database database_ GUARDED_BY(mutex_);
  struct Statements {
    sqlite::StatementHandle add, oldest, newest, newest_of, replace, sign,
        unsign, commit, refuse, trim, find, uncommit, forget, last_forgotten,
        count, unwitnessed, last_refusal, fact, set_fact, put_home, drop_home,
        home, oldest_home;
  } sql_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::outbox

#endif  // VMATTEST_OUTBOX_OUTBOX_FILE_H_
