#include "verification/reference_book.h"

#include <algorithm>

#include "base/log.h"
#include "fmt/format.h"

namespace vmattest::verification {
namespace {

constexpr size_t kPage = 500;
constexpr int kMaxTries = 4;
constexpr std::string_view kEveryVm = "*";

int64_t UnixMs(WallTime time) { return time.time_since_epoch().count(); }

bool MayAll(const std::vector<std::string>& vms, const MayVm& may) {
  return std::all_of(vms.begin(), vms.end(), may);
}

bool MayAny(const std::vector<std::string>& vms, const MayVm& may) {
  return std::any_of(vms.begin(), vms.end(), may);
}

absl::Status Denied(std::string_view name) {
  return absl::PermissionDeniedError(
      fmt::format("reference {} is about VMs of others", name));
}

DecisionEntry EventOf(const ReferenceEntry& reference, uint64_t before) {
  DecisionEntry event;
  event.kind = DecisionEntry::Kind::kReference;
  event.time_unix_ms = reference.stored_unix_ms;
  event.trusted = true;
  event.reference = fmt::format("{}@{}", reference.name, reference.revision);
  event.reasons = {{"reference-changed", reference.name,
                    before == 0 ? "" : std::to_string(before),
                    std::to_string(reference.revision)}};
  event.fixes = {""};
  return event;
}

}  // namespace

absl::StatusOr<ReferenceBook::Opened> ReferenceBook::OpenDocument(
    ByteView document) const {
  const auto approvers = parts_.approvers.Get();
  const document::Opened opened =
      document::Open(document, document::kReferencePayloadType, *approvers);
  if (!opened.verdict.trusted()) {
    return Opened{opened.verdict, {}};
  }
  ASSIGN_OR_RETURN(reference::Reference reference,
                   reference::Parse(opened.payload));
  return Opened{opened.verdict, std::move(reference)};
}

absl::StatusOr<ReferenceEntry> ReferenceBook::ToEntry(
    const document::Opened& opened, ByteView document) const {
  ASSIGN_OR_RETURN(const reference::Reference reference,
                   reference::Parse(opened.payload));
  const int64_t now = UnixMs(parts_.clock.Now());
  if (reference.header.not_after_unix_ms <= now) {
    return absl::InvalidArgumentError(fmt::format(
        "reference {}@{} has run out", reference.name, reference.revision));
  }
  return ReferenceEntry{
      .name = reference.name,
      .revision = reference.revision,
      .mode = std::string(reference::ToString(reference.mode)),
      .vm_uuids = reference.vm_uuids,
      .not_before_unix_ms = reference.header.not_before_unix_ms,
      .not_after_unix_ms = reference.header.not_after_unix_ms,
      .approver = opened.signer->name,
      .signer_key_id = opened.signer->key_id,
      .stored_unix_ms = now,
      .document = ToBytes(document)};
}

absl::StatusOr<ReferenceBook::Put> ReferenceBook::PutDocument(
    ByteView document, const MayVm& may) {
  const auto approvers = parts_.approvers.Get();
  const document::Opened opened =
      document::Open(document, document::kReferencePayloadType, *approvers);
  if (!opened.verdict.trusted()) {
    return Put{opened.verdict, {}};
  }
  ASSIGN_OR_RETURN(const ReferenceEntry entry, ToEntry(opened, document));
  if (!MayAll(entry.vm_uuids, may)) {
    return Denied(entry.name);
  }
  for (int i = 0; i < kMaxTries; ++i) {
    ASSIGN_OR_RETURN(const std::optional<ReferenceEntry> before,
                     parts_.store.FindReference(entry.name, 0));
    if (before && !MayAll(before->vm_uuids, may)) {
      return Denied(entry.name);
    }
    const uint64_t seen = before ? before->revision : 0;
    if (entry.revision <= seen) {
      return absl::FailedPreconditionError(
          fmt::format("reference {} is at revision {}: {} does not follow",
                      entry.name, seen, entry.revision));
    }
    const DecisionEntry event = EventOf(entry, seen);
    const absl::StatusOr<uint64_t> sequence = parts_.store.PutReference(
        {.reference = entry, .seen_revision = seen, .event = event});
    if (absl::IsAborted(sequence.status())) {
      continue;
    }
    RETURN_IF_ERROR(sequence.status());
    log::Info("reference-changed",
              {{"reference", event.reference}, {"approver", entry.approver}});
    parts_.log.Stored(*sequence, event);
    return Put{opened.verdict, entry};
  }
  return absl::AbortedError(
      fmt::format("reference {} changes all the time", entry.name));
}

absl::StatusOr<std::vector<ReferenceEntry>> ReferenceBook::List(
    const MayVm& may) {
  std::vector<ReferenceEntry> found;
  std::string after;
  while (true) {
    ASSIGN_OR_RETURN(std::vector<ReferenceEntry> page,
                     parts_.store.ListReferences(after, kPage));
    if (page.empty()) {
      return found;
    }
    after = page.back().name;
    for (ReferenceEntry& entry : page) {
      if (MayAny(entry.vm_uuids, may)) {
        found.push_back(std::move(entry));
      }
    }
  }
}

absl::StatusOr<ReferenceEntry> ReferenceBook::Get(const std::string& name,
                                                  uint64_t revision,
                                                  const MayVm& may) {
  ASSIGN_OR_RETURN(std::optional<ReferenceEntry> entry,
                   parts_.store.FindReference(name, revision));
  if (!entry || !MayAny(entry->vm_uuids, may)) {
    return absl::NotFoundError(
        fmt::format("no reference {}@{}", name, revision));
  }
  return *std::move(entry);
}

absl::StatusOr<std::vector<ReferenceEntry>> ReferenceBook::EntriesFor(
    const std::string& vm_uuid, WallTime now) {
  std::vector<ReferenceEntry> found;
  for (const std::string& whose : {vm_uuid, std::string(kEveryVm)}) {
    ASSIGN_OR_RETURN(const std::vector<ReferenceEntry> entries,
                     parts_.store.ReferencesOf(whose, UnixMs(now)));
    for (const ReferenceEntry& entry : entries) {
      // What a newer revision has left out counts no more.
      if (std::find(entry.vm_uuids.begin(), entry.vm_uuids.end(), whose) !=
          entry.vm_uuids.end()) {
        found.push_back(entry);
      }
    }
  }
  return found;
}

absl::StatusOr<reference::Reference> ReferenceBook::Parsed(
    const ReferenceEntry& entry) {
  const std::pair<std::string, uint64_t> key(entry.name, entry.revision);
  {
    const MutexLock lock(mutex_);
    if (auto kept = parsed_.Find(key)) {
      return *std::move(kept);
    }
  }
  ASSIGN_OR_RETURN(const std::optional<ReferenceEntry> whole,
                   parts_.store.FindReference(entry.name, entry.revision));
  if (!whole) {
    return absl::AbortedError(
        fmt::format("reference {}@{} is gone", entry.name, entry.revision));
  }
  // Checked again: whoever can write the file is no approver by that.
  ASSIGN_OR_RETURN(const Opened opened, OpenDocument(whole->document));
  if (!opened.verdict.trusted()) {
    return absl::FailedPreconditionError(
        fmt::format("reference {}@{} is not believed any more: {}", entry.name,
                    entry.revision, opened.verdict.reasons.front().code));
  }
  const MutexLock lock(mutex_);
  parsed_.Put(key, opened.reference);
  return opened.reference;
}

absl::StatusOr<std::vector<reference::Reference>> ReferenceBook::For(
    const std::string& vm_uuid, WallTime now) {
  ASSIGN_OR_RETURN(const std::vector<ReferenceEntry> entries,
                   EntriesFor(vm_uuid, now));
  std::vector<reference::Reference> references;
  for (const ReferenceEntry& entry : entries) {
    absl::StatusOr<reference::Reference> parsed = Parsed(entry);
    if (absl::IsFailedPrecondition(parsed.status())) {
      log::Warning("reference passed over",
                   {{"why", std::string(parsed.status().message())}});
      continue;
    }
    RETURN_IF_ERROR(parsed.status());
    references.push_back(*std::move(parsed));
  }
  return references;
}

}  // namespace vmattest::verification
