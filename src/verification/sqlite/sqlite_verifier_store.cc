#include "verification/sqlite/sqlite_verifier_store.h"

#include <utility>

#include "fmt/format.h"
#include "verification/sqlite/rows.h"

// Hosts, references and orders; decisions are in sqlite_decisions.cc.

namespace vmattest::verification {

absl::StatusOr<std::unique_ptr<SqliteVerifierStore>> SqliteVerifierStore::Open(
    const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(sqlite::Database database,
                   sqlite::Database::Open(path.string(), "verifier store"));
  const std::string where = fmt::format("verifier store {}", path.string());
  absl::Status status = PrepareSchema(database);
  if (absl::IsDataLoss(status)) {
    status = absl::DataLossError(
        fmt::format("{}; restore it from a copy, or move it away and enroll "
                    "the hosts again",
                    std::string(status.message())));
  }
  RETURN_IF_ERROR_WITH(status, where);
  std::unique_ptr<SqliteVerifierStore> store(
      new SqliteVerifierStore(std::move(database)));
  const MutexLock lock(store->mutex_);
  RETURN_IF_ERROR_WITH(Prepare(store->database_, store->statements_), where);
  return store;
}

absl::StatusOr<std::optional<HostEntry>> SqliteVerifierStore::OneHost(
    const sqlite::StatementHandle& statement, const std::string& key) {
  sqlite::Query query = database_.Execute(statement);
  ASSIGN_OR_RETURN(const bool row, query.Bind(key).Step());
  if (!row) {
    return std::nullopt;
  }
  return ReadHost(query);
}

absl::StatusOr<std::optional<HostEntry>> SqliteVerifierStore::FindHost(
    const std::string& host_id) {
  const MutexLock lock(mutex_);
  return OneHost(statements_.find_host, host_id);
}

absl::StatusOr<std::optional<HostEntry>> SqliteVerifierStore::FindHostOfClient(
    const std::string& client_identity) {
  const MutexLock lock(mutex_);
  return OneHost(statements_.find_host_of_client, client_identity);
}

absl::StatusOr<std::vector<HostEntry>> SqliteVerifierStore::ListHosts(
    const std::string& after, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.list_hosts);
  query.Bind(after).Bind(ToInteger(limit));
  return Hosts(query);
}

absl::StatusOr<std::vector<HostEntry>> SqliteVerifierStore::FindHostsOfKeys(
    const Bytes& ak_name, const Bytes& ek_fingerprint) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.find_hosts_of_keys);
  query.Bind(ByteView(ak_name)).Bind(ByteView(ek_fingerprint));
  return Hosts(query);
}

absl::StatusOr<std::vector<HostEntry>> SqliteVerifierStore::Hosts(
    sqlite::Query& query) {
  std::vector<HostEntry> hosts;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return hosts;
    }
    ASSIGN_OR_RETURN(HostEntry host, ReadHost(query));
    hosts.push_back(std::move(host));
  }
}

absl::Status SqliteVerifierStore::CheckKeysAndClient(const HostEntry& host) {
  ASSIGN_OR_RETURN(
      const std::optional<HostEntry> same_client,
      OneHost(statements_.find_host_of_client, host.client_identity));
  if (same_client && same_client->host_id != host.host_id &&
      same_client->state != HostEntry::State::kRevoked &&
      host.state != HostEntry::State::kRevoked) {
    return absl::AlreadyExistsError(fmt::format(
        "{} has host {} already", host.client_identity, same_client->host_id));
  }
  sqlite::Query query = database_.Execute(statements_.find_hosts_of_keys);
  query.Bind(ByteView(host.ak_name)).Bind(ByteView(host.ek_fingerprint));
  ASSIGN_OR_RETURN(const std::vector<HostEntry> same_keys, Hosts(query));
  for (const HostEntry& other : same_keys) {
    if (other.host_id != host.host_id) {
      return absl::AlreadyExistsError(
          fmt::format("host {} has the same {} already", other.host_id,
                      other.ak_name == host.ak_name ? "AK" : "EK"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SqliteVerifierStore::PutHost(const HostWrite& write) {
  const HostEntry& host = write.host;
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  ASSIGN_OR_RETURN(const std::optional<HostEntry> before,
                   OneHost(statements_.find_host, host.host_id));
  if (host.revision != (before ? before->revision : 0) + 1) {
    return absl::AbortedError(
        fmt::format("host {} changed meanwhile", host.host_id));
  }
  RETURN_IF_ERROR(CheckKeysAndClient(host));
  {
    sqlite::Query query = database_.Execute(statements_.put_host);
    Bind(query, host);
    RETURN_IF_ERROR(query.Run());
  }
  const bool was_revoked =
      before && before->state == HostEntry::State::kRevoked;
  if (host.state == HostEntry::State::kRevoked && !was_revoked) {
    sqlite::Query query = database_.Execute(statements_.raise_epoch);
    RETURN_IF_ERROR(query.Run());
  }
  if (write.spend_permit) {
    sqlite::Query query = database_.Execute(statements_.drop_permit);
    RETURN_IF_ERROR(query.Bind(host.host_id).Run());
  }
  ASSIGN_OR_RETURN(const uint64_t sequence, AddEvent(write.event));
  RETURN_IF_ERROR(transaction.Commit());
  return sequence;
}

absl::StatusOr<uint64_t> SqliteVerifierStore::RevocationEpoch() {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.epoch);
  RETURN_IF_ERROR(query.Step().status());
  return static_cast<uint64_t>(query.Integer(0));
}

absl::Status SqliteVerifierStore::PutPermit(const RebindPermit& permit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.put_permit);
  return query.Bind(permit.host_id)
      .Bind(ByteView(permit.ak_name))
      .Bind(permit.expires_unix_ms)
      .Run();
}

absl::StatusOr<std::optional<RebindPermit>> SqliteVerifierStore::FindPermit(
    const std::string& host_id) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.find_permit);
  ASSIGN_OR_RETURN(const bool row, query.Bind(host_id).Step());
  if (!row) {
    return std::nullopt;
  }
  return RebindPermit{.host_id = query.Text(0),
                      .ak_name = query.Blob(1),
                      .expires_unix_ms = query.Integer(2)};
}

absl::Status SqliteVerifierStore::CheckClaims(const ReferenceEntry& reference) {
  for (const std::string& vm_uuid : reference.vm_uuids) {
    sqlite::Query query = database_.Execute(statements_.claimed_by_other);
    ASSIGN_OR_RETURN(const bool row,
                     query.Bind(vm_uuid).Bind(reference.name).Step());
    if (row) {
      return absl::AlreadyExistsError(fmt::format(
          "VM {} has the reference {} already", vm_uuid, query.Text(0)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SqliteVerifierStore::PutReference(
    const ReferenceWrite& write) {
  const ReferenceEntry& reference = write.reference;
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  {
    sqlite::Query query = database_.Execute(statements_.newest_revision);
    RETURN_IF_ERROR(query.Bind(reference.name).Step().status());
    const auto newest = static_cast<uint64_t>(query.Integer(0));
    if (newest != write.seen_revision || reference.revision <= newest) {
      return absl::AbortedError(
          fmt::format("reference {} is at revision {}, not {}", reference.name,
                      newest, write.seen_revision));
    }
  }
  RETURN_IF_ERROR(CheckClaims(reference));
  {
    sqlite::Query query = database_.Execute(statements_.put_reference);
    Bind(query, reference);
    RETURN_IF_ERROR(query.Run());
  }
  for (const std::string& vm_uuid : reference.vm_uuids) {
    sqlite::Query query = database_.Execute(statements_.put_claim);
    RETURN_IF_ERROR(query.Bind(vm_uuid)
                        .Bind(reference.name)
                        .Bind(ToInteger(reference.revision))
                        .Run());
  }
  ASSIGN_OR_RETURN(const uint64_t sequence, AddEvent(write.event));
  RETURN_IF_ERROR(transaction.Commit());
  return sequence;
}

absl::Status SqliteVerifierStore::AddClaims(ReferenceEntry& reference) {
  sqlite::Query query = database_.Execute(statements_.claims);
  query.Bind(reference.name).Bind(ToInteger(reference.revision));
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return absl::OkStatus();
    }
    reference.vm_uuids.push_back(query.Text(0));
  }
}

absl::StatusOr<std::vector<ReferenceEntry>> SqliteVerifierStore::References(
    sqlite::Query& query) {
  std::vector<ReferenceEntry> references;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      break;
    }
    references.push_back(ReadReference(query));
  }
  for (ReferenceEntry& reference : references) {
    RETURN_IF_ERROR(AddClaims(reference));
  }
  return references;
}

absl::StatusOr<std::optional<ReferenceEntry>>
SqliteVerifierStore::FindReference(const std::string& name, uint64_t revision) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.find_reference);
  query.Bind(name).Bind(ToInteger(revision));
  ASSIGN_OR_RETURN(const std::vector<ReferenceEntry> found, References(query));
  if (found.empty()) {
    return std::nullopt;
  }
  return found.front();
}

absl::StatusOr<std::vector<uint64_t>> SqliteVerifierStore::RevisionsOf(
    const std::string& name) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.revisions_of);
  query.Bind(name);
  std::vector<uint64_t> revisions;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return revisions;
    }
    revisions.push_back(static_cast<uint64_t>(query.Integer(0)));
  }
}

absl::StatusOr<std::vector<ReferenceEntry>> SqliteVerifierStore::ListReferences(
    const std::string& after, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.list_references);
  query.Bind(after).Bind(ToInteger(limit));
  return References(query);
}

absl::StatusOr<std::vector<ReferenceEntry>> SqliteVerifierStore::ReferencesOf(
    const std::string& vm_uuid, int64_t now_unix_ms) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.references_of);
  query.Bind(vm_uuid).Bind(now_unix_ms);
  return References(query);
}

absl::StatusOr<std::vector<BreakGlassEntry>> SqliteVerifierStore::Orders(
    const std::string& host_id, int64_t now_unix_ms) {
  sqlite::Query query = database_.Execute(statements_.orders_of);
  query.Bind(host_id).Bind(now_unix_ms);
  std::vector<BreakGlassEntry> orders;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return orders;
    }
    orders.push_back({.serial = query.Blob(0),
                      .vm_uuid = query.Text(1),
                      .host_id = query.Text(2),
                      .not_after_unix_ms = query.Integer(3),
                      .stored_unix_ms = query.Integer(4),
                      .document = query.Blob(5)});
  }
}

absl::StatusOr<std::vector<BreakGlassEntry>> SqliteVerifierStore::BreakGlassOf(
    const std::string& host_id, int64_t now_unix_ms) {
  const MutexLock lock(mutex_);
  return Orders(host_id, now_unix_ms);
}

absl::StatusOr<uint64_t> SqliteVerifierStore::PutBreakGlass(
    const BreakGlassWrite& write) {
  const BreakGlassEntry& order = write.order;
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  {
    sqlite::Query query = database_.Execute(statements_.drop_orders);
    RETURN_IF_ERROR(query.Bind(order.stored_unix_ms).Run());
  }
  {
    sqlite::Query query = database_.Execute(statements_.find_order);
    ASSIGN_OR_RETURN(const bool row, query.Bind(ByteView(order.serial)).Step());
    if (row) {
      return absl::AlreadyExistsError("the order's serial is known");
    }
  }
  ASSIGN_OR_RETURN(const std::vector<BreakGlassEntry> others,
                   Orders(order.host_id, order.stored_unix_ms));
  if (others.size() >= write.most) {
    return absl::ResourceExhaustedError(fmt::format(
        "host {} has {} orders already", order.host_id, others.size()));
  }
  {
    sqlite::Query query = database_.Execute(statements_.put_order);
    RETURN_IF_ERROR(query.Bind(ByteView(order.serial))
                        .Bind(order.vm_uuid)
                        .Bind(order.host_id)
                        .Bind(order.not_after_unix_ms)
                        .Bind(order.stored_unix_ms)
                        .Bind(ByteView(order.document))
                        .Run());
  }
  ASSIGN_OR_RETURN(const uint64_t sequence, AddEvent(write.event));
  RETURN_IF_ERROR(transaction.Commit());
  return sequence;
}

}  // namespace vmattest::verification
