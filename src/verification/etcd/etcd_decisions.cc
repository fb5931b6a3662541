#include <algorithm>
#include <set>
#include <utility>

#include "fmt/format.h"
#include "verification/etcd/etcd_verifier_store.h"
#include "verification/etcd/keys.h"
#include "verification/etcd/rows.h"

// The part of EtcdVerifierStore that is about decisions.

namespace vmattest::verification {
namespace {

constexpr uint64_t kNewest = ~uint64_t{0};
// Of a transaction, beside what a call itself writes.
constexpr size_t kWritesWithDrops = 110;
constexpr size_t kDropsAtOnce = 8;
constexpr uint64_t kPage = 100;
constexpr uint64_t kTrimAtOnce = 12;

std::string DecisionKey(uint64_t sequence) { return "d/" + Forward(sequence); }
std::string EvidenceKey(uint64_t sequence) { return "e/" + Inverse(sequence); }
std::string RefusedKey(uint64_t sequence) { return "r/" + Inverse(sequence); }
std::string OfVm(std::string_view kind, const std::string& vm_uuid) {
  return fmt::format("{}/{}", kind, vm_uuid) + '\0';
}
std::string VmOfHostKey(const DecisionEntry& decision) {
  return "h/" + decision.host_id + '\0' + decision.vm_uuid;
}

// The sequence that a key of an index ends with.
absl::StatusOr<uint64_t> SequenceIn(const std::string& key) {
  constexpr size_t kDigits = 16;
  const auto bytes =
      ParseHex(key.size() < kDigits ? "" : key.substr(key.size() - kDigits));
  if (!bytes.ok() || bytes->size() != sizeof(uint64_t)) {
    return absl::DataLossError(
        fmt::format("{} is no key of the verifier's store", key));
  }
  return ~ByteReader(*bytes).U64();
}

// A key is put once in a change; the last value stays.
void PutLast(EtcdTable::Change& change, const std::string& key,
             std::string value) {
  for (auto& write : change.writes) {
    auto* put = std::get_if<etcd::Put>(&write);
    if (put != nullptr && put->key == key) {
      put->value = std::move(value);
      return;
    }
  }
  change.Put(key, std::move(value));
}

}  // namespace

absl::StatusOr<internal::StoredBytes> EtcdVerifierStore::UploadEvent(
    const std::optional<DecisionEntry>& event) {
  return event ? table_.Upload(EncodeDecision(*event))
               : absl::StatusOr<internal::StoredBytes>(internal::StoredBytes());
}

absl::StatusOr<uint64_t> EtcdVerifierStore::AddEvent(
    Change& change, const std::optional<DecisionEntry>& event,
    const internal::StoredBytes& stored) {
  if (!event) {
    return 0;
  }
  RETURN_IF_ERROR(AddDecision(change, *event, stored));
  return change.counter.last_sequence();
}

absl::Status EtcdVerifierStore::AddDecision(
    Change& change, const DecisionEntry& decision,
    const internal::StoredBytes& stored) {
  const uint64_t sequence = change.counter.last_sequence() + 1;
  change.counter.set_last_sequence(sequence);
  RETURN_IF_ERROR(table_.Keep(stored, change));
  change.Put(DecisionKey(sequence), stored.SerializeAsString());
  if (decision.kind == DecisionEntry::Kind::kDecision) {
    change.Put(OfVm("v", decision.vm_uuid) + Inverse(sequence),
               decision.trusted ? "t" : "f");
    if (!decision.trusted) {
      change.Put(RefusedKey(sequence), "");
    }
  }
  if (decision.genuine) {
    PutLast(change, VmOfHostKey(decision), Forward(sequence));
  }
  return absl::OkStatus();
}

absl::Status EtcdVerifierStore::AddEvidence(
    Change& change, const std::vector<DecisionWrite>& decisions,
    const std::vector<Uploaded>& uploads, size_t keep_evidence) {
  std::map<std::string, size_t> kept;
  const uint64_t last = change.counter.last_sequence();
  for (size_t i = decisions.size(); i-- > 0;) {
    const DecisionWrite& write = decisions[i];
    const std::string& vm_uuid = write.decision.vm_uuid;
    if (write.evidence.empty() || ++kept[vm_uuid] > keep_evidence) {
      continue;
    }
    const uint64_t sequence = last - (decisions.size() - 1 - i);
    internal::StoredEvidence row;
    row.set_vm_uuid(vm_uuid);
    row.set_trusted(write.decision.trusted);
    *row.mutable_evidence() = uploads[i].evidence;
    RETURN_IF_ERROR(table_.Keep(uploads[i].evidence, change));
    change.Put(EvidenceKey(sequence), row.SerializeAsString());
    change.Put(OfVm("x", vm_uuid) + Inverse(sequence), "");
  }
  for (const auto& [vm_uuid, count] : kept) {
    RETURN_IF_ERROR(DropEvidence(
        change, vm_uuid, keep_evidence - std::min(count, keep_evidence)));
  }
  return absl::OkStatus();
}

absl::Status EtcdVerifierStore::DropEvidence(Change& change,
                                             const std::string& vm_uuid,
                                             size_t keep) {
  const std::string prefix = OfVm("x", vm_uuid);
  size_t seen = 0;
  return table_.Scan(change, prefix, prefix,
                     [&](const std::string& key,
                         const std::string& /*value*/) -> absl::StatusOr<bool> {
                       if (++seen <= keep) {
                         return true;
                       }
                       ASSIGN_OR_RETURN(const uint64_t sequence,
                                        SequenceIn(key));
                       RETURN_IF_ERROR(DropOneEvidence(change, sequence));
                       return seen - keep < kDropsAtOnce &&
                              change.writes.size() < kWritesWithDrops;
                     });
}

// Nothing if there is none.
absl::Status EtcdVerifierStore::DropOneEvidence(Change& change,
                                                uint64_t sequence) {
  const std::string key = EvidenceKey(sequence);
  ASSIGN_OR_RETURN(const std::optional<std::string> value,
                   table_.Get(change, key));
  if (!value) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto row,
                   DecodeMessage<internal::StoredEvidence>(key, *value));
  EtcdTable::Drop(row.evidence(), change);
  change.Delete(key);
  change.Delete(OfVm("x", row.vm_uuid()) + Inverse(sequence));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> EtcdVerifierStore::Append(
    const std::vector<DecisionWrite>& decisions, size_t keep_evidence) {
  RETURN_IF_ERROR(CheckCount(decisions.size()));
  std::vector<Uploaded> uploads;
  for (const DecisionWrite& write : decisions) {
    Uploaded uploaded;
    ASSIGN_OR_RETURN(uploaded.decision,
                     table_.Upload(EncodeDecision(write.decision)));
    ASSIGN_OR_RETURN(uploaded.evidence, table_.Upload(write.evidence));
    uploads.push_back(std::move(uploaded));
  }
  uint64_t first = 0;
  const absl::Status applied =
      table_.Apply([&](Change& change) -> absl::Status {
        first = decisions.empty() ? 0 : change.counter.last_sequence() + 1;
        for (size_t i = 0; i < decisions.size(); ++i) {
          RETURN_IF_ERROR(
              AddDecision(change, decisions[i].decision, uploads[i].decision));
        }
        return AddEvidence(change, decisions, uploads, keep_evidence);
      });
  RETURN_IF_ERROR(applied);
  return first;
}

absl::StatusOr<std::optional<DecisionEntry>> EtcdVerifierStore::DecisionAt(
    const Read& at, uint64_t sequence) {
  const std::string key = DecisionKey(sequence);
  ASSIGN_OR_RETURN(const std::optional<std::string> value, table_.Get(at, key));
  if (!value) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(DecisionEntry decision, ReadDecision(at, key, *value));
  return decision;
}

absl::StatusOr<DecisionEntry> EtcdVerifierStore::ReadDecision(
    const Read& at, const std::string& key, const std::string& value) {
  ASSIGN_OR_RETURN(const auto stored,
                   DecodeMessage<internal::StoredBytes>(key, value));
  ASSIGN_OR_RETURN(const Bytes bytes, table_.Load(at, stored));
  ASSIGN_OR_RETURN(DecisionEntry decision, DecodeDecision(key, bytes));
  ASSIGN_OR_RETURN(const uint64_t inverse, SequenceIn(key));
  decision.sequence = ~inverse;
  return decision;
}

absl::StatusOr<std::vector<DecisionEntry>> EtcdVerifierStore::Decisions(
    const DecisionQuery& query) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  const uint64_t newest =
      query.before_sequence == 0 ? kNewest : query.before_sequence - 1;
  if (query.vm_uuid.empty() && !query.refused_only) {
    return AllDecisions(at, newest, query.limit);
  }
  const std::string prefix =
      query.vm_uuid.empty() ? "r/" : OfVm("v", query.vm_uuid);
  std::vector<DecisionEntry> decisions;
  if (query.limit == 0) {
    return decisions;
  }
  RETURN_IF_ERROR(
      table_.Scan(at, prefix, prefix + Inverse(newest),
                  [&](const std::string& key,
                      const std::string& value) -> absl::StatusOr<bool> {
                    if (query.refused_only && value == "t") {
                      return true;
                    }
                    ASSIGN_OR_RETURN(const uint64_t sequence, SequenceIn(key));
                    ASSIGN_OR_RETURN(std::optional<DecisionEntry> decision,
                                     DecisionAt(at, sequence));
                    if (decision) {
                      decisions.push_back(*std::move(decision));
                    }
                    return decisions.size() < query.limit;
                  }));
  return decisions;
}

// Backwards in pages: sequences are gapless.
absl::StatusOr<std::vector<DecisionEntry>> EtcdVerifierStore::AllDecisions(
    const Read& at, uint64_t newest, size_t limit) {
  std::vector<DecisionEntry> decisions;
  uint64_t end = std::min(newest, at.counter.last_sequence()) + 1;
  while (end > at.counter.first_sequence() && decisions.size() < limit) {
    const uint64_t begin =
        std::max(at.counter.first_sequence(), end - std::min(end, kPage));
    std::vector<DecisionEntry> page;
    RETURN_IF_ERROR(
        table_.Scan(at, "d/", DecisionKey(begin),
                    [&](const std::string& key,
                        const std::string& value) -> absl::StatusOr<bool> {
                      ASSIGN_OR_RETURN(DecisionEntry decision,
                                       ReadDecision(at, key, value));
                      const bool last = decision.sequence + 1 >= end;
                      page.push_back(std::move(decision));
                      return !last;
                    }));
    for (size_t i = page.size(); i-- > 0 && decisions.size() < limit;) {
      if (page[i].kind == DecisionEntry::Kind::kDecision) {
        decisions.push_back(std::move(page[i]));
      }
    }
    end = begin;
  }
  return decisions;
}

absl::StatusOr<std::vector<DecisionEntry>> EtcdVerifierStore::After(
    uint64_t sequence, size_t limit) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<DecisionEntry> decisions;
  if (sequence >= at.counter.last_sequence() || limit == 0) {
    return decisions;
  }
  RETURN_IF_ERROR(table_.Scan(
      at, "d/", DecisionKey(sequence + 1),
      [&](const std::string& key,
          const std::string& value) -> absl::StatusOr<bool> {
        ASSIGN_OR_RETURN(DecisionEntry decision, ReadDecision(at, key, value));
        decisions.push_back(std::move(decision));
        return decisions.size() < limit;
      }));
  return decisions;
}

absl::StatusOr<std::optional<DecisionEntry>> EtcdVerifierStore::FindDecision(
    uint64_t sequence) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  return DecisionAt(at, sequence);
}

absl::StatusOr<uint64_t> EtcdVerifierStore::LastSequence() {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  return at.counter.last_sequence();
}

absl::StatusOr<std::optional<RecordedEvidence>> EtcdVerifierStore::EvidenceAt(
    const Read& at, uint64_t sequence) {
  const std::string key = EvidenceKey(sequence);
  ASSIGN_OR_RETURN(const std::optional<std::string> value, table_.Get(at, key));
  if (!value) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(const auto row,
                   DecodeMessage<internal::StoredEvidence>(key, *value));
  RecordedEvidence recorded{.sequence = sequence,
                            .vm_uuid = row.vm_uuid(),
                            .trusted = row.trusted(),
                            .evidence = {}};
  ASSIGN_OR_RETURN(recorded.evidence, table_.Load(at, row.evidence()));
  return recorded;
}

absl::StatusOr<Bytes> EtcdVerifierStore::FindEvidence(uint64_t sequence) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  ASSIGN_OR_RETURN(std::optional<RecordedEvidence> recorded,
                   EvidenceAt(at, sequence));
  return recorded ? std::move(recorded->evidence) : Bytes();
}

absl::StatusOr<std::vector<RecordedEvidence>> EtcdVerifierStore::NewestEvidence(
    const std::string& vm_uuid, uint64_t before_sequence, size_t limit) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  const uint64_t newest = before_sequence == 0 ? kNewest : before_sequence - 1;
  const std::string prefix = vm_uuid.empty() ? "e/" : OfVm("x", vm_uuid);
  std::vector<RecordedEvidence> evidence;
  RETURN_IF_ERROR(
      table_.Scan(at, prefix, prefix + Inverse(newest),
                  [&](const std::string& key,
                      const std::string& /*value*/) -> absl::StatusOr<bool> {
                    if (evidence.size() >= limit) {
                      return false;
                    }
                    ASSIGN_OR_RETURN(const uint64_t sequence, SequenceIn(key));
                    ASSIGN_OR_RETURN(std::optional<RecordedEvidence> recorded,
                                     EvidenceAt(at, sequence));
                    if (recorded) {
                      evidence.push_back(*std::move(recorded));
                    }
                    return evidence.size() < limit;
                  }));
  return evidence;
}

absl::StatusOr<std::vector<std::string>> EtcdVerifierStore::VmsOfHost(
    const std::string& host_id, size_t limit) {
  ASSIGN_OR_RETURN(const Read at, table_.Now());
  std::vector<std::string> vms;
  const std::string prefix = "h/" + host_id + '\0';
  RETURN_IF_ERROR(
      table_.Scan(at, prefix, prefix,
                  [&](const std::string& key,
                      const std::string& /*value*/) -> absl::StatusOr<bool> {
                    if (vms.size() < limit) {
                      vms.push_back(key.substr(prefix.size()));
                    }
                    return vms.size() < limit;
                  }));
  return vms;
}

absl::Status EtcdVerifierStore::TrimOne(Change& change, uint64_t sequence) {
  const std::string key = DecisionKey(sequence);
  ASSIGN_OR_RETURN(const std::optional<std::string> value,
                   table_.Get(change, key));
  if (!value) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const DecisionEntry decision,
                   ReadDecision(change, key, *value));
  ASSIGN_OR_RETURN(const auto stored,
                   DecodeMessage<internal::StoredBytes>(key, *value));
  EtcdTable::Drop(stored, change);
  change.Delete(key);
  change.Delete(OfVm("v", decision.vm_uuid) + Inverse(sequence));
  change.Delete(RefusedKey(sequence));
  ASSIGN_OR_RETURN(const std::optional<std::string> newest,
                   table_.Get(change, VmOfHostKey(decision)));
  if (newest && *newest == Forward(sequence)) {
    change.Delete(VmOfHostKey(decision));
  }
  return DropOneEvidence(change, sequence);
}

absl::Status EtcdVerifierStore::Trim(size_t keep) {
  const MonotonicTime deadline = table_.Deadline();
  while (std::chrono::steady_clock::now() < deadline) {
    ASSIGN_OR_RETURN(const Read at, table_.Now());
    if (at.counter.last_sequence() + 1 - at.counter.first_sequence() <= keep) {
      break;
    }
    const absl::Status applied =
        table_.Apply([&](Change& change) -> absl::Status {
          const uint64_t first = change.counter.first_sequence();
          const uint64_t kept = change.counter.last_sequence() + 1 - first;
          const uint64_t most = std::min<uint64_t>(
              kTrimAtOnce, kept - std::min<uint64_t>(kept, keep));
          for (uint64_t sequence = first; sequence < first + most; ++sequence) {
            RETURN_IF_ERROR(TrimOne(change, sequence));
          }
          change.counter.set_first_sequence(first + most);
          return absl::OkStatus();
        });
    RETURN_IF_ERROR(applied);
  }
  return table_.Sweep();
}

}  // namespace vmattest::verification
