#ifndef VMATTEST_TESTS_SUPPORT_LEDGER_RIG_H_
#define VMATTEST_TESTS_SUPPORT_LEDGER_RIG_H_

#include <map>
#include <string>
#include <vector>

#include "crypto/digest.h"
#include "crypto/ecdsa_der.h"
#include "gmock/gmock.h"
#include "ledger/log.h"
#include "support/matchers.h"

// Writers of a ledger: an authority and hosts that keep their sequences and
// chains, as real ones do.

namespace vmattest::testing {

inline Uuid LedgerVm(uint8_t number) {
  Uuid id;
  id.bytes[0] = 0xAB;
  id.bytes[15] = number;
  return id;
}
inline std::string LedgerVmField(uint8_t number) {
  const Uuid id = LedgerVm(number);
  return {id.bytes.begin(), id.bytes.end()};
}

// Somebody who signs entries. What a log refused does not count: Signed() is
// told to by Accepted().
class LedgerWriter {
 public:
  LedgerWriter(std::string origin, std::string host_id)
      : origin_(std::move(origin)), host_id_(std::move(host_id)) {}
  v1::LedgerEntryBody Body(int64_t time_ms) const {
    v1::LedgerEntryBody body;
    body.set_log(origin_);
    body.set_host_id(host_id_);
    body.set_sequence(sequence_ + 1);
    body.set_previous(std::string(AsText(previous_)));
    body.set_time_unix_ms(time_ms);
    return body;
  }
  void Accepted(const ledger::Entry& entry) {
    sequence_ = entry.body.sequence();
    previous_ = entry.hash;
  }
  [[nodiscard]] const std::string& id() const { return host_id_; }

 private:
  std::string origin_;
  std::string host_id_;
  uint64_t sequence_ = 0;
  Bytes previous_;
};

class LedgerRig {
 public:
  static constexpr int64_t kStart = 1'700'000'000'000;
  static constexpr const char* kOrigin = "ledger.example/test";

  LedgerRig()
      : authority_key_(
            *document::PrivateKey::Generate("authority@test", std::nullopt)),
        owner_key_(*document::PrivateKey::Generate("alice", std::nullopt)),
        authority_(kOrigin, "") {
    for (const char* id : {"h1", "h2", "h3"}) {
      hosts_.emplace(id, LedgerWriter(kOrigin, id));
      keys_.emplace(id, EcPrivateKey::Generate());
    }
  }

  ledger::LogPolicy Policy() const {
    return {.origin = kOrigin,
            .authorities = {authority_key_.public_key()},
            .owners = {owner_key_.public_key()}};
  }

  // The next entry of a host, or of the authority; `fill` says what.
  template <class Fill>
  Bytes ByHost(const std::string& id, Fill fill) const {
    v1::LedgerEntryBody body = hosts_.at(id).Body(time_ms);
    fill(body);
    return ledger::SignHostEntry(body, keys_.at(id));
  }
  template <class Fill>
  Bytes ByAuthority(Fill fill) const {
    v1::LedgerEntryBody body = authority_.Body(time_ms);
    fill(body);
    return *ledger::SignAuthorityEntry(body, authority_key_);
  }

  Bytes Authorise(const std::string& id) const {
    return ByAuthority([&](v1::LedgerEntryBody& body) {
      v1::LedgerHostAuthorise& message = *body.mutable_host_authorise();
      message.set_host_id(id);
      message.set_ek_fingerprint("ek of " + id);
      message.set_key_spki(
          std::string(AsText(*EncodeSpki(keys_.at(id).public_key()))));
      message.set_key_evidence_hash(std::string(32, 'k'));
    });
  }
  Bytes Register(uint8_t vm, const std::string& owner = "alice") const {
    return ByAuthority([&](v1::LedgerEntryBody& body) {
      v1::LedgerVmRegister& message = *body.mutable_vm_register();
      message.set_vm_id(LedgerVmField(vm));
      message.set_owner(owner);
      message.set_vm_previous(Previous(vm));
    });
  }
  Bytes Launch(const std::string& host, uint8_t vm, bool allowed = true) const {
    return ByHost(host, [&](v1::LedgerEntryBody& body) {
      v1::LedgerLaunchDecision& message = *body.mutable_launch_decision();
      message.set_vm_id(LedgerVmField(vm));
      message.set_allowed(allowed);
      message.set_mode("enforce");
      message.set_vm_previous(Previous(vm));
    });
  }
  Bytes Result(const std::string& host, uint8_t vm, bool pass) const {
    return ByHost(host, [&](v1::LedgerEntryBody& body) {
      v1::LedgerAttestResult& message = *body.mutable_attest_result();
      message.set_vm_id(LedgerVmField(vm));
      message.set_outcome(pass ? v1::LEDGER_OUTCOME_PASS
                               : v1::LEDGER_OUTCOME_FAIL);
      message.set_check(v1::LEDGER_CHECK_LIVENESS);
      message.set_evidence_hash(std::string(32, 'e'));
      message.set_vm_previous(Previous(vm));
    });
  }
  Bytes Tick(const std::string& host, uint32_t unchanged,
             const std::map<uint8_t, v1::LedgerOutcome>& changes,
             uint64_t tick = 0) {
    tick_ = tick == 0 ? tick_ + 1 : tick;
    return ByHost(host, [&](v1::LedgerEntryBody& body) {
      v1::LedgerAttestBatch& message = *body.mutable_attest_batch();
      message.set_tick(tick_);
      message.set_results_root(std::string(32, 'r'));
      message.set_vm_count(unchanged + static_cast<uint32_t>(changes.size()));
      message.set_unchanged(unchanged);
      for (const auto& [vm, outcome] : changes) {
        v1::LedgerVmChange& change = *message.add_changes();
        change.set_vm_id(LedgerVmField(vm));
        change.set_outcome(outcome);
        change.set_vm_previous(Previous(vm));
      }
    });
  }

  static ledger::CheckedEntry Check(const ledger::Log& log,
                                    const Bytes& bytes) {
    ledger::CheckedEntry checked{.entry = *ledger::ParseEntry(bytes)};
    checked.key = log.With([&](const ledger::LogState& state) {
      return state.KeyFor(checked.entry);
    });
    return checked;
  }
  // As a ledger node does; "" or the code of the refusal.
  std::string Submit(ledger::Log& log, const Bytes& bytes) {
    const absl::StatusOr<ledger::Entry> parsed = ledger::ParseEntry(bytes);
    if (!parsed.ok()) {
      return "ledger-malformed";
    }
    const ledger::CheckedEntry checked = Check(log, bytes);
    std::optional<Reason> refusal =
        ledger::CheckSignature(Policy(), checked.entry, checked.key);
    if (!refusal) {
      const auto outcomes =
          log.Append({checked}, WallTime(std::chrono::milliseconds(time_ms)));
      EXPECT_THAT(outcomes, IsOk());
      if (!outcomes.ok()) {
        return std::string(outcomes.status().message());
      }
      refusal = outcomes->at(0).refusal;
    }
    if (refusal) {
      return refusal->code;
    }
    Accepted(checked.entry);
    return "";
  }
  void Accepted(const ledger::Entry& entry) {
    if (entry.by_document) {
      authority_.Accepted(entry);
    } else {
      hosts_.at(entry.body.host_id()).Accepted(entry);
    }
    for (const ledger::VmLink& link : entry.links) {
      newest_[link.vm.bytes[15]] = entry.hash;
    }
  }
  // Hosts h1 to h3, VMs 1 to `vms`; VM n runs on h1.
  void Populate(ledger::Log& log, uint8_t vms = 3) {
    for (const char* id : {"h1", "h2", "h3"}) {
      ASSERT_EQ(Submit(log, Authorise(id)), "");
    }
    for (uint8_t vm = 1; vm <= vms; ++vm) {
      ASSERT_EQ(Submit(log, Register(vm)), "");
      ASSERT_EQ(Submit(log, Launch("h1", vm)), "");
    }
  }

  [[nodiscard]] std::string Previous(uint8_t vm) const {
    const auto it = newest_.find(vm);
    return it == newest_.end() ? "" : std::string(AsText(it->second));
  }
  [[nodiscard]] const document::PrivateKey& authority_key() const {
    return authority_key_;
  }
  [[nodiscard]] const document::PrivateKey& owner_key() const {
    return owner_key_;
  }
  [[nodiscard]] const EcPrivateKey& key(const std::string& host) const {
    return keys_.at(host);
  }

  int64_t time_ms = kStart;

 private:
  document::PrivateKey authority_key_;
  document::PrivateKey owner_key_;
  LedgerWriter authority_;
  std::map<std::string, LedgerWriter> hosts_;
  std::map<std::string, EcPrivateKey> keys_;
  std::map<uint8_t, Bytes> newest_;
  uint64_t tick_ = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_LEDGER_RIG_H_
