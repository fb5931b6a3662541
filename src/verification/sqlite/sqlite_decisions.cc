#include <algorithm>
#include <set>

#include "verification/sqlite/rows.h"
#include "verification/sqlite/sqlite_verifier_store.h"

// The part of SqliteVerifierStore that is about decisions.

namespace vmattest::verification {
namespace {

constexpr uint64_t kNoLimit = ~uint64_t{0};

absl::StatusOr<std::vector<DecisionEntry>> ReadDecisions(sqlite::Query& query) {
  std::vector<DecisionEntry> decisions;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return decisions;
    }
    ASSIGN_OR_RETURN(DecisionEntry decision, ReadDecision(query));
    decisions.push_back(std::move(decision));
  }
}

}  // namespace

absl::StatusOr<uint64_t> SqliteVerifierStore::AddDecision(
    const DecisionEntry& decision) {
  uint64_t sequence = 0;
  {
    // Stepped to its end: the update happens only then.
    sqlite::Query query = database_.Execute(statements_.next_sequence);
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return absl::DataLossError("the verifier store lost its counter");
    }
    sequence = static_cast<uint64_t>(query.Integer(0));
    RETURN_IF_ERROR(query.Run());
  }
  sqlite::Query query = database_.Execute(statements_.add_decision);
  Bind(query, sequence, decision);
  RETURN_IF_ERROR(query.Run());
  return sequence;
}

absl::StatusOr<uint64_t> SqliteVerifierStore::AddEvent(
    const std::optional<DecisionEntry>& event) {
  return event ? AddDecision(*event) : absl::StatusOr<uint64_t>(0);
}

absl::StatusOr<uint64_t> SqliteVerifierStore::Append(
    const std::vector<DecisionWrite>& decisions, size_t keep_evidence) {
  RETURN_IF_ERROR(CheckCount(decisions.size()));
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  uint64_t first = 0;
  std::set<std::string> vms;
  for (const DecisionWrite& write : decisions) {
    ASSIGN_OR_RETURN(const uint64_t sequence, AddDecision(write.decision));
    first = first == 0 ? sequence : first;
    if (!write.evidence.empty()) {
      sqlite::Query query = database_.Execute(statements_.add_evidence);
      RETURN_IF_ERROR(query.Bind(ToInteger(sequence))
                          .Bind(write.decision.vm_uuid)
                          .Bind(static_cast<int64_t>(write.decision.trusted))
                          .Bind(ByteView(write.evidence))
                          .Run());
      vms.insert(write.decision.vm_uuid);
    }
  }
  for (const std::string& vm_uuid : vms) {
    sqlite::Query query = database_.Execute(statements_.drop_evidence);
    RETURN_IF_ERROR(query.Bind(vm_uuid).Bind(ToInteger(keep_evidence)).Run());
  }
  RETURN_IF_ERROR(transaction.Commit());
  return first;
}

absl::StatusOr<std::vector<DecisionEntry>> SqliteVerifierStore::Decisions(
    const DecisionQuery& wanted) {
  const MutexLock lock(mutex_);
  const bool all = wanted.vm_uuid.empty();
  sqlite::Query query = database_.Execute(all ? statements_.list_decisions
                                              : statements_.list_vm_decisions);
  query
      .Bind(ToInteger(wanted.before_sequence == 0 ? kNoLimit
                                                  : wanted.before_sequence))
      .Bind(int64_t{wanted.refused_only ? 0 : 1});
  if (!all) {
    query.Bind(wanted.vm_uuid);
  }
  query.Bind(ToInteger(wanted.limit));
  return ReadDecisions(query);
}

absl::StatusOr<std::vector<DecisionEntry>> SqliteVerifierStore::After(
    uint64_t sequence, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.decisions_after);
  query.Bind(ToInteger(sequence)).Bind(ToInteger(limit));
  return ReadDecisions(query);
}

absl::StatusOr<std::optional<DecisionEntry>> SqliteVerifierStore::FindDecision(
    uint64_t sequence) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.find_decision);
  ASSIGN_OR_RETURN(const bool row, query.Bind(ToInteger(sequence)).Step());
  if (!row) {
    return std::nullopt;
  }
  return ReadDecision(query);
}

absl::StatusOr<uint64_t> SqliteVerifierStore::LastSequence() {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.last_sequence);
  ASSIGN_OR_RETURN(const bool row, query.Step());
  if (!row) {
    return absl::DataLossError("the verifier store lost its counter");
  }
  return static_cast<uint64_t>(query.Integer(0));
}

absl::StatusOr<Bytes> SqliteVerifierStore::FindEvidence(uint64_t sequence) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.find_evidence);
  ASSIGN_OR_RETURN(const bool row, query.Bind(ToInteger(sequence)).Step());
  return row ? query.Blob(0) : Bytes();
}

absl::StatusOr<std::vector<RecordedEvidence>>
SqliteVerifierStore::NewestEvidence(const std::string& vm_uuid,
                                    uint64_t before_sequence, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query =
      database_.Execute(vm_uuid.empty() ? statements_.newest_evidence
                                        : statements_.newest_vm_evidence);
  query.Bind(ToInteger(before_sequence == 0 ? kNoLimit : before_sequence));
  if (!vm_uuid.empty()) {
    query.Bind(vm_uuid);
  }
  query.Bind(ToInteger(limit));
  std::vector<RecordedEvidence> recorded;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return recorded;
    }
    recorded.push_back({.sequence = static_cast<uint64_t>(query.Integer(0)),
                        .vm_uuid = query.Text(1),
                        .trusted = query.Integer(2) != 0,
                        .evidence = query.Blob(3)});
  }
}

absl::StatusOr<std::vector<std::string>> SqliteVerifierStore::VmsOfHost(
    const std::string& host_id, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.vms_of_host);
  query.Bind(host_id).Bind(ToInteger(limit));
  std::vector<std::string> vms;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return vms;
    }
    vms.push_back(query.Text(0));
  }
}

absl::Status SqliteVerifierStore::Trim(size_t keep) {
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  for (const sqlite::StatementHandle* statement :
       {&statements_.trim_evidence, &statements_.trim_decisions}) {
    sqlite::Query query = database_.Execute(*statement);
    RETURN_IF_ERROR(query.Bind(ToInteger(keep)).Run());
  }
  return transaction.Commit();
}

}  // namespace vmattest::verification
