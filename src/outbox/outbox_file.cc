#include "outbox/outbox_file.h"

#include <array>
#include <utility>

#include "fmt/format.h"
#include "sqlite/local_file_system.h"
#include "sqlite/schema.h"
#include "wire/messages.h"

namespace vmattest::outbox {
namespace {

// "VMAO": tells our files from other people's.
constexpr int kApplicationId = 0x564D414F;

constexpr std::array<const char*, 1> kSteps = {R"sql(
CREATE TABLE entry(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  state INTEGER NOT NULL,
  what INTEGER NOT NULL,
  vm BLOB NOT NULL,
  time_ms INTEGER NOT NULL,
  body BLOB NOT NULL,
  sequence INTEGER NOT NULL DEFAULT 0,
  hash BLOB NOT NULL DEFAULT x'',
  entry BLOB NOT NULL DEFAULT x'',
  ledger_index INTEGER NOT NULL DEFAULT 0,
  refusal TEXT NOT NULL DEFAULT '') STRICT;
CREATE INDEX entry_by_state ON entry(state, id);
CREATE TABLE fact(
  name TEXT PRIMARY KEY,
  sequence INTEGER NOT NULL,
  hash BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE home(
  vm BLOB PRIMARY KEY,
  host TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  as_of_ms INTEGER NOT NULL,
  signature BLOB NOT NULL) STRICT, WITHOUT ROWID;
)sql"};

// Of the column `state`: stored.
constexpr int64_t kWaits = 0;
constexpr int64_t kSigned = 1;
constexpr int64_t kCommitted = 2;
constexpr int64_t kRefused = 3;
constexpr int64_t kKeptRefusals = 1'000;
constexpr const char* kCommittedFact = "committed";
constexpr const char* kWitnessedFact = "witnessed";
constexpr const char* kRefusedFact = "refused";
constexpr const char* kOriginFact = "origin";

// The VM of entries that are about one.
const std::string& VmField(const v1::LedgerEntryBody& body) {
  static const std::string& none = *new std::string();
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kLaunchDecision:
      return body.launch_decision().vm_id();
    case v1::LedgerEntryBody::kAttestResult:
      return body.attest_result().vm_id();
    case v1::LedgerEntryBody::kNotice:
      return body.notice().vm_id();
    default:
      return none;
  }
}

ByteView View(const Uuid& vm) { return vm.bytes; }

}  // namespace

absl::StatusOr<std::unique_ptr<OutboxFile>> OutboxFile::Open(
    const std::filesystem::path& path, const std::string& origin) {
  const std::string clause = fmt::format("outbox {}", path.string());
  RETURN_IF_ERROR_WITH(sqlite::RequireLocalFileSystem(path), clause);
  ASSIGN_OR_RETURN(sqlite::Database database,
                   sqlite::Database::Open(path, "outbox"));
  RETURN_IF_ERROR_WITH(
      sqlite::PrepareSchema(database, {.application_id = kApplicationId,
                                       .steps = kSteps,
                                       .name = "outbox"}),
      clause);
  std::unique_ptr<OutboxFile> file(new OutboxFile(std::move(database)));
  const MutexLock opening(file->mutex_);
  RETURN_IF_ERROR_WITH(file->Prepare(), clause);
  RETURN_IF_ERROR_WITH(file->BeFor(origin), clause);
  return file;
}

absl::Status OutboxFile::BeFor(const std::string& origin) {
  const Bytes name = ToBytes(origin);
  ASSIGN_OR_RETURN(const Written before, Fact(kOriginFact));
  if (before.hash == name) {
    return absl::OkStatus();
  }
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  if (!before.hash.empty()) {
    RETURN_IF_ERROR(AdoptLocked({}));
    RETURN_IF_ERROR(database_.Run("DELETE FROM home"));
  }
  RETURN_IF_ERROR(SetFact(kOriginFact, {.sequence = 0, .hash = name}));
  return transaction.Commit();
}

absl::Status OutboxFile::Prepare() {
  const std::pair<sqlite::StatementHandle*, const char*> statements[] = {
      {&sql_.add,
       "INSERT INTO entry(state, what, vm, time_ms, body) VALUES(0,?,?,?,?) "
       "RETURNING id"},
      {&sql_.oldest,
       "SELECT id, time_ms, body, sequence, hash, entry FROM entry "
       "WHERE state IN (0, 1) ORDER BY id LIMIT 1"},
      {&sql_.newest,
       "SELECT id, time_ms, body, sequence, hash, entry FROM entry "
       "WHERE state=0 AND what=? ORDER BY id DESC LIMIT 1"},
      {&sql_.newest_of,
       "SELECT id, time_ms, body, sequence, hash, entry FROM entry "
       "WHERE state=0 AND what=? AND vm=? ORDER BY id DESC LIMIT 1"},
      {&sql_.replace,
       "UPDATE entry SET time_ms=?, body=? WHERE id=? AND state=0 "
       "RETURNING id"},
      {&sql_.sign,
       "UPDATE entry SET state=1, sequence=?, hash=?, entry=? WHERE id=?"},
      {&sql_.unsign,
       "UPDATE entry SET state=0, sequence=0, hash=x'', entry=x'' WHERE id=?"},
      {&sql_.commit,
       "UPDATE entry SET state=2, ledger_index=? WHERE id=? "
       "RETURNING sequence, hash"},
      {&sql_.refuse, "UPDATE entry SET state=3, refusal=? WHERE id=?"},
      {&sql_.trim,
       "DELETE FROM entry WHERE state=3 AND id NOT IN (SELECT id FROM entry "
       "WHERE state=3 ORDER BY id DESC LIMIT ?)"},
      {&sql_.find,
       "SELECT sequence, hash FROM entry WHERE state=2 AND "
       "sequence=?"},
      {&sql_.uncommit,
       "UPDATE entry SET state=1, ledger_index=0 WHERE state=2 AND sequence>? "
       "RETURNING id"},
      {&sql_.last_forgotten,
       "SELECT sequence, hash FROM entry WHERE state=2 AND ledger_index<? "
       "ORDER BY sequence DESC LIMIT 1"},
      {&sql_.forget, "DELETE FROM entry WHERE state=2 AND ledger_index<?"},
      {&sql_.count,
       "SELECT count(*), coalesce(min(time_ms), 0) FROM entry "
       "WHERE state IN (0, 1)"},
      {&sql_.unwitnessed, "SELECT count(*) FROM entry WHERE state=2"},
      {&sql_.last_refusal,
       "SELECT refusal FROM entry WHERE state=3 ORDER BY id DESC LIMIT 1"},
      {&sql_.fact, "SELECT sequence, hash FROM fact WHERE name=?"},
      {&sql_.set_fact, "INSERT OR REPLACE INTO fact VALUES(?,?,?)"},
      {&sql_.put_home, "INSERT OR REPLACE INTO home VALUES(?,?,?,?,?)"},
      {&sql_.drop_home, "DELETE FROM home WHERE vm=?"},
      {&sql_.home,
       "SELECT host, epoch, as_of_ms, signature FROM home WHERE vm=?"},
      {&sql_.oldest_home,
       "SELECT vm FROM home WHERE as_of_ms<? ORDER BY as_of_ms LIMIT 1"}};
  for (const auto& [handle, text] : statements) {
    ASSIGN_OR_RETURN(*handle, database_.Prepare(text));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> OutboxFile::Add(int64_t time_ms,
                                        const v1::LedgerEntryBody& body) {
  const Bytes bytes = wire::Serialize(body);
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(sql_.add);
  ASSIGN_OR_RETURN(const bool row, query.Bind(int64_t{body.what_case()})
                                       .Bind(AsBytes(VmField(body)))
                                       .Bind(time_ms)
                                       .Bind(ByteView(bytes))
                                       .Step());
  if (!row) {
    return absl::InternalError("outbox: nothing was added");
  }
  const int64_t id = query.Integer(0);
  RETURN_IF_ERROR(query.Step().status());  // the statement's end commits
  return id;
}

absl::StatusOr<std::optional<OutboxFile::Queued>> OutboxFile::Read(
    sqlite::Query& query) {
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) {
    return std::nullopt;
  }
  Queued queued{.id = query.Integer(0),
                .time_ms = query.Integer(1),
                .sequence = static_cast<uint64_t>(query.Integer(3)),
                .hash = query.Blob(4),
                .entry = query.Blob(5)};
  const Bytes body = query.Blob(2);
  if (!queued.body.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return absl::DataLossError(
        fmt::format("outbox: entry {} is damaged", queued.id));
  }
  return queued;
}

absl::StatusOr<std::optional<OutboxFile::Queued>> OutboxFile::Oldest() {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(sql_.oldest);
  return Read(query);
}

absl::StatusOr<std::optional<OutboxFile::Queued>> OutboxFile::NewestUnsigned(
    v1::LedgerEntryBody::WhatCase what, const Uuid* vm) {
  const MutexLock lock(mutex_);
  sqlite::Query query =
      database_.Execute(vm == nullptr ? sql_.newest : sql_.newest_of);
  query.Bind(int64_t{what});
  if (vm != nullptr) {
    query.Bind(View(*vm));
  }
  return Read(query);
}

absl::Status OutboxFile::Replace(int64_t id, int64_t time_ms,
                                 const v1::LedgerEntryBody& body) {
  const Bytes bytes = wire::Serialize(body);
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(sql_.replace);
  ASSIGN_OR_RETURN(const bool row,
                   query.Bind(time_ms).Bind(ByteView(bytes)).Bind(id).Step());
  return row ? query.Step().status()
             : absl::NotFoundError("outbox: the entry is signed");
}

absl::Status OutboxFile::Sign(const Queued& queued) {
  const MutexLock lock(mutex_);
  return database_.Execute(sql_.sign)
      .Bind(static_cast<int64_t>(queued.sequence))
      .Bind(ByteView(queued.hash))
      .Bind(ByteView(queued.entry))
      .Bind(queued.id)
      .Run();
}

absl::Status OutboxFile::Unsign(int64_t id) {
  const MutexLock lock(mutex_);
  return database_.Execute(sql_.unsign).Bind(id).Run();
}

absl::Status OutboxFile::Commit(int64_t id, uint64_t index) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  Written last;
  {
    sqlite::Query query = database_.Execute(sql_.commit);
    ASSIGN_OR_RETURN(const bool row,
                     query.Bind(static_cast<int64_t>(index)).Bind(id).Step());
    if (!row) {
      return absl::InternalError("outbox: no such entry");
    }
    last = {static_cast<uint64_t>(query.Integer(0)), query.Blob(1)};
  }
  RETURN_IF_ERROR(SetFact(kCommittedFact, last));
  return transaction.Commit();
}

absl::Status OutboxFile::Refuse(int64_t id, const std::string& why) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  RETURN_IF_ERROR(database_.Execute(sql_.refuse).Bind(why).Bind(id).Run());
  RETURN_IF_ERROR(database_.Execute(sql_.trim).Bind(kKeptRefusals).Run());
  ASSIGN_OR_RETURN(Written refused, Fact(kRefusedFact));
  ++refused.sequence;
  RETURN_IF_ERROR(SetFact(kRefusedFact, refused));
  return transaction.Commit();
}

absl::StatusOr<OutboxFile::Written> OutboxFile::Fact(const char* name) {
  sqlite::Query query = database_.Execute(sql_.fact);
  ASSIGN_OR_RETURN(const bool row, query.Bind(std::string_view(name)).Step());
  return row ? Written{static_cast<uint64_t>(query.Integer(0)), query.Blob(1)}
             : Written();
}

absl::Status OutboxFile::SetFact(const char* name, const Written& written) {
  return database_.Execute(sql_.set_fact)
      .Bind(std::string_view(name))
      .Bind(static_cast<int64_t>(written.sequence))
      .Bind(ByteView(written.hash))
      .Run();
}

absl::StatusOr<OutboxFile::Written> OutboxFile::LastCommitted() {
  const MutexLock lock(mutex_);
  return Fact(kCommittedFact);
}

absl::StatusOr<OutboxFile::Written> OutboxFile::LastWitnessed() {
  const MutexLock lock(mutex_);
  return Fact(kWitnessedFact);
}

absl::StatusOr<std::optional<OutboxFile::Written>> OutboxFile::FindCommitted(
    uint64_t sequence) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(sql_.find);
  ASSIGN_OR_RETURN(const bool row,
                   query.Bind(static_cast<int64_t>(sequence)).Step());
  if (!row) {
    return std::nullopt;
  }
  return Written{static_cast<uint64_t>(query.Integer(0)), query.Blob(1)};
}

absl::StatusOr<uint64_t> OutboxFile::Uncommit(uint64_t sequence) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  uint64_t again = 0;
  {
    sqlite::Query query = database_.Execute(sql_.uncommit);
    query.Bind(static_cast<int64_t>(sequence));
    for (;;) {
      ASSIGN_OR_RETURN(const bool row, query.Step());
      if (!row) {
        break;
      }
      ++again;
    }
  }
  Written last{.sequence = sequence};
  {
    sqlite::Query query = database_.Execute(sql_.find);
    ASSIGN_OR_RETURN(const bool row,
                     query.Bind(static_cast<int64_t>(sequence)).Step());
    if (row) {
      last.hash = query.Blob(1);
    }
  }
  if (last.hash.empty()) {
    ASSIGN_OR_RETURN(last, Fact(kWitnessedFact));
  }
  RETURN_IF_ERROR(SetFact(kCommittedFact, last));
  RETURN_IF_ERROR(transaction.Commit());
  return again;
}

absl::Status OutboxFile::Adopt(const Written& last) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  RETURN_IF_ERROR(AdoptLocked(last));
  return transaction.Commit();
}

absl::Status OutboxFile::AdoptLocked(const Written& last) {
  RETURN_IF_ERROR(SetFact(kCommittedFact, last));
  RETURN_IF_ERROR(SetFact(kWitnessedFact, last));
  RETURN_IF_ERROR(database_.Run("DELETE FROM entry WHERE state=2"));
  // What they followed is not the last one any more.
  return database_.Run(
      "UPDATE entry SET state=0, sequence=0, hash=x'', entry=x'' "
      "WHERE state=1");
}

absl::Status OutboxFile::Forget(uint64_t witnessed) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  Written last;
  {
    sqlite::Query query = database_.Execute(sql_.last_forgotten);
    ASSIGN_OR_RETURN(const bool row,
                     query.Bind(static_cast<int64_t>(witnessed)).Step());
    if (!row) {
      return absl::OkStatus();
    }
    last = {static_cast<uint64_t>(query.Integer(0)), query.Blob(1)};
  }
  RETURN_IF_ERROR(database_.Execute(sql_.forget)
                      .Bind(static_cast<int64_t>(witnessed))
                      .Run());
  RETURN_IF_ERROR(SetFact(kWitnessedFact, last));
  return transaction.Commit();
}

absl::StatusOr<OutboxFile::Counts> OutboxFile::Count() {
  const MutexLock lock(mutex_);
  Counts counts;
  {
    sqlite::Query query = database_.Execute(sql_.count);
    RETURN_IF_ERROR(query.Step().status());
    counts.waiting = static_cast<uint64_t>(query.Integer(0));
    counts.oldest_ms = query.Integer(1);
  }
  {
    sqlite::Query query = database_.Execute(sql_.unwitnessed);
    RETURN_IF_ERROR(query.Step().status());
    counts.unwitnessed = static_cast<uint64_t>(query.Integer(0));
  }
  {
    sqlite::Query query = database_.Execute(sql_.last_refusal);
    ASSIGN_OR_RETURN(const bool row, query.Step());
    counts.last_refusal = row ? query.Text(0) : "";
  }
  ASSIGN_OR_RETURN(const Written refused, Fact(kRefusedFact));
  counts.refused = refused.sequence;
  return counts;
}

absl::Status OutboxFile::PutHome(const Uuid& vm, const Home& home) {
  const MutexLock lock(mutex_);
  return database_.Execute(sql_.put_home)
      .Bind(View(vm))
      .Bind(home.host)
      .Bind(static_cast<int64_t>(home.epoch))
      .Bind(home.as_of_ms)
      .Bind(ByteView(home.signature))
      .Run();
}

absl::Status OutboxFile::DropHome(const Uuid& vm) {
  const MutexLock lock(mutex_);
  return database_.Execute(sql_.drop_home).Bind(View(vm)).Run();
}

absl::StatusOr<std::optional<OutboxFile::Home>> OutboxFile::FindHome(
    const Uuid& vm) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(sql_.home);
  ASSIGN_OR_RETURN(const bool row, query.Bind(View(vm)).Step());
  if (!row) {
    return std::nullopt;
  }
  return Home{.host = query.Text(0),
              .epoch = static_cast<uint64_t>(query.Integer(1)),
              .as_of_ms = query.Integer(2),
              .signature = query.Blob(3)};
}

absl::StatusOr<std::optional<Uuid>> OutboxFile::OldestHome(int64_t before_ms) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(sql_.oldest_home);
  ASSIGN_OR_RETURN(const bool row, query.Bind(before_ms).Step());
  if (!row) {
    return std::nullopt;
  }
  const Bytes blob = query.Blob(0);
  Uuid vm;
  if (blob.size() != vm.bytes.size()) {
    return absl::DataLossError("outbox: a home of no VM");
  }
  std::copy(blob.begin(), blob.end(), vm.bytes.begin());
  return vm;
}

}  // namespace vmattest::outbox
