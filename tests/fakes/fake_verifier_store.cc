#include "fakes/fake_verifier_store.h"

#include <algorithm>
#include <set>

#include "base/status.h"

namespace vmattest::testing {

using verification::BaselineEntry;
using verification::BreakGlassEntry;
using verification::DecisionEntry;
using verification::DecisionQuery;
using verification::HostEntry;
using verification::RebindPermit;
using verification::RecordedEvidence;
using verification::ReferenceEntry;

void FakeVerifierStore::FailWith(const absl::Status& status) {
  const MutexLock lock(mutex_);
  failure_ = status;
}

absl::StatusOr<std::optional<HostEntry>> FakeVerifierStore::FindHost(
    const std::string& host_id) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = hosts_.find(host_id);
  return it == hosts_.end() ? std::optional<HostEntry>() : it->second;
}

absl::StatusOr<std::optional<HostEntry>> FakeVerifierStore::FindHostOfClient(
    const std::string& client_identity) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::optional<HostEntry> found;
  for (const auto& [host_id, host] : hosts_) {
    if (host.client_identity == client_identity &&
        (!found || found->state == HostEntry::State::kRevoked)) {
      found = host;
    }
  }
  return found;
}

absl::StatusOr<std::vector<HostEntry>> FakeVerifierStore::FindHostsOfKeys(
    const Bytes& ak_name, const Bytes& ek_fingerprint) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<HostEntry> found;
  for (const auto& [host_id, host] : hosts_) {
    if (host.ak_name == ak_name || host.ek_fingerprint == ek_fingerprint) {
      found.push_back(host);
    }
  }
  return found;
}

absl::StatusOr<std::vector<HostEntry>> FakeVerifierStore::ListHosts(
    const std::string& after, size_t limit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<HostEntry> hosts;
  for (auto it = hosts_.upper_bound(after);
       it != hosts_.end() && hosts.size() < limit; ++it) {
    hosts.push_back(it->second);
  }
  return hosts;
}

absl::StatusOr<uint64_t> FakeVerifierStore::PutHost(const HostWrite& write) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const HostEntry& host = write.host;
  const auto before = hosts_.find(host.host_id);
  const bool known = before != hosts_.end();
  if (host.revision != (known ? before->second.revision : 0) + 1) {
    return absl::AbortedError("host changed meanwhile");
  }
  for (const auto& [host_id, other] : hosts_) {
    if (host_id == host.host_id) {
      continue;
    }
    if (other.client_identity == host.client_identity &&
        other.state != HostEntry::State::kRevoked &&
        host.state != HostEntry::State::kRevoked) {
      return absl::AlreadyExistsError("the client has a host already");
    }
    if (other.ak_name == host.ak_name ||
        other.ek_fingerprint == host.ek_fingerprint) {
      return absl::AlreadyExistsError("a host has the key already");
    }
  }
  if (host.state == HostEntry::State::kRevoked &&
      !(known && before->second.state == HostEntry::State::kRevoked)) {
    ++epoch_;
  }
  if (write.spend_permit) {
    permits_.erase(host.host_id);
  }
  hosts_[host.host_id] = host;
  return write.event ? Add(*write.event) : 0;
}

absl::StatusOr<uint64_t> FakeVerifierStore::RevocationEpoch() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  return epoch_;
}

absl::Status FakeVerifierStore::PutPermit(const RebindPermit& permit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  permits_[permit.host_id] = permit;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<RebindPermit>> FakeVerifierStore::FindPermit(
    const std::string& host_id) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = permits_.find(host_id);
  return it == permits_.end() ? std::optional<RebindPermit>() : it->second;
}

const ReferenceEntry* FakeVerifierStore::Newest(const std::string& name) const {
  auto it = references_.upper_bound({name, ~uint64_t{0}});
  if (it == references_.begin()) {
    return nullptr;
  }
  --it;
  return it->first.first == name ? &it->second : nullptr;
}

absl::StatusOr<uint64_t> FakeVerifierStore::PutReference(
    const ReferenceWrite& write) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const ReferenceEntry& reference = write.reference;
  const ReferenceEntry* newest = Newest(reference.name);
  const uint64_t revision = newest == nullptr ? 0 : newest->revision;
  if (revision != write.seen_revision || reference.revision <= revision) {
    return absl::AbortedError("the reference changed meanwhile");
  }
  for (const auto& [key, other] : references_) {
    const std::vector<std::string>& vms = Newest(key.first)->vm_uuids;
    for (const std::string& vm : reference.vm_uuids) {
      if (key.first != reference.name &&
          std::find(vms.begin(), vms.end(), vm) != vms.end()) {
        return absl::AlreadyExistsError("the VM has a reference already");
      }
    }
  }
  ReferenceEntry& stored = references_[{reference.name, reference.revision}];
  stored = reference;
  std::sort(stored.vm_uuids.begin(), stored.vm_uuids.end());
  return write.event ? Add(*write.event) : 0;
}

absl::StatusOr<std::optional<ReferenceEntry>> FakeVerifierStore::FindReference(
    const std::string& name, uint64_t revision) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  if (revision == 0) {
    const ReferenceEntry* newest = Newest(name);
    return newest == nullptr ? std::optional<ReferenceEntry>() : *newest;
  }
  const auto it = references_.find({name, revision});
  return it == references_.end() ? std::optional<ReferenceEntry>() : it->second;
}

absl::StatusOr<std::vector<uint64_t>> FakeVerifierStore::RevisionsOf(
    const std::string& name) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<uint64_t> revisions;
  for (auto it = references_.lower_bound({name, 0});
       it != references_.end() && it->first.first == name; ++it) {
    revisions.push_back(it->first.second);
  }
  return revisions;
}

absl::StatusOr<std::vector<ReferenceEntry>> FakeVerifierStore::ListReferences(
    const std::string& after, size_t limit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<ReferenceEntry> found;
  for (auto it = references_.upper_bound({after, ~uint64_t{0}});
       it != references_.end() && found.size() < limit;
       it = references_.upper_bound({it->first.first, ~uint64_t{0}})) {
    found.push_back(*Newest(it->first.first));
    found.back().document.clear();
  }
  return found;
}

absl::StatusOr<std::vector<ReferenceEntry>> FakeVerifierStore::ReferencesOf(
    const std::string& vm_uuid, int64_t now_unix_ms) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::set<std::string> names;
  for (const auto& [key, reference] : references_) {
    if (std::find(reference.vm_uuids.begin(), reference.vm_uuids.end(),
                  vm_uuid) != reference.vm_uuids.end()) {
      names.insert(key.first);
    }
  }
  std::map<std::string, ReferenceEntry> found;
  for (const auto& [key, reference] : references_) {
    if (names.contains(key.first) &&
        reference.not_before_unix_ms <= now_unix_ms &&
        reference.not_after_unix_ms > now_unix_ms) {
      found[key.first] = reference;
      found[key.first].document.clear();
    }
  }
  std::vector<ReferenceEntry> all;
  for (const auto& [name, reference] : found) {
    all.push_back(reference);
  }
  return all;
}

const FakeVerifierStore::BaselineWrite* FakeVerifierStore::NewestBaseline(
    const std::string& name) const {
  const auto after = baselines_.upper_bound({name, ~uint64_t{0}});
  if (after == baselines_.begin() || std::prev(after)->first.first != name) {
    return nullptr;
  }
  return &std::prev(after)->second;
}

absl::StatusOr<uint64_t> FakeVerifierStore::PutBaseline(
    const BaselineWrite& write) {
  RETURN_IF_ERROR(CheckVms(write.baseline));
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const BaselineEntry& baseline = write.baseline;
  const BaselineWrite* newest = NewestBaseline(baseline.name);
  const uint64_t revision = newest == nullptr ? 0 : newest->baseline.revision;
  if (revision != write.seen_revision || baseline.revision <= revision) {
    return absl::AbortedError("the baseline changed meanwhile");
  }
  for (const auto& [key, unused] : baselines_) {
    const BaselineEntry& other = NewestBaseline(key.first)->baseline;
    for (const std::string& vm : baseline.vm_uuids) {
      if (other.name != baseline.name && other.subset == baseline.subset &&
          std::find(other.vm_uuids.begin(), other.vm_uuids.end(), vm) !=
              other.vm_uuids.end()) {
        return absl::AlreadyExistsError("the VM has a baseline already");
      }
    }
  }
  baselines_[{baseline.name, baseline.revision}] = write;
  return write.event ? Add(*write.event) : 0;
}

absl::StatusOr<std::optional<BaselineEntry>> FakeVerifierStore::FindBaseline(
    const std::string& name, uint64_t revision) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  if (revision == 0) {
    const BaselineWrite* newest = NewestBaseline(name);
    return newest == nullptr ? std::nullopt : std::optional(newest->baseline);
  }
  const auto it = baselines_.find({name, revision});
  return it == baselines_.end() ? std::nullopt
                                : std::optional(it->second.baseline);
}

absl::StatusOr<Bytes> FakeVerifierStore::BaselinePages(const std::string& name,
                                                       uint64_t revision) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = baselines_.find({name, revision});
  if (it == baselines_.end()) {
    return absl::NotFoundError("no such baseline");
  }
  return it->second.pages;
}

absl::StatusOr<std::vector<BaselineEntry>> FakeVerifierStore::ListBaselines(
    const std::string& after, size_t limit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<BaselineEntry> found;
  for (auto it = baselines_.upper_bound({after, ~uint64_t{0}});
       it != baselines_.end() && found.size() < limit;
       it = baselines_.upper_bound({it->first.first, ~uint64_t{0}})) {
    found.push_back(NewestBaseline(it->first.first)->baseline);
    found.back().document.clear();
  }
  return found;
}

absl::StatusOr<std::vector<uint64_t>> FakeVerifierStore::BaselineRevisions(
    const std::string& name) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<uint64_t> revisions;
  for (auto it = baselines_.lower_bound({name, 0});
       it != baselines_.end() && it->first.first == name; ++it) {
    revisions.push_back(it->first.second);
  }
  return revisions;
}

absl::StatusOr<std::optional<BaselineEntry>> FakeVerifierStore::BaselineOf(
    const std::string& vm_uuid, const std::string& subset) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  for (const auto& [key, unused] : baselines_) {
    const BaselineEntry& newest = NewestBaseline(key.first)->baseline;
    if (newest.subset == subset &&
        std::find(newest.vm_uuids.begin(), newest.vm_uuids.end(), vm_uuid) !=
            newest.vm_uuids.end()) {
      return newest;
    }
  }
  return std::nullopt;
}

absl::StatusOr<uint64_t> FakeVerifierStore::PutBreakGlass(
    const BreakGlassWrite& write) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const BreakGlassEntry& order = write.order;
  std::erase_if(orders_, [&order](const auto& item) {
    return item.second.not_after_unix_ms < order.stored_unix_ms;
  });
  if (orders_.contains(order.serial)) {
    return absl::AlreadyExistsError("the order's serial is known");
  }
  const auto others =
      std::count_if(orders_.begin(), orders_.end(), [&order](const auto& item) {
        return item.second.host_id == order.host_id;
      });
  if (static_cast<size_t>(others) >= write.most) {
    return absl::ResourceExhaustedError("the host has enough orders");
  }
  orders_[order.serial] = order;
  return write.event ? Add(*write.event) : 0;
}

absl::StatusOr<std::vector<BreakGlassEntry>> FakeVerifierStore::BreakGlassOf(
    const std::string& host_id, int64_t now_unix_ms) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<BreakGlassEntry> found;
  for (const auto& [serial, order] : orders_) {
    if (order.host_id == host_id && order.not_after_unix_ms >= now_unix_ms) {
      found.push_back(order);
    }
  }
  return found;
}

uint64_t FakeVerifierStore::Add(const DecisionEntry& decision) {
  DecisionEntry& stored = decisions_[++last_sequence_];
  stored = decision;
  stored.sequence = last_sequence_;
  stored.fixes.resize(stored.reasons.size());
  return last_sequence_;
}

absl::StatusOr<uint64_t> FakeVerifierStore::Append(
    const std::vector<DecisionWrite>& decisions, size_t keep_evidence) {
  RETURN_IF_ERROR(CheckCount(decisions.size()));
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const uint64_t first = last_sequence_ + 1;
  for (const DecisionWrite& write : decisions) {
    const uint64_t sequence = Add(write.decision);
    if (!write.evidence.empty()) {
      evidence_[sequence] = {sequence, write.decision.vm_uuid,
                             write.decision.trusted, write.evidence};
    }
  }
  std::map<std::string, size_t> seen;
  for (auto it = evidence_.end(); it != evidence_.begin();) {
    --it;
    if (++seen[it->second.vm_uuid] > keep_evidence) {
      it = evidence_.erase(it);
    }
  }
  return decisions.empty() ? 0 : first;
}

absl::StatusOr<std::vector<DecisionEntry>> FakeVerifierStore::Decisions(
    const DecisionQuery& query) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<DecisionEntry> found;
  for (auto it = decisions_.rbegin();
       it != decisions_.rend() && found.size() < query.limit; ++it) {
    const DecisionEntry& decision = it->second;
    if (decision.kind == DecisionEntry::Kind::kDecision &&
        (query.before_sequence == 0 || it->first < query.before_sequence) &&
        (query.vm_uuid.empty() || decision.vm_uuid == query.vm_uuid) &&
        !(query.refused_only && decision.trusted)) {
      found.push_back(decision);
    }
  }
  return found;
}

absl::StatusOr<std::vector<DecisionEntry>> FakeVerifierStore::After(
    uint64_t sequence, size_t limit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<DecisionEntry> found;
  for (auto it = decisions_.upper_bound(sequence);
       it != decisions_.end() && found.size() < limit; ++it) {
    found.push_back(it->second);
  }
  return found;
}

absl::StatusOr<std::optional<DecisionEntry>> FakeVerifierStore::FindDecision(
    uint64_t sequence) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = decisions_.find(sequence);
  return it == decisions_.end() ? std::optional<DecisionEntry>() : it->second;
}

absl::StatusOr<uint64_t> FakeVerifierStore::LastSequence() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  return last_sequence_;
}

absl::StatusOr<Bytes> FakeVerifierStore::FindEvidence(uint64_t sequence) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const auto it = evidence_.find(sequence);
  return it == evidence_.end() ? Bytes() : it->second.evidence;
}

absl::StatusOr<std::vector<RecordedEvidence>> FakeVerifierStore::NewestEvidence(
    const std::string& vm_uuid, uint64_t before_sequence, size_t limit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::vector<RecordedEvidence> found;
  for (auto it = evidence_.rbegin();
       it != evidence_.rend() && found.size() < limit; ++it) {
    if ((before_sequence == 0 || it->first < before_sequence) &&
        (vm_uuid.empty() || it->second.vm_uuid == vm_uuid)) {
      found.push_back(it->second);
    }
  }
  return found;
}

absl::StatusOr<std::vector<std::string>> FakeVerifierStore::VmsOfHost(
    const std::string& host_id, size_t limit) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  std::set<std::string> vms;
  for (const auto& [sequence, decision] : decisions_) {
    if (decision.genuine && decision.host_id == host_id) {
      vms.insert(decision.vm_uuid);
    }
  }
  std::vector<std::string> found(vms.begin(), vms.end());
  found.resize(std::min(found.size(), limit));
  return found;
}

absl::Status FakeVerifierStore::Trim(size_t keep) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(failure_);
  const uint64_t last_dropped =
      last_sequence_ > keep ? last_sequence_ - keep : 0;
  decisions_.erase(decisions_.begin(), decisions_.upper_bound(last_dropped));
  evidence_.erase(evidence_.begin(), evidence_.upper_bound(last_dropped));
  return absl::OkStatus();
}

}  // namespace vmattest::testing
