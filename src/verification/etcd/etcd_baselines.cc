#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "verification/etcd/etcd_verifier_store.h"
#include "verification/etcd/keys.h"
#include "verification/etcd/rows.h"

// The part of EtcdVerifierStore that is about baselines.

namespace vmattest::verification {
namespace {

constexpr std::string_view kNewest = "mn/";

std::string NewestKey(const std::string& name) {
  return std::string(kNewest) + name;
}
std::string RevisionPrefix(const std::string& name) {
  return "mr/" + name + '\0';
}
std::string RevisionKey(const std::string& name, uint64_t revision) {
  return RevisionPrefix(name) + Forward(revision);
}
std::string DocumentKey(const std::string& name, uint64_t revision) {
  return "md/" + name + '\0' + Forward(revision);
}
std::string PagesKey(const std::string& name, uint64_t revision) {
  return "mp/" + name + '\0' + Forward(revision);
}
std::string ClaimKey(const std::string& vm_uuid, const std::string& subset) {
  return "mc/" + vm_uuid + '\0' + subset;
}

}  // namespace

absl::StatusOr<std::optional<BaselineEntry>>
EtcdVerifierStore::NewestBaselineAt(const Read& at, const std::string& name) {
  const std::string key = NewestKey(name);
  ASSIGN_OR_RETURN(const std::optional<std::string> row, table_.Get(at, key));
  if (!row) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(BaselineEntry baseline, DecodeBaseline(key, *row));
  return baseline;
}

absl::StatusOr<Bytes> EtcdVerifierStore::LoadAt(const Read& at,
                                                const std::string& key) {
  ASSIGN_OR_RETURN(const std::optional<std::string> row, table_.Get(at, key));
  ASSIGN_OR_RETURN(const auto stored, DecodeMessage<internal::StoredBytes>(
                                          key, row.value_or("missing")));
  return table_.Load(at, stored);
}

absl::Status EtcdVerifierStore::CheckBaselineClaims(
    const Read& at, const BaselineEntry& baseline) {
  for (const std::string& vm_uuid : baseline.vm_uuids) {
    ASSIGN_OR_RETURN(const std::optional<std::string> owner,
                     table_.Get(at, ClaimKey(vm_uuid, baseline.subset)));
    if (owner && *owner != baseline.name) {
      return absl::AlreadyExistsError(
          fmt::format("VM {} has the baseline {} of {} already", vm_uuid,
                      *owner, baseline.subset));
    }
  }
  return absl::OkStatus();
}

void EtcdVerifierStore::WriteBaseline(
    const BaselineEntry& baseline, const std::optional<BaselineEntry>& before,
    const internal::StoredBytes& document, const internal::StoredBytes& pages,
    Change& change) {
  const std::string row = Encode(baseline);
  change.Put(NewestKey(baseline.name), row);
  change.Put(RevisionKey(baseline.name, baseline.revision), row);
  change.Put(DocumentKey(baseline.name, baseline.revision),
             document.SerializeAsString());
  change.Put(PagesKey(baseline.name, baseline.revision),
             pages.SerializeAsString());
  for (const std::string& vm_uuid : baseline.vm_uuids) {
    change.Put(ClaimKey(vm_uuid, baseline.subset), baseline.name);
  }
  if (!before) {
    return;
  }
  // A transaction writes each key once.
  for (const std::string& vm_uuid : before->vm_uuids) {
    if (before->subset != baseline.subset ||
        std::find(baseline.vm_uuids.begin(), baseline.vm_uuids.end(),
                  vm_uuid) == baseline.vm_uuids.end()) {
      change.Delete(ClaimKey(vm_uuid, before->subset));
    }
  }
}

absl::StatusOr<uint64_t> EtcdVerifierStore::PutBaseline(
    const BaselineWrite& write) {
  const BaselineEntry& baseline = write.baseline;
  RETURN_IF_ERROR(CheckVms(baseline));
  ASSIGN_OR_RETURN(const internal::StoredBytes document,
                   table_.Upload(baseline.document));
  ASSIGN_OR_RETURN(const internal::StoredBytes pages,
                   table_.Upload(write.pages));
  ASSIGN_OR_RETURN(const internal::StoredBytes event, UploadEvent(write.event));
  uint64_t sequence = 0;
  const absl::Status applied =
      table_.Apply([&](Change& change) -> absl::Status {
        ASSIGN_OR_RETURN(const std::optional<BaselineEntry> before,
                         NewestBaselineAt(change, baseline.name));
        const uint64_t newest = before ? before->revision : 0;
        if (newest != write.seen_revision || baseline.revision <= newest) {
          return absl::AbortedError(
              fmt::format("baseline {} is at revision {}, not {}",
                          baseline.name, newest, write.seen_revision));
        }
        RETURN_IF_ERROR(CheckBaselineClaims(change, baseline));
        RETURN_IF_ERROR(table_.Keep(document, change));
        RETURN_IF_ERROR(table_.Keep(pages, change));
        WriteBaseline(baseline, before, document, pages, change);
        ASSIGN_OR_RETURN(sequence, AddEvent(change, write.event, event));
        return absl::OkStatus();
      });
  RETURN_IF_ERROR(applied);
  return sequence;
}

absl::StatusOr<std::optional<BaselineEntry>> EtcdVerifierStore::FindBaseline(
    const std::string& name, uint64_t revision) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::optional<BaselineEntry> baseline;
  if (revision == 0) {
    ASSIGN_OR_RETURN(baseline, NewestBaselineAt(at, name));
  } else {
    const std::string key = RevisionKey(name, revision);
    ASSIGN_OR_RETURN(const std::optional<std::string> row, table_.Get(at, key));
    if (row) {
      ASSIGN_OR_RETURN(baseline, DecodeBaseline(key, *row));
    }
  }
  if (baseline) {
    ASSIGN_OR_RETURN(baseline->document,
                     LoadAt(at, DocumentKey(name, baseline->revision)));
  }
  return baseline;
}

absl::StatusOr<Bytes> EtcdVerifierStore::BaselinePages(const std::string& name,
                                                       uint64_t revision) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  ASSIGN_OR_RETURN(const std::optional<std::string> row,
                   table_.Get(at, RevisionKey(name, revision)));
  if (!row) {
    return absl::NotFoundError(
        fmt::format("no baseline {}@{}", name, revision));
  }
  return LoadAt(at, PagesKey(name, revision));
}

absl::StatusOr<std::vector<BaselineEntry>> EtcdVerifierStore::ListBaselines(
    const std::string& after, size_t limit) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<BaselineEntry> baselines;
  const std::string from =
      NewestKey(after) + (after.empty() ? "" : std::string(1, '\0'));
  RETURN_IF_ERROR(table_.Scan(
      at, std::string(kNewest), from,
      [&](const std::string& key,
          const std::string& value) -> absl::StatusOr<bool> {
        if (baselines.size() < limit) {
          ASSIGN_OR_RETURN(BaselineEntry baseline, DecodeBaseline(key, value));
          baselines.push_back(std::move(baseline));
        }
        return baselines.size() < limit;
      }));
  return baselines;
}

absl::StatusOr<std::vector<uint64_t>> EtcdVerifierStore::BaselineRevisions(
    const std::string& name) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<uint64_t> revisions;
  RETURN_IF_ERROR(
      table_.Scan(at, RevisionPrefix(name), RevisionPrefix(name),
                  [&](const std::string& key,
                      const std::string& value) -> absl::StatusOr<bool> {
                    ASSIGN_OR_RETURN(const BaselineEntry baseline,
                                     DecodeBaseline(key, value));
                    revisions.push_back(baseline.revision);
                    return true;
                  }));
  return revisions;
}

absl::StatusOr<std::optional<BaselineEntry>> EtcdVerifierStore::BaselineOf(
    const std::string& vm_uuid, const std::string& subset) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  ASSIGN_OR_RETURN(const std::optional<std::string> name,
                   table_.Get(at, ClaimKey(vm_uuid, subset)));
  if (!name) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(std::optional<BaselineEntry> baseline,
                   NewestBaselineAt(at, *name));
  if (baseline) {
    ASSIGN_OR_RETURN(baseline->document,
                     LoadAt(at, DocumentKey(*name, baseline->revision)));
  }
  return baseline;
}

}  // namespace vmattest::verification
