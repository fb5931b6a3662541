#ifndef VMATTEST_TESTS_UNIT_OUTBOX_OUTBOX_RIG_H_
#define VMATTEST_TESTS_UNIT_OUTBOX_OUTBOX_RIG_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "crypto/ecdsa_der.h"
#include "fakes/fake_log_store.h"
#include "fakes/fake_witness_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "outbox/local_authority.h"
#include "outbox/node_ledger.h"
#include "outbox/outbox.h"
#include "outbox/vm_field.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::testing {

// A real ledger node over a store in memory, reached through a line that can be
// cut, and that can lose an answer.
class TestLedger final : public outbox::LedgerPort {
 public:
  static constexpr const char* kOrigin = "ledger.example/outbox";

  explicit TestLedger(const Clock& clock) : clock_(clock) { Open(); }

  void Open() {
    node_.reset();
    const std::shared_ptr<tlog::NoteSigner> signer =
        *tlog::EcdsaNoteSigner(kOrigin, key_);
    auto node = ledger::LedgerNode::Open(
        {.store = std::make_unique<FakeLogStore>(shared_),
         .memory = std::make_unique<FakeWitnessStore>(),
         .witness = std::make_unique<FakeWitnessStore>(),
         .policy = {.origin = kOrigin,
                    .authorities = {authority_key_.public_key()}},
         .witnesses = *tlog::WitnessPolicy::Parse(
             fmt::format("log {}\nquorum none\n", signer->vkey())),
         .signers = {signer}},
        checkers_, clock_,
        {.sequencer = {.self = "me"},
         .checkpoint_interval =
             witnessed ? std::chrono::milliseconds(1)
                       : std::chrono::milliseconds(std::chrono::hours(1))});
    EXPECT_THAT(node, IsOk());
    node_ = *std::move(node);
    inner_ = std::make_unique<outbox::NodeLedger>(*node_);
  }
  // As after all of the ledger's data was copied back.
  void RollBackTo(const std::shared_ptr<FakeLogStore::Shared>& older) {
    node_.reset();
    shared_ = older;
    Open();
  }
  std::shared_ptr<FakeLogStore::Shared> Copy() {
    auto copy = std::make_shared<FakeLogStore::Shared>();
    const MutexLock from(shared_->mutex);
    const MutexLock to(copy->mutex);
    copy->head = shared_->head;
    copy->records = shared_->records;
    copy->tiles = shared_->tiles;
    return copy;
  }

  absl::StatusOr<Answer> Submit(const Bytes& entry,
                                MonotonicTime deadline) override {
    if (cut) {
      return absl::UnavailableError("the line is cut");
    }
    absl::StatusOr<Answer> answer = inner_->Submit(entry, deadline);
    if (lose_answer.exchange(false)) {
      cut = true;
      return absl::UnavailableError("the answer is lost");
    }
    return answer;
  }
  absl::StatusOr<Writer> GetWriter(const std::string& writer,
                                   MonotonicTime deadline) override {
    if (cut) {
      return absl::UnavailableError("the line is cut");
    }
    return inner_->GetWriter(writer, deadline);
  }
  absl::StatusOr<Vm> GetVm(const Uuid& vm, MonotonicTime deadline) override {
    if (cut) {
      return absl::UnavailableError("the line is cut");
    }
    return inner_->GetVm(vm, deadline);
  }
  absl::StatusOr<Size> GetSize(MonotonicTime deadline) override {
    if (cut) {
      return absl::UnavailableError("the line is cut");
    }
    return inner_->GetSize(deadline);
  }

  document::PrivateKey AuthorityKey() const {
    return *document::PrivateKey::Parse(authority_key_.ToFile());
  }
  ledger::LedgerNode& node() { return *node_; }
  // All entries of a host, in order.
  std::vector<v1::LedgerEntryBody> EntriesBy(const std::string& host) {
    std::vector<v1::LedgerEntryBody> entries;
    const uint64_t size = node_->log().head().size;
    for (uint64_t index = 0; index < size; ++index) {
      const auto entry = ledger::ParseEntry(node_->log().Read(index)->entry);
      if (entry->Writer() == host) {
        entries.push_back(entry->body);
      }
    }
    return entries;
  }
  std::vector<std::string> TypesBy(const std::string& host) {
    std::vector<std::string> types;
    for (const v1::LedgerEntryBody& entry : EntriesBy(host)) {
      types.emplace_back(ledger::TypeName(entry));
    }
    return types;
  }
  int64_t MilliOf(const Uuid& vm) {
    const auto score = node_->GetScore(vm);
    return score.ok() ? score->reading.milli : -1;
  }

  std::atomic<bool> cut = false;
  std::atomic<bool> lose_answer = false;
  bool witnessed = true;

 private:
  const Clock& clock_;
  const document::PrivateKey authority_key_ =
      *document::PrivateKey::Generate("authority@test", std::nullopt);
  const std::shared_ptr<const EcPrivateKey> key_ =
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate());
  ThreadPool checkers_{"check", 1, 100};
  std::shared_ptr<FakeLogStore::Shared> shared_ =
      std::make_shared<FakeLogStore::Shared>();
  std::unique_ptr<ledger::LedgerNode> node_;
  std::unique_ptr<outbox::NodeLedger> inner_;
};

inline Uuid VmNumber(uint8_t number) {
  Uuid vm;
  vm.bytes[0] = 0xCD;
  vm.bytes[15] = number;
  return vm;
}

inline v1::LedgerLaunchDecision Decision(uint8_t vm, bool allowed) {
  v1::LedgerLaunchDecision decision;
  decision.set_vm_id(outbox::FieldOf(VmNumber(vm)));
  decision.set_allowed(allowed);
  decision.set_mode("enforce");
  decision.set_reason(allowed ? "" : "gate-refused");
  return decision;
}

inline v1::LedgerVmChange Looked(uint8_t vm, bool pass) {
  v1::LedgerVmChange result;
  result.set_vm_id(outbox::FieldOf(VmNumber(vm)));
  result.set_outcome(pass ? v1::LEDGER_OUTCOME_PASS : v1::LEDGER_OUTCOME_FAIL);
  result.set_check(v1::LEDGER_CHECK_CONFIG);
  return result;
}

// One host with its outbox.
class OutboxRig {
 public:
  OutboxRig(TestLedger& ledger, ManualClock& clock, std::string host = "h1")
      : ledger_(ledger),
        clock_(clock),
        host_(std::move(host)),
        authority_(ledger, ledger.AuthorityKey(), TestLedger::kOrigin, clock) {
    OpenFile();
  }
  void OpenFile() {
    file_ = *outbox::OutboxFile::Open(dir_.path() / "outbox.db",
                                      TestLedger::kOrigin);
    homes_ = std::make_unique<outbox::Homes>(
        outbox::Homes::Parts{
            .file = *file_, .ledger = ledger_, .key = key_, .clock = clock_},
        TestLedger::kOrigin, std::chrono::hours(24));
  }
  void Start(size_t max_queued = 1'000, bool registers = true) {
    outbox::Outbox::Parts parts{.file = *file_,
                                .ledger = ledger_,
                                .homes = *homes_,
                                .key = key_,
                                .clock = clock_,
                                .host_id = [this] { return host_; },
                                .tpm_clock = [this] { return tpm_clock; },
                                .authorise =
                                    [this](MonotonicTime deadline) {
                                      return authority_.Authorise(Host(),
                                                                  deadline);
                                    },
                                .register_vm = {}};
    if (registers) {
      parts.register_vm = [this](const Uuid& vm, MonotonicTime deadline) {
        return authority_.Register(vm, "alice", deadline);
      };
    }
    box_ = std::make_unique<outbox::Outbox>(
        std::move(parts),
        outbox::Outbox::Options{.origin = TestLedger::kOrigin,
                                .max_queued = max_queued,
                                .batch_interval = std::chrono::seconds(5),
                                .first_pause = std::chrono::milliseconds(1),
                                .longest_pause = std::chrono::milliseconds(2),
                                .look_interval = std::chrono::milliseconds(1)});
  }
  // As if the process was killed: nothing but the file is left.
  void Restart() {
    box_.reset();
    homes_.reset();
    file_.reset();
    OpenFile();
    Start();
  }
  v1::LedgerHostAuthorise Host() const {
    v1::LedgerHostAuthorise host;
    host.set_host_id(host_);
    host.set_ek_fingerprint("ek of " + host_);
    host.set_key_spki(std::string(AsText(*EncodeSpki(key_->public_key()))));
    host.set_key_evidence_hash(std::string(32, 'k'));
    return host;
  }
  // Until nothing waits.
  void Drain() {
    while (box_->state().counts.waiting > 0) {
      std::this_thread::yield();
    }
  }
  void DrainWitnessed() {
    Drain();
    while (box_->state().counts.unwitnessed > 0) {
      std::this_thread::yield();
    }
  }
  outbox::Outbox& box() { return *box_; }
  outbox::OutboxFile& file() { return *file_; }
  outbox::Homes& homes() { return *homes_; }
  outbox::LocalAuthority& authority() { return authority_; }
  const std::string& host() const { return host_; }

  std::optional<TpmClock> tpm_clock;  // told while nothing is sent

 private:
  TempDir dir_;
  TestLedger& ledger_;
  ManualClock& clock_;
  const std::string host_;
  const std::shared_ptr<const EcPrivateKey> key_ =
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate());
  outbox::LocalAuthority authority_;
  std::unique_ptr<outbox::OutboxFile> file_;
  std::unique_ptr<outbox::Homes> homes_;
  std::unique_ptr<outbox::Outbox> box_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_UNIT_OUTBOX_OUTBOX_RIG_H_
