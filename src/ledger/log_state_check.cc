#include <algorithm>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "ledger/log_state.h"
#include "ledger/reason_codes.h"
#include "ledger/score_rules.h"

// The part of LogState that says no: the rules of docs/formats/ledger.md.

namespace vmattest::ledger {
namespace {

constexpr auto kSha256 = HashAlgorithm::kSha256;

Reason Refuse(std::string_view code, std::string element,
              std::string expected = "", std::string found = "") {
  return {std::string(code), std::move(element), std::move(expected),
          std::move(found)};
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

bool IsHostId(const std::string& id) {
  return !id.empty() && id.size() <= 128 && !id.starts_with("key/");
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

}  // namespace

std::vector<std::string> LogState::Touches(const Entry& entry) {
  if (entry.by_document || !IsByHost(entry.body)) {
    return {"*"};
  }
  std::vector<std::string> touched{"host/" + entry.body.host_id()};
  if (entry.body.has_migrate_out()) {
    touched.push_back("host/" + entry.body.migrate_out().to_host());
  }
  if (entry.body.has_migrate_in()) {
    touched.push_back("host/" + entry.body.migrate_in().from_host());
  }
  for (const VmLink& link : entry.links) {
    touched.push_back("vm/" + vmattest::ToString(link.vm));
  }
  return touched;
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
  if (Refusal refusal = CheckWriter(entry, key, time_ms)) {
    return refusal;
  }
  if (Refusal refusal = CheckLinks(entry)) {
    return refusal;
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
  const ByteView previous =
      writer == nullptr ? ByteView() : ByteView(writer->last_hash);
  if (entry.body.previous() != AsText(previous)) {
    return Refuse(reason::kPrevious, "previous", ToHex(previous),
                  ToHex(AsBytes(entry.body.previous())));
  }
  return std::nullopt;
}

std::optional<Reason> LogState::CheckLinks(const Entry& entry) const {
  const bool registers =
      entry.body.what_case() == v1::LedgerEntryBody::kVmRegister;
  for (const VmLink& link : entry.links) {
    const auto chain = chains_.find(link.vm);
    if (chain == chains_.end() && !registers) {
      return Refuse(reason::kVmUnknown, vmattest::ToString(link.vm),
                    "a registered VM");
    }
    static const Bytes kNone;
    const Bytes& newest = chain == chains_.end() ? kNone : chain->second.newest;
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
      return ImportWriterKey(body.key_delegate().key_spki()) == nullptr
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
    case v1::LedgerEntryBody::kHostCompromise:
      return IsHostId(body.host_compromise().host_id())
                 ? std::nullopt
                 : Refusal(Refuse(reason::kMalformed, "host_compromise.host_id",
                                  "a host's id",
                                  body.host_compromise().host_id()));
    case v1::LedgerEntryBody::kPolicy:
      return AreRules(body.policy().score())
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
  if (!IsHostId(message.host_id()) ||
      ImportWriterKey(message.key_spki()) == nullptr) {
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
    const auto it = by.find(NameOf(value));
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

}  // namespace vmattest::ledger
