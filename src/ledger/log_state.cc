#include "ledger/log_state.h"

#include <algorithm>
#include <span>

#include "crypto/digest.h"
#include "crypto/ecdsa_der.h"
#include "fmt/format.h"
#include "ledger/reason_codes.h"
#include "ledger/score_rules.h"
#include "merkle/tree.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kRecent = 64;
constexpr auto kSha256 = HashAlgorithm::kSha256;

Reason Refuse(std::string_view code, std::string element,
              std::string expected = "", std::string found = "") {
  return {std::string(code), std::move(element), std::move(expected),
          std::move(found)};
}

Uuid VmOf(const std::string& vm_id) {
  Uuid vm;
  std::copy_n(vm_id.begin(), std::min(vm_id.size(), vm.bytes.size()),
              vm.bytes.begin());
  return vm;
}

bool IsByHost(const v1::LedgerEntryBody& body) {
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kAttestResult:
    case v1::LedgerEntryBody::kAttestBatch:
    case v1::LedgerEntryBody::kMigrateOut:
    case v1::LedgerEntryBody::kMigrateIn:
    case v1::LedgerEntryBody::kLaunchDecision:
      return true;
    case v1::LedgerEntryBody::kNotice:
      switch (body.notice().kind()) {
        case v1::LedgerNotice::KIND_TICKET:
        case v1::LedgerNotice::KIND_LEASE:
        case v1::LedgerNotice::KIND_HOST_ADVERT:
        case v1::LedgerNotice::KIND_HOST_EVENT:
          return true;
        default:
          return false;
      }
    default:
      return false;
  }
}

bool IsByDocument(const v1::LedgerEntryBody& body) {
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kHostAuthorise:
    case v1::LedgerEntryBody::kHostRevoke:
    case v1::LedgerEntryBody::kKeyDelegate:
    case v1::LedgerEntryBody::kVmRegister:
    case v1::LedgerEntryBody::kHostCompromise:
    case v1::LedgerEntryBody::kStateRoot:
    case v1::LedgerEntryBody::kPolicy:
      return true;
    case v1::LedgerEntryBody::kNotice:
      switch (body.notice().kind()) {
        case v1::LedgerNotice::KIND_TICKET:
        case v1::LedgerNotice::KIND_REFERENCE_APPROVED:
        case v1::LedgerNotice::KIND_BREAK_GLASS:
        case v1::LedgerNotice::KIND_EVACUATION:
          return true;
        default:
          return false;
      }
    default:
      return false;
  }
}

// Rule S33: an authority that saw no evidence names no key.
std::optional<Reason> CheckVouched(const std::string& evidence_hash) {
  return evidence_hash.size() == DigestSize(kSha256)
             ? std::nullopt
             : std::optional(
                   Refuse(reason::kMalformed, "key_evidence_hash",
                          "SHA-256 of the evidence by the host's TPM",
                          fmt::format("{} bytes", evidence_hash.size())));
}

std::shared_ptr<const EcVerifier> ImportKey(const std::string& spki) {
  const absl::StatusOr<EcPublicKey> key = ParseP256Spki(AsBytes(spki));
  if (!key.ok()) {
    return nullptr;
  }
  absl::StatusOr<EcVerifier> verifier = EcVerifier::Import(*key);
  return verifier.ok()
             ? std::make_shared<const EcVerifier>(*std::move(verifier))
             : nullptr;
}

}  // namespace

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
  if (writer == nullptr) {
    return std::nullopt;
  }
  for (const Writer::Recent& recent : writer->recent) {
    if (recent.sequence == entry.body.sequence() && recent.hash == entry.hash) {
      return recent.index;
    }
  }
  return std::nullopt;
}

std::vector<std::string> LogState::Touches(const Entry& entry) {
  std::vector<std::string> touched{"writer/" + entry.Writer()};
  if (!IsByHost(entry.body)) {
    touched.emplace_back("*");
    return touched;
  }
  touched.push_back("host/" + entry.body.host_id());
  if (entry.body.has_migrate_out()) {
    touched.push_back("host/" + entry.body.migrate_out().to_host());
  }
  if (entry.body.has_migrate_in()) {
    touched.push_back("host/" + entry.body.migrate_in().from_host());
  }
  const absl::StatusOr<std::vector<VmLink>> links = VmLinks(entry.body);
  for (const VmLink& link : *links) {
    touched.push_back("vm/" + vmattest::ToString(link.vm));
  }
  return touched;
}

bool LogState::IsLate(const Entry& entry, int64_t time_ms) const {
  return entry.body.time_unix_ms() < time_ms - policy_.max_skew_ms;
}

std::optional<Reason> LogState::Check(const Entry& entry, const WriterKey& key,
                                      int64_t time_ms) const {
  if (entry.body.log() != policy_.origin) {
    return Refuse(reason::kOrigin, "log", policy_.origin, entry.body.log());
  }
  if (entry.bytes.size() > kMaxEntrySize || time_ms < time_ms_) {
    return Refuse(reason::kMalformed, "entry");
  }
  if (!(entry.by_document ? IsByDocument(entry.body) : IsByHost(entry.body))) {
    return Refuse(reason::kNotPermitted, std::string(TypeName(entry.body)),
                  entry.by_document ? "of a host" : "of the Trust Authority");
  }
  for (const auto& refusal :
       {CheckWriter(entry, key, time_ms), CheckLinks(entry)}) {
    if (refusal) {
      return refusal;
    }
  }
  return entry.by_document ? CheckDocument(entry)
                           : CheckHostEntry(entry, time_ms);
}

std::optional<Reason> LogState::CheckWriter(const Entry& entry,
                                            const WriterKey& key,
                                            int64_t time_ms) const {
  const Writer* const writer = FindWriter(entry.Writer());
  if (!entry.by_document) {
    if (writer == nullptr || writer->key == nullptr) {
      return Refuse(reason::kWriterUnknown, "host_id", "an authorised host",
                    entry.body.host_id());
    }
    if (writer->revoked) {
      return Refuse(reason::kWriterRevoked, "host_id", "",
                    entry.body.host_id());
    }
    // The key changed while its signature was checked.
    if (writer->generation != key.generation) {
      return Refuse(reason::kSignature, "signature", "by the newest key");
    }
    if (writer->not_after_unix_ms != 0 && time_ms > writer->not_after_unix_ms) {
      return Refuse(reason::kKeyExpired, "key",
                    fmt::format("until {}", writer->not_after_unix_ms),
                    fmt::format("{}", time_ms));
    }
  }
  if (entry.body.time_unix_ms() > time_ms + policy_.max_skew_ms) {
    return Refuse(reason::kClock, "time_unix_ms",
                  fmt::format("at most {}", time_ms + policy_.max_skew_ms),
                  fmt::format("{}", entry.body.time_unix_ms()));
  }
  const uint64_t last = writer == nullptr ? 0 : writer->sequence;
  if (entry.body.sequence() != last + 1) {
    return Refuse(reason::kSequence, "sequence", fmt::format("{}", last + 1),
                  fmt::format("{}", entry.body.sequence()));
  }
  const Bytes previous = writer == nullptr ? Bytes() : writer->last_hash;
  if (ToBytes(entry.body.previous()) != previous) {
    return Refuse(reason::kPrevious, "previous", ToHex(previous),
                  ToHex(AsBytes(entry.body.previous())));
  }
  return std::nullopt;
}

std::optional<Reason> LogState::CheckLinks(const Entry& entry) const {
  const absl::StatusOr<std::vector<VmLink>> links = VmLinks(entry.body);
  if (!links.ok()) {
    return Refuse(reason::kMalformed, std::string(links.status().message()));
  }
  const bool registers =
      entry.body.what_case() == v1::LedgerEntryBody::kVmRegister;
  for (const VmLink& link : *links) {
    const auto chain = chains_.find(link.vm);
    if (chain == chains_.end() && !registers) {
      return Refuse(reason::kVmUnknown, vmattest::ToString(link.vm),
                    "a registered VM");
    }
    const Bytes newest =
        chain == chains_.end() ? Bytes() : chain->second.newest;
    if (link.previous != newest) {
      return Refuse(reason::kVmPrevious, vmattest::ToString(link.vm),
                    ToHex(newest), ToHex(link.previous));
    }
  }
  return std::nullopt;
}

std::optional<Reason> LogState::CheckHome(const std::string& vm_id,
                                          const std::string& host) const {
  const trust::VmState* const vm = fold_.FindVm(VmOf(vm_id));
  if (vm == nullptr || vm->host != host) {
    return Refuse(reason::kVmHome, vmattest::ToString(VmOf(vm_id)),
                  vm == nullptr ? "" : vm->host, host);
  }
  return std::nullopt;
}

std::optional<Reason> LogState::CheckHostEntry(const Entry& entry,
                                               int64_t time_ms) const {
  const v1::LedgerEntryBody& body = entry.body;
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kAttestBatch:
      return CheckBatch(entry, time_ms);
    case v1::LedgerEntryBody::kAttestResult:
      if (body.attest_result().outcome() != v1::LEDGER_OUTCOME_PASS &&
          body.attest_result().outcome() != v1::LEDGER_OUTCOME_FAIL) {
        return Refuse(reason::kMalformed, "outcome", "pass or fail");
      }
      return CheckHome(body.attest_result().vm_id(), body.host_id());
    case v1::LedgerEntryBody::kLaunchDecision: {
      const trust::VmState* const vm =
          fold_.FindVm(VmOf(body.launch_decision().vm_id()));
      // Rule S20: one home. Refusals are recorded from anywhere.
      if (body.launch_decision().allowed() && vm != nullptr &&
          !vm->host.empty() && vm->host != body.host_id()) {
        return Refuse(reason::kVmHome, "launch_decision", vm->host,
                      body.host_id());
      }
      return std::nullopt;
    }
    case v1::LedgerEntryBody::kMigrateOut:
    case v1::LedgerEntryBody::kMigrateIn:
      return CheckMigration(entry);
    default:
      return std::nullopt;
  }
}

std::optional<Reason> LogState::CheckBatch(const Entry& entry,
                                           int64_t time_ms) const {
  const v1::LedgerAttestBatch& batch = entry.body.attest_batch();
  const std::string& host = entry.body.host_id();
  const trust::HostState* const state = fold_.FindHost(host);
  if (state != nullptr && batch.tick() <= state->ticks) {
    return Refuse(reason::kSequence, "tick",
                  fmt::format("above {}", state->ticks),
                  fmt::format("{}", batch.tick()));
  }
  if (batch.results_root().size() != DigestSize(kSha256)) {
    return Refuse(reason::kMalformed, "results_root", "32 bytes");
  }
  const std::vector<Uuid> passing = fold_.Passing(host, time_ms);
  size_t named = 0;
  for (const v1::LedgerVmChange& change : batch.changes()) {
    if (change.outcome() < v1::LEDGER_OUTCOME_PASS ||
        change.outcome() > v1::LEDGER_OUTCOME_STOPPED) {
      return Refuse(reason::kMalformed, "outcome");
    }
    if (Refusal refusal = CheckHome(change.vm_id(), host)) {
      return refusal;
    }
    named +=
        std::binary_search(passing.begin(), passing.end(), VmOf(change.vm_id()))
            ? 1
            : 0;
  }
  // Passes of late entries count for nothing, so nothing rests on the number.
  if (!IsLate(entry, time_ms) && batch.unchanged() != passing.size() - named) {
    return Refuse(reason::kUnchanged, "unchanged",
                  fmt::format("{}", passing.size() - named),
                  fmt::format("{}", batch.unchanged()));
  }
  return std::nullopt;
}

std::optional<Reason> LogState::CheckMigration(const Entry& entry) const {
  const bool out = entry.body.has_migrate_out();
  const std::string& vm_id =
      out ? entry.body.migrate_out().vm_id() : entry.body.migrate_in().vm_id();
  const uint64_t epoch =
      out ? entry.body.migrate_out().epoch() : entry.body.migrate_in().epoch();
  const std::string& from =
      out ? entry.body.host_id() : entry.body.migrate_in().from_host();
  const std::string& to =
      out ? entry.body.migrate_out().to_host() : entry.body.host_id();
  if (Refusal refusal = CheckHome(vm_id, from)) {
    return refusal;
  }
  const trust::VmState& vm = *fold_.FindVm(VmOf(vm_id));
  if (vm.epoch != epoch) {
    return Refuse(reason::kEpoch, "epoch", fmt::format("{}", vm.epoch),
                  fmt::format("{}", epoch));
  }
  const Writer* const target = FindWriter(to);
  if (target == nullptr || target->key == nullptr || target->revoked) {
    return Refuse(reason::kHost, out ? "to_host" : "host_id",
                  "an authorised host", to);
  }
  if (!out && vm.leaving_to != to) {
    return Refuse(
        reason::kVmHome, "migrate_in",
        vm.leaving_to.empty() ? "no migrate-out" : "to " + vm.leaving_to, to);
  }
  return std::nullopt;
}

std::optional<Reason> LogState::CheckDocument(const Entry& entry) const {
  const v1::LedgerEntryBody& body = entry.body;
  switch (body.what_case()) {
    case v1::LedgerEntryBody::kHostAuthorise:
      return CheckAuthorise(entry);
    case v1::LedgerEntryBody::kKeyDelegate: {
      const Writer* const host = FindWriter(body.key_delegate().host_id());
      if (host == nullptr || host->revoked) {
        return Refuse(reason::kHost, "key_delegate.host_id",
                      "an authorised host", body.key_delegate().host_id());
      }
      return ImportKey(body.key_delegate().key_spki()) == nullptr
                 ? Refusal(Refuse(reason::kMalformed, "key_spki", "P-256"))
                 : CheckVouched(body.key_delegate().key_evidence_hash());
    }
    case v1::LedgerEntryBody::kHostRevoke:
      return FindWriter(body.host_revoke().host_id()) == nullptr
                 ? Refusal(Refuse(reason::kHost, "host_revoke.host_id", "",
                                  body.host_revoke().host_id()))
                 : std::nullopt;
    case v1::LedgerEntryBody::kVmRegister:
      return CheckRegister(entry);
    case v1::LedgerEntryBody::kPolicy:
      return trust::AreValid(FromMessage(body.policy().score()))
                 ? std::nullopt
                 : Refusal(Refuse(reason::kRules, "policy.score"));
    case v1::LedgerEntryBody::kStateRoot: {
      if (body.state_root().size() != size_) {
        return Refuse(reason::kStateRoot, "state_root.size",
                      fmt::format("{}", size_),
                      fmt::format("{}", body.state_root().size()));
      }
      const Bytes root = StateRoot();
      return ToBytes(body.state_root().root()) == root
                 ? std::nullopt
                 : Refusal(Refuse(reason::kStateRoot, "state_root.root",
                                  ToHex(root),
                                  ToHex(AsBytes(body.state_root().root()))));
    }
    default:
      return std::nullopt;
  }
}

std::optional<Reason> LogState::CheckAuthorise(const Entry& entry) const {
  const v1::LedgerHostAuthorise& message = entry.body.host_authorise();
  if (message.host_id().empty() || message.host_id().size() > 128 ||
      message.host_id().starts_with("key/") ||
      ImportKey(message.key_spki()) == nullptr) {
    return Refuse(reason::kMalformed, "host_authorise");
  }
  if (Refusal refusal = CheckVouched(message.key_evidence_hash())) {
    return refusal;
  }
  const Writer* const known = FindWriter(message.host_id());
  if (known != nullptr && !known->ek_fingerprint.empty() &&
      known->ek_fingerprint != ToBytes(message.ek_fingerprint())) {
    return Refuse(reason::kHost, "ek_fingerprint", ToHex(known->ek_fingerprint),
                  ToHex(AsBytes(message.ek_fingerprint())));
  }
  return std::nullopt;
}

std::optional<Reason> LogState::CheckRegister(const Entry& entry) const {
  const v1::LedgerVmRegister& message = entry.body.vm_register();
  const Uuid vm = VmOf(message.vm_id());
  const auto taken = [&vm](const std::map<Bytes, Uuid>& by,
                           const std::string& value) {
    const auto it = by.find(ToBytes(value));
    return !value.empty() && it != by.end() && it->second != vm;
  };
  if (taken(by_ek_, message.ek_fingerprint()) ||
      taken(by_lineage_, message.disk_lineage())) {
    return Refuse(reason::kVmIdentity, vmattest::ToString(vm),
                  "an EK and disks of no other VM");
  }
  // Once registered, an owner cannot take a VM from another.
  const trust::VmState* const known = fold_.FindVm(vm);
  const bool by_authority =
      std::any_of(policy_.authorities.begin(), policy_.authorities.end(),
                  [&entry](const document::PublicKey& key) {
                    return key.key_id == entry.signer_key_id;
                  });
  if (known != nullptr && !by_authority && known->owner != message.owner()) {
    return Refuse(reason::kNotPermitted, vmattest::ToString(vm), known->owner,
                  message.owner());
  }
  if (message.owner().empty() || message.owner().size() > 256) {
    return Refuse(reason::kMalformed, "owner");
  }
  return std::nullopt;
}

void LogState::Apply(const Entry& entry, int64_t time_ms) {
  const trust::At at{.index = size_, .time_ms = time_ms};
  ApplyWriter(entry, writers_[entry.Writer()]);
  if (entry.by_document) {
    ApplyDocument(entry, at);
  } else {
    ApplyHostEntry(entry, at);
  }
  const absl::StatusOr<std::vector<VmLink>> links = VmLinks(entry.body);
  for (const VmLink& link : *links) {
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
      std::vector<std::pair<Uuid, trust::Fold::Change>> changes;
      for (const v1::LedgerVmChange& change : body.attest_batch().changes()) {
        if (!late || change.outcome() != v1::LEDGER_OUTCOME_PASS) {
          changes.emplace_back(
              VmOf(change.vm_id()),
              static_cast<trust::Fold::Change>(change.outcome()));
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
        fold_.Result(at, VmOf(body.attest_result().vm_id()), pass);
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
    fold_.Result(at, id, false);
  }
}

void LogState::SetKey(const std::string& host, const std::string& spki,
                      int64_t not_after) {
  Writer& writer = writers_[host];
  writer.key_spki = ToBytes(spki);
  writer.key = ImportKey(spki);
  writer.generation = size_;
  writer.not_after_unix_ms = not_after;
}

void LogState::ApplyRegister(const v1::LedgerVmRegister& message,
                             trust::At at) {
  const Uuid vm = VmOf(message.vm_id());
  VmChain& chain = chains_[vm];
  if (!message.ek_fingerprint().empty()) {
    by_ek_[ToBytes(message.ek_fingerprint())] = vm;
  }
  if (!message.disk_lineage().empty()) {
    by_lineage_[ToBytes(message.disk_lineage())] = vm;
  }
  chain.ek_fingerprint = ToBytes(message.ek_fingerprint());
  chain.disk_lineage = ToBytes(message.disk_lineage());
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

Bytes LogState::StateRoot() const {
  std::vector<DigestBytes> leaves;
  for (const auto& [key, value] : fold_.Canonical()) {
    ByteWriter writer;
    writer.Sized(key).Raw(value);
    leaves.push_back(merkle::LeafHash(kSha256, writer.bytes()));
  }
  return merkle::Tree(kSha256, std::move(leaves)).Root();
}

}  // namespace vmattest::ledger
