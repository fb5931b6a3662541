#include "inventory/sqlite/sqlite_vm_store.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "fmt/format.h"
#include "inventory/sqlite/schema.h"

namespace vmattest::inventory {
namespace {

constexpr size_t kSaltSize = 32;

void BindMeasurement(sqlite::Query& query,
                     const std::optional<MeasurementRecord>& measurement) {
  if (!measurement) {
    for (int i = 0; i < 6; ++i) {
      query.BindNull();
    }
    return;
  }
  query.Bind(static_cast<int64_t>(measurement->algorithm))
      .Bind(ByteView(measurement->root))
      .Bind(static_cast<int64_t>(measurement->leaf_count))
      .Bind(measurement->time_unix_ms)
      .Bind(measurement->cause)
      .Bind(measurement->error);
}

// The six columns from `first` on.
absl::StatusOr<std::optional<MeasurementRecord>> ReadMeasurement(
    const sqlite::Query& query, int first) {
  if (query.IsNull(first)) {
    return std::nullopt;
  }
  MeasurementRecord measurement;
  const int64_t algorithm = query.Integer(first);
  const auto* const known = std::find_if(
      std::begin(kAllHashAlgorithms), std::end(kAllHashAlgorithms),
      [&](HashAlgorithm a) { return static_cast<int64_t>(a) == algorithm; });
  if (known == std::end(kAllHashAlgorithms)) {
    return absl::DataLossError(
        fmt::format("the inventory has an unknown algorithm {}", algorithm));
  }
  measurement.algorithm = *known;
  measurement.root = query.Blob(first + 1);
  measurement.leaf_count = static_cast<uint64_t>(query.Integer(first + 2));
  measurement.time_unix_ms = query.Integer(first + 3);
  measurement.cause = query.Text(first + 4);
  measurement.error = query.Text(first + 5);
  return measurement;
}

absl::StatusOr<Uuid> ReadUuid(const sqlite::Query& query, int column) {
  const Bytes bytes = query.Blob(column);
  Uuid uuid;
  if (bytes.size() != uuid.bytes.size()) {
    return absl::DataLossError("the inventory has a malformed UUID");
  }
  std::copy(bytes.begin(), bytes.end(), uuid.bytes.begin());
  return uuid;
}

absl::StatusOr<VmRecord> ReadVm(const sqlite::Query& query) {
  VmRecord vm;
  ASSIGN_OR_RETURN(vm.uuid, ReadUuid(query, 0));
  vm.name = query.Text(1);
  vm.state = query.Text(2);
  vm.persistent = query.Integer(3) != 0;
  ASSIGN_OR_RETURN(vm.last_measurement, ReadMeasurement(query, 4));
  return vm;
}

absl::StatusOr<EventRecord> ReadEvent(const sqlite::Query& query) {
  EventRecord event;
  event.sequence = static_cast<uint64_t>(query.Integer(0));
  ASSIGN_OR_RETURN(event.uuid, ReadUuid(query, 1));
  event.name = query.Text(2);
  event.kind = query.Text(3);
  event.time_unix_ms = query.Integer(4);
  event.changed = query.Integer(5) != 0;
  ASSIGN_OR_RETURN(event.measurement, ReadMeasurement(query, 6));
  return event;
}

int64_t ToLimit(size_t limit) {
  return static_cast<int64_t>(
      std::min<size_t>(limit, std::numeric_limits<int64_t>::max()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteVmStore>> SqliteVmStore::Open(
    const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(sqlite::Database database,
                   sqlite::Database::Open(path.string(), "inventory"));
  std::unique_ptr<SqliteVmStore> store;
  absl::Status status = PrepareSchema(database);
  if (status.ok()) {
    store.reset(new SqliteVmStore(std::move(database)));
    status = store->Prepare();
  }
  if (absl::IsDataLoss(status)) {
    status = absl::DataLossError(fmt::format(
        "{}; move the file away and start again: VMs are found again in "
        "libvirt, only the history of events is lost",
        std::string(status.message())));
  }
  RETURN_IF_ERROR_WITH(status, fmt::format("inventory {}", path.string()));
  return store;
}

absl::Status SqliteVmStore::Prepare() {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(
      put_vm_,
      database_.Prepare("INSERT INTO vm VALUES(?,?,?,?,?,?,?,?,?,?) "
                        "ON CONFLICT(uuid) DO UPDATE SET name=excluded.name,"
                        "state=excluded.state,persistent=excluded.persistent,"
                        "algorithm=excluded.algorithm,root=excluded.root,"
                        "leaf_count=excluded.leaf_count,"
                        "time_unix_ms=excluded.time_unix_ms,"
                        "cause=excluded.cause,error=excluded.error"));
  ASSIGN_OR_RETURN(
      add_event_,
      database_.Prepare("INSERT INTO event VALUES(?,?,?,?,?,?,?,?,?,?,?,?)"));
  ASSIGN_OR_RETURN(
      next_sequence_,
      database_.Prepare("UPDATE counter SET last_sequence = "
                        "last_sequence+1 RETURNING last_sequence"));
  ASSIGN_OR_RETURN(last_sequence_,
                   database_.Prepare("SELECT last_sequence FROM counter"));
  ASSIGN_OR_RETURN(find_vm_,
                   database_.Prepare("SELECT * FROM vm WHERE uuid=?"));
  ASSIGN_OR_RETURN(list_vms_, database_.Prepare("SELECT * FROM vm WHERE uuid>? "
                                                "ORDER BY uuid LIMIT ?"));
  ASSIGN_OR_RETURN(list_events_,
                   database_.Prepare("SELECT * FROM event WHERE sequence>? "
                                     "ORDER BY sequence LIMIT ?"));
  ASSIGN_OR_RETURN(find_salt_,
                   database_.Prepare("SELECT salt FROM salt WHERE uuid=?"));
  ASSIGN_OR_RETURN(add_salt_,
                   database_.Prepare("INSERT INTO salt VALUES(?,?)"));
  ASSIGN_OR_RETURN(
      trim_events_,
      database_.Prepare("DELETE FROM event WHERE sequence <= "
                        "(SELECT last_sequence FROM counter) - ?"));
  ASSIGN_OR_RETURN(
      trim_vms_,
      database_.Prepare("DELETE FROM vm WHERE state='undefined' AND NOT EXISTS "
                        "(SELECT 1 FROM event WHERE event.uuid=vm.uuid)"));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SqliteVmStore::NextSequence() {
  // Stepped to its end: the update happens only then.
  sqlite::Query query = database_.Execute(next_sequence_);
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) {
    return absl::DataLossError("the inventory lost its counter");
  }
  const auto sequence = static_cast<uint64_t>(query.Integer(0));
  RETURN_IF_ERROR(query.Run());
  return sequence;
}

absl::StatusOr<uint64_t> SqliteVmStore::Record(const VmRecord& vm,
                                               const EventRecord& event) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const uint64_t sequence, NextSequence());
  {
    sqlite::Query query = database_.Execute(put_vm_);
    query.Bind(ByteView(vm.uuid.bytes))
        .Bind(vm.name)
        .Bind(vm.state)
        .Bind(static_cast<int64_t>(vm.persistent));
    BindMeasurement(query, vm.last_measurement);
    RETURN_IF_ERROR(query.Run());
  }
  {
    sqlite::Query query = database_.Execute(add_event_);
    query.Bind(static_cast<int64_t>(sequence))
        .Bind(ByteView(event.uuid.bytes))
        .Bind(event.name)
        .Bind(event.kind)
        .Bind(event.time_unix_ms)
        .Bind(static_cast<int64_t>(event.changed));
    BindMeasurement(query, event.measurement);
    RETURN_IF_ERROR(query.Run());
  }
  RETURN_IF_ERROR(transaction.Commit());
  return sequence;
}

absl::StatusOr<std::optional<VmRecord>> SqliteVmStore::Find(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(find_vm_);
  ASSIGN_OR_RETURN(const bool row, query.Bind(ByteView(uuid.bytes)).Step());
  if (!row) {
    return std::nullopt;
  }
  return ReadVm(query);
}

absl::StatusOr<std::vector<VmRecord>> SqliteVmStore::List(
    const std::optional<Uuid>& after, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(list_vms_);
  // The empty blob is before every UUID.
  query.Bind(after ? ByteView(after->bytes) : ByteView()).Bind(ToLimit(limit));
  std::vector<VmRecord> vms;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return vms;
    }
    ASSIGN_OR_RETURN(VmRecord vm, ReadVm(query));
    vms.push_back(std::move(vm));
  }
}

absl::StatusOr<std::vector<EventRecord>> SqliteVmStore::Events(
    uint64_t after_sequence, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(list_events_);
  query.Bind(ToLimit(after_sequence)).Bind(ToLimit(limit));
  std::vector<EventRecord> events;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return events;
    }
    ASSIGN_OR_RETURN(EventRecord event, ReadEvent(query));
    events.push_back(std::move(event));
  }
}

absl::StatusOr<uint64_t> SqliteVmStore::LastSequence() {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(last_sequence_);
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) {
    return absl::DataLossError("the inventory lost its counter");
  }
  return static_cast<uint64_t>(query.Integer(0));
}

absl::StatusOr<SecretBytes> SqliteVmStore::Salt(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  {
    sqlite::Query query = database_.Execute(find_salt_);
    ASSIGN_OR_RETURN(const bool row, query.Bind(ByteView(uuid.bytes)).Step());
    if (row) {
      return SecretBytes(query.Blob(0));
    }
  }
  ASSIGN_OR_RETURN(SecretBytes salt, MakeSecret(kSaltSize));
  sqlite::Query query = database_.Execute(add_salt_);
  RETURN_IF_ERROR(
      query.Bind(ByteView(uuid.bytes)).Bind(salt.Reveal(SecretAccess())).Run());
  return salt;
}

absl::Status SqliteVmStore::Trim(size_t keep) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  {
    sqlite::Query query = database_.Execute(trim_events_);
    RETURN_IF_ERROR(query.Bind(ToLimit(keep)).Run());
  }
  {
    sqlite::Query query = database_.Execute(trim_vms_);
    RETURN_IF_ERROR(query.Run());
  }
  return transaction.Commit();
}

}  // namespace vmattest::inventory
