#include "verification/baseline_book.h"

#include <algorithm>

#include "base/log.h"
#include "fmt/format.h"

namespace vmattest::verification {
namespace {

constexpr size_t kPage = 500;
constexpr int kMaxTries = 4;
constexpr std::string_view kEveryVm = "*";

int64_t UnixMs(WallTime time) { return time.time_since_epoch().count(); }

DecisionEntry EventOf(const BaselineEntry& entry, uint64_t before) {
  DecisionEntry event;
  event.kind = DecisionEntry::Kind::kReference;
  event.time_unix_ms = entry.stored_unix_ms;
  event.trusted = true;
  event.reference = fmt::format("baseline:{}@{}", entry.name, entry.revision);
  event.reasons = {{"baseline-changed", entry.name,
                    before == 0 ? "" : std::to_string(before),
                    std::to_string(entry.revision)}};
  event.fixes = {""};
  return event;
}

absl::Status Denied(std::string_view name) {
  return absl::PermissionDeniedError(
      fmt::format("baseline {} is about VMs of others", name));
}

bool MayAll(const BaselineEntry& entry, const MayVm& may) {
  return std::all_of(entry.vm_uuids.begin(), entry.vm_uuids.end(), may);
}

bool MayAny(const BaselineEntry& entry, const MayVm& may) {
  return std::any_of(entry.vm_uuids.begin(), entry.vm_uuids.end(), may);
}

}  // namespace

absl::StatusOr<BaselineEntry> BaselineBook::ToEntry(
    const document::Opened& opened, ByteView document,
    const Bytes& pages) const {
  ASSIGN_OR_RETURN(const baseline::Baseline parsed,
                   baseline::Parse(opened.payload));
  const int64_t now = UnixMs(parts_.clock.Now());
  if (parsed.header.not_after_unix_ms <= now) {
    return absl::InvalidArgumentError(
        fmt::format("baseline {} has run out", parsed.id()));
  }
  RETURN_IF_ERROR(baseline::LoadedBaseline::Load(parsed, pages).status());
  BaselineEntry entry{.name = parsed.name,
                      .revision = parsed.revision,
                      .subset = parsed.subset(),
                      .vm_uuids = parsed.vm_uuids,
                      .not_before_unix_ms = parsed.header.not_before_unix_ms,
                      .not_after_unix_ms = parsed.header.not_after_unix_ms,
                      .approver = opened.signer->name,
                      .signer_key_id = opened.signer->key_id,
                      .stored_unix_ms = now,
                      .document = ToBytes(document)};
  std::sort(entry.vm_uuids.begin(), entry.vm_uuids.end());
  return entry;
}

absl::StatusOr<BaselineBook::Put> BaselineBook::PutDocument(ByteView document,
                                                            const Bytes& pages,
                                                            const MayVm& may) {
  const auto approvers = parts_.approvers.Get();
  const document::Opened opened =
      document::Open(document, baseline::kPayloadType, *approvers);
  if (!opened.verdict.trusted()) {
    return Put{opened.verdict, {}};
  }
  ASSIGN_OR_RETURN(const BaselineEntry entry, ToEntry(opened, document, pages));
  if (!MayAll(entry, may)) {
    return Denied(entry.name);
  }
  for (int i = 0; i < kMaxTries; ++i) {
    ASSIGN_OR_RETURN(const std::optional<BaselineEntry> before,
                     parts_.store.FindBaseline(entry.name, 0));
    if (before && !MayAll(*before, may)) {
      return Denied(entry.name);
    }
    const uint64_t seen = before ? before->revision : 0;
    if (entry.revision <= seen) {
      return absl::FailedPreconditionError(
          fmt::format("baseline {} is at revision {}: {} does not follow",
                      entry.name, seen, entry.revision));
    }
    const DecisionEntry event = EventOf(entry, seen);
    const absl::StatusOr<uint64_t> sequence =
        parts_.store.PutBaseline({.baseline = entry,
                                  .pages = pages,
                                  .seen_revision = seen,
                                  .event = event});
    if (absl::IsAborted(sequence.status())) {
      continue;
    }
    RETURN_IF_ERROR(sequence.status());
    log::Info("baseline-changed",
              {{"baseline", event.reference}, {"approver", entry.approver}});
    parts_.log.Stored(*sequence, event);
    return Put{opened.verdict, entry};
  }
  return absl::AbortedError(
      fmt::format("baseline {} changes all the time", entry.name));
}

absl::StatusOr<std::vector<BaselineEntry>> BaselineBook::List(
    const MayVm& may) {
  std::vector<BaselineEntry> found;
  std::string after;
  while (true) {
    ASSIGN_OR_RETURN(std::vector<BaselineEntry> page,
                     parts_.store.ListBaselines(after, kPage));
    if (page.empty()) {
      return found;
    }
    after = page.back().name;
    for (BaselineEntry& entry : page) {
      if (MayAny(entry, may)) {
        found.push_back(std::move(entry));
      }
    }
  }
}

absl::StatusOr<BaselineEntry> BaselineBook::Get(const std::string& name,
                                                uint64_t revision,
                                                const MayVm& may) {
  ASSIGN_OR_RETURN(std::optional<BaselineEntry> entry,
                   parts_.store.FindBaseline(name, revision));
  if (!entry || !MayAny(*entry, may)) {
    return absl::NotFoundError(
        fmt::format("no baseline {}@{}", name, revision));
  }
  return *std::move(entry);
}

absl::StatusOr<BaselineBook::Loaded> BaselineBook::Load(
    const BaselineEntry& entry) {
  // Checked each time: whoever can write the file is no approver by that, and
  // approvers may be removed.
  const auto approvers = parts_.approvers.Get();
  const document::Opened opened =
      document::Open(entry.document, baseline::kPayloadType, *approvers);
  if (!opened.verdict.trusted()) {
    log::Warning("baseline passed over",
                 {{"baseline", entry.name},
                  {"why", opened.verdict.reasons.front().code}});
    return nullptr;
  }
  const std::pair<std::string, uint64_t> key(entry.name, entry.revision);
  ASSIGN_OR_RETURN(baseline::Baseline parsed, baseline::Parse(opened.payload));
  {
    const MutexLock lock(mutex_);
    if (auto kept = loaded_.Find(key);
        kept && (*kept)->baseline().pages_digest == parsed.pages_digest) {
      return *std::move(kept);
    }
  }
  ASSIGN_OR_RETURN(const Bytes pages, Pages(entry));
  absl::StatusOr<Loaded> loaded =
      baseline::LoadedBaseline::Load(std::move(parsed), pages);
  if (!loaded.ok()) {
    return absl::DataLossError(fmt::format(
        "baseline {}: {}", entry.name, std::string(loaded.status().message())));
  }
  const MutexLock lock(mutex_);
  loaded_.Put(key, *loaded);
  return loaded;
}

absl::StatusOr<BaselineBook::Loaded> BaselineBook::For(
    const std::string& vm_uuid, const std::string& subset) {
  const int64_t now = UnixMs(parts_.clock.Now());
  for (const std::string& whose : {vm_uuid, std::string(kEveryVm)}) {
    ASSIGN_OR_RETURN(const std::optional<BaselineEntry> entry,
                     parts_.store.BaselineOf(whose, subset));
    if (entry && entry->not_before_unix_ms <= now &&
        entry->not_after_unix_ms > now) {
      ASSIGN_OR_RETURN(Loaded loaded, Load(*entry));
      if (loaded != nullptr) {
        return loaded;
      }
    }
  }
  return nullptr;
}

}  // namespace vmattest::verification
