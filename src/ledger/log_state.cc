#include "ledger/log_state.h"

#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "ledger/score_rules.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kRecent = 64;

}  // namespace

Bytes LogState::NameOf(const std::string& identity) {
  return Hash(HashAlgorithm::kSha256, AsBytes(identity));
}

LogState::LogState(LogPolicy policy) : policy_(std::move(policy)) {}

const Writer* LogState::FindWriter(const std::string& writer) const {
  const auto it = writers_.find(writer);
  return it == writers_.end() ? nullptr : &it->second;
}

WriterKey LogState::KeyFor(const Entry& entry) const {
  const Writer* const writer =
      entry.by_document ? nullptr : FindWriter(entry.Writer());
  return writer == nullptr
             ? WriterKey()
             : WriterKey{.host = writer->key, .generation = writer->generation};
}

std::optional<uint64_t> LogState::FindRetry(const Entry& entry) const {
  const Writer* const writer = FindWriter(entry.Writer());
  if (writer == nullptr || entry.body.sequence() > writer->sequence) {
    return std::nullopt;
  }
  for (const Writer::Recent& recent : writer->recent) {
    if (recent.sequence == entry.body.sequence() && recent.hash == entry.hash) {
      return recent.index;
    }
  }
  return std::nullopt;
}

bool LogState::IsLate(const Entry& entry, int64_t time_ms) const {
  return entry.body.time_unix_ms() < time_ms - policy_.max_skew_ms;
}

void LogState::Apply(const Entry& entry, int64_t time_ms) {
  const trust::At at{.index = size_, .time_ms = time_ms};
  ApplyWriter(entry, writers_[entry.Writer()]);
  if (entry.by_document) {
    ApplyDocument(entry, at);
  } else {
    ApplyHostEntry(entry, at);
  }
  for (const VmLink& link : entry.links) {
    VmChain& chain = chains_[link.vm];
    chain.newest = entry.hash;
    chain.indexes.push_back(size_);
  }
  ++size_;
  time_ms_ = time_ms;
}

void LogState::ApplyWriter(const Entry& entry, Writer& writer) const {
  writer.sequence = entry.body.sequence();
  writer.last_hash = entry.hash;
  writer.recent.push_back(
      {.sequence = entry.body.sequence(), .hash = entry.hash, .index = size_});
  if (writer.recent.size() > kRecent) {
    writer.recent.pop_front();
  }
}

void LogState::ApplyHostEntry(const Entry& entry, trust::At at) {
  const v1::LedgerEntryBody& body = entry.body;
  const bool late = IsLate(entry, at.time_ms);
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kAttestBatch: {
      std::vector<trust::Fold::VmChange> changes;
      for (const v1::LedgerVmChange& change : body.attest_batch().changes()) {
        if (!late || change.outcome() != v1::LEDGER_OUTCOME_PASS) {
          changes.push_back(
              {.vm = VmOf(change.vm_id()),
               .change = static_cast<trust::Fold::Change>(change.outcome()),
               .reason = change.reason()});
        }
      }
      fold_.Tick(at, body.host_id(), changes, body.attest_batch().tick(),
                 !late);
      return;
    }
    case v1::LedgerEntryBody::kAttestResult: {
      const bool pass =
          body.attest_result().outcome() == v1::LEDGER_OUTCOME_PASS;
      if (!late || !pass) {
        fold_.Result(at, VmOf(body.attest_result().vm_id()), pass,
                     body.attest_result().reason());
      }
      return;
    }
    case v1::LedgerEntryBody::kLaunchDecision:
      if (body.launch_decision().allowed()) {
        fold_.Start(at, VmOf(body.launch_decision().vm_id()), body.host_id());
      } else {
        ApplyRefusedLaunch(body, at);
      }
      return;
    case v1::LedgerEntryBody::kMigrateOut:
      fold_.Leave(at, VmOf(body.migrate_out().vm_id()),
                  body.migrate_out().to_host());
      return;
    case v1::LedgerEntryBody::kMigrateIn:
      fold_.Arrive(at, VmOf(body.migrate_in().vm_id()), body.host_id());
      return;
    default:
      return;
  }
}

// A failure, unless it is told by a host that is not the VM's: that would lower
// the scores of other hosts' VMs.
void LogState::ApplyRefusedLaunch(const v1::LedgerEntryBody& body,
                                  trust::At at) {
  const Uuid id = VmOf(body.launch_decision().vm_id());
  const trust::VmState* const vm = fold_.FindVm(id);
  if (vm != nullptr && (vm->host.empty() || vm->host == body.host_id())) {
    fold_.Result(at, id, false, body.launch_decision().reason());
  }
}

void LogState::SetKey(const std::string& host, const std::string& spki,
                      int64_t not_after) {
  Writer& writer = writers_[host];
  writer.key_spki = ToBytes(spki);
  writer.key = ImportWriterKey(spki);
  writer.generation = size_;
  writer.not_after_unix_ms = not_after;
}

void LogState::ApplyRegister(const v1::LedgerVmRegister& message,
                             trust::At at) {
  const Uuid vm = VmOf(message.vm_id());
  if (!message.ek_fingerprint().empty()) {
    by_ek_[NameOf(message.ek_fingerprint())] = vm;
  }
  if (!message.disk_lineage().empty()) {
    by_lineage_[NameOf(message.disk_lineage())] = vm;
  }
  fold_.Register(at, vm, message.owner());
  if (!message.home().empty()) {
    fold_.Rehome(at, vm, message.home() == "-" ? "" : message.home());
  }
}

void LogState::ApplyDocument(const Entry& entry, trust::At at) {
  const v1::LedgerEntryBody& body = entry.body;
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kHostAuthorise: {
      const v1::LedgerHostAuthorise& message = body.host_authorise();
      SetKey(message.host_id(), message.key_spki(),
             message.not_after_unix_ms());
      Writer& writer = writers_[message.host_id()];
      writer.revoked = false;
      writer.ek_fingerprint = ToBytes(message.ek_fingerprint());
      writer.witness_vkey = message.witness_vkey();
      return;
    }
    case v1::LedgerEntryBody::kKeyDelegate:
      SetKey(body.key_delegate().host_id(), body.key_delegate().key_spki(),
             body.key_delegate().not_after_unix_ms());
      return;
    case v1::LedgerEntryBody::kHostRevoke:
      writers_[body.host_revoke().host_id()].revoked = true;
      return;
    case v1::LedgerEntryBody::kVmRegister:
      ApplyRegister(body.vm_register(), at);
      return;
    case v1::LedgerEntryBody::kHostCompromise:
      if (body.host_compromise().cleared()) {
        fold_.Clear(at, body.host_compromise().host_id());
      } else {
        fold_.Flag(at, body.host_compromise().host_id());
      }
      return;
    case v1::LedgerEntryBody::kPolicy:
      fold_.SetRules(at, FromMessage(body.policy().score()));
      return;
    default:
      return;
  }
}

Bytes LogState::NewestOf(const Uuid& vm) const {
  const auto it = chains_.find(vm);
  return it == chains_.end() ? Bytes() : it->second.newest;
}

std::vector<uint64_t> LogState::History(const Uuid& vm, uint64_t before,
                                        size_t limit) const {
  const auto it = chains_.find(vm);
  std::vector<uint64_t> found;
  if (it == chains_.end()) {
    return found;
  }
  const std::vector<uint64_t>& all = it->second.indexes;
  for (auto end = std::lower_bound(all.begin(), all.end(), before);
       end != all.begin() && found.size() < limit;) {
    found.push_back(*--end);
  }
  return found;
}

}  // namespace vmattest::ledger
