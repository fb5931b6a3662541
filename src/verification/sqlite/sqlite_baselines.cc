#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "verification/sqlite/rows.h"
#include "verification/sqlite/sqlite_verifier_store.h"

// The part of SqliteVerifierStore that is about baselines.

namespace vmattest::verification {
namespace {

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

BaselineEntry ReadBaseline(const sqlite::Query& query) {
  return {.name = query.Text(0),
          .revision = static_cast<uint64_t>(query.Integer(1)),
          .subset = query.Text(2),
          .vm_uuids = Split(query.Text(3)),
          .not_before_unix_ms = query.Integer(4),
          .not_after_unix_ms = query.Integer(5),
          .approver = query.Text(6),
          .signer_key_id = query.Blob(7),
          .stored_unix_ms = query.Integer(8),
          .document = query.Blob(9)};
}

}  // namespace

absl::Status SqliteVerifierStore::CheckBaseline(const BaselineWrite& write) {
  const BaselineEntry& baseline = write.baseline;
  {
    sqlite::Query query = database_.Execute(statements_.newest_baseline);
    RETURN_IF_ERROR(query.Bind(baseline.name).Step().status());
    const auto newest = static_cast<uint64_t>(query.Integer(0));
    if (newest != write.seen_revision || baseline.revision <= newest) {
      return absl::AbortedError(
          fmt::format("baseline {} is at revision {}, not {}", baseline.name,
                      newest, write.seen_revision));
    }
  }
  for (const std::string& vm_uuid : baseline.vm_uuids) {
    sqlite::Query query =
        database_.Execute(statements_.baseline_claimed_by_other);
    query.Bind(vm_uuid).Bind(baseline.subset).Bind(baseline.name);
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (row) {
      return absl::AlreadyExistsError(
          fmt::format("VM {} has the baseline {} of {} already", vm_uuid,
                      query.Text(0), baseline.subset));
    }
  }
  return absl::OkStatus();
}

absl::Status SqliteVerifierStore::WriteBaseline(const BaselineWrite& write) {
  const BaselineEntry& baseline = write.baseline;
  {
    sqlite::Query query = database_.Execute(statements_.put_baseline);
    RETURN_IF_ERROR(
        query.Bind(baseline.name)
            .Bind(ToInteger(baseline.revision))
            .Bind(baseline.subset)
            .Bind(fmt::format("{}", fmt::join(baseline.vm_uuids, " ")))
            .Bind(baseline.not_before_unix_ms)
            .Bind(baseline.not_after_unix_ms)
            .Bind(baseline.approver)
            .Bind(ByteView(baseline.signer_key_id))
            .Bind(baseline.stored_unix_ms)
            .Bind(ByteView(baseline.document))
            .Bind(ByteView(write.pages))
            .Run());
  }
  {
    sqlite::Query query = database_.Execute(statements_.drop_baseline_claims);
    RETURN_IF_ERROR(query.Bind(baseline.name).Run());
  }
  for (const std::string& vm_uuid : baseline.vm_uuids) {
    sqlite::Query query = database_.Execute(statements_.put_baseline_claim);
    RETURN_IF_ERROR(
        query.Bind(vm_uuid).Bind(baseline.subset).Bind(baseline.name).Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SqliteVerifierStore::PutBaseline(
    const BaselineWrite& write) {
  RETURN_IF_ERROR(CheckVms(write.baseline));
  const MutexLock lock(mutex_);
  sqlite::Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.Begin());
  RETURN_IF_ERROR(CheckBaseline(write));
  RETURN_IF_ERROR(WriteBaseline(write));
  ASSIGN_OR_RETURN(const uint64_t sequence, AddEvent(write.event));
  RETURN_IF_ERROR(transaction.Commit());
  return sequence;
}

absl::StatusOr<std::optional<BaselineEntry>> SqliteVerifierStore::FindBaseline(
    const std::string& name, uint64_t revision) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.find_baseline);
  ASSIGN_OR_RETURN(const bool row,
                   query.Bind(name).Bind(ToInteger(revision)).Step());
  return row ? std::optional(ReadBaseline(query)) : std::nullopt;
}

absl::StatusOr<Bytes> SqliteVerifierStore::BaselinePages(
    const std::string& name, uint64_t revision) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.baseline_pages);
  ASSIGN_OR_RETURN(const bool row,
                   query.Bind(name).Bind(ToInteger(revision)).Step());
  if (!row) {
    return absl::NotFoundError(
        fmt::format("no baseline {}@{}", name, revision));
  }
  return query.Blob(0);
}

absl::StatusOr<std::vector<BaselineEntry>> SqliteVerifierStore::ListBaselines(
    const std::string& after, size_t limit) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.list_baselines);
  query.Bind(after).Bind(ToInteger(limit));
  std::vector<BaselineEntry> baselines;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, query.Step());
    if (!row) {
      return baselines;
    }
    baselines.push_back(ReadBaseline(query));
  }
}

absl::StatusOr<std::vector<uint64_t>> SqliteVerifierStore::BaselineRevisions(
    const std::string& name) {
  const MutexLock lock(mutex_);
  sqlite::Query query = database_.Execute(statements_.baseline_revisions);
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

absl::StatusOr<std::optional<BaselineEntry>> SqliteVerifierStore::BaselineOf(
    const std::string& vm_uuid, const std::string& subset) {
  std::string name;
  {
    const MutexLock lock(mutex_);
    sqlite::Query query = database_.Execute(statements_.baseline_of);
    ASSIGN_OR_RETURN(const bool row, query.Bind(vm_uuid).Bind(subset).Step());
    if (!row) {
      return std::nullopt;
    }
    name = query.Text(0);
  }
  return FindBaseline(name, 0);
}

}  // namespace vmattest::verification
