#ifndef VMATTEST_TESTS_UNIT_GATE_GATE_BED_H_
#define VMATTEST_TESTS_UNIT_GATE_GATE_BED_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "document/document.h"
#include "fakes/fake_host_tpm.h"
#include "fakes/fake_hypervisor.h"
#include "fakes/fake_launch_verifier.h"
#include "fakes/fake_vm_store.h"
#include "gate/launch_gate.h"
#include "gate/policy_store.h"
#include "reference/reference.h"
#include "signing/local_signer.h"
#include "support/break_glass.h"
#include "support/temp_dir.h"
#include "unit/attestor/attestor_bed.h"

namespace vmattest::testing {

// A gate over a fake TPM and a fake verifier, with one approver.
struct GateBed {
  explicit GateBed(
      reference::GateMode default_mode = reference::GateMode::kEnforce) {
    std::filesystem::create_directories(dir.path() / "approvers");
    std::filesystem::create_directories(dir.path() / "learned");
    dir.Write("approvers/a.pub",
              document::PublicKeyToJson(approver.public_key()));
    OpenPolicy(default_mode);
  }
  void OpenPolicy(reference::GateMode default_mode) {
    policy = *gate::PolicyStore::Open({.folder = dir.path(),
                                       .approvers = dir.path() / "approvers",
                                       .default_mode = default_mode,
                                       .strict_start = strict_start});
    gate = std::make_unique<gate::LaunchGate>(
        gate::LaunchGate::Parts{.digester = digester,
                                .hashing = nullptr,
                                .inspector = nullptr,
                                .make_parser = image::MakeDirectHeaderParser,
                                .evidence = evidence,
                                .verifier = verifier,
                                .verifier_keys = verifier_keys,
                                .policy = *policy,
                                .verdicts = verdicts,
                                .sessions = sessions,
                                .images = images,
                                .disks = disks,
                                .leases = leases,
                                .grants = grants,
                                .store = store,
                                .ledger = ledger,
                                .note = Noter(),
                                .clock = clock},
        gate::LaunchGate::Options{.salted = {},
                                  .learned = dir.path() / "learned",
                                  .store = file_store});
  }
  // Also from the threads that read images and disks.
  gate::SavedImages::Note Noter() {
    return [this](std::string kind, std::map<std::string, std::string> facts) {
      const MutexLock lock(notes_mutex);
      notes.emplace_back(std::move(kind), std::move(facts));
    };
  }
  reference::Header Header(const document::PrivateKey& key) const {
    const int64_t now = clock.Now().time_since_epoch().count();
    return {.issued_unix_ms = now,
            .not_before_unix_ms = now - 1000,
            .not_after_unix_ms = now + 3'600'000,
            .signature_algorithms = key.algorithms()};
  }
  // A reference as an approver signs it; what it demands is the verifier's
  // matter, which is a fake here.
  Bytes Reference(const std::string& vm, reference::GateMode mode,
                  uint64_t revision = 1) {
    return Reference(vm, mode, revision, approver);
  }
  Bytes Reference(const std::string& vm, reference::GateMode mode,
                  uint64_t revision, const document::PrivateKey& key) {
    reference::Reference reference;
    reference.header = Header(key);
    reference.name = "of-" + vm;
    reference.revision = revision;
    reference.vm_uuids = {Uuid(vm)};
    reference.mode = mode;
    reference.roots = {Hash(HashAlgorithm::kSha256, AsBytes("root"))};
    return *key.Sign(document::kReferencePayloadType,
                     reference::Encode(reference));
  }
  void Approve(const std::string& vm, reference::GateMode mode,
               uint64_t revision = 1) {
    (void)*policy->Take({.references = {Reference(vm, mode, revision)}},
                        clock.Now());
  }
  void BreakGlass(const std::string& vm, const std::string& host,
                  const document::PrivateKey& key, int64_t valid_ms) {
    ++orders;
    dir.Write("break-glass/order" + std::to_string(orders),
              AsText(SignedOrder(key, clock.Now(), Uuid(vm), host,
                                 static_cast<char>('a' + orders), valid_ms)));
  }
  static std::string Uuid(const std::string& vm) {
    return ToString(FakeHypervisor::UuidOf(vm));
  }
  gate::GateCall Call(const std::string& vm, const std::string& operation,
                      const std::string& extra = "") {
    gate::GateCall call;
    call.nonce = RandomBytes(gate::kGateNonceSize);
    call.domain = vm;
    call.operation = operation;
    call.sub_operation = "begin";
    call.xml = AttestorBed::Xml(vm, extra);
    if (operation == "started") {
      call.qemu =
          gate::QemuFacts{.pid = 4711,
                          .program = "/usr/bin/qemu-system-x86_64",
                          .arguments = {"qemu", "-uuid", Uuid(vm), "-kernel",
                                        "/images/" + vm + ".vmlinuz"},
                          .files = {}};
    }
    return call;
  }
  gate::GateReply Ask(const std::string& vm, const std::string& operation,
                      const std::string& extra = "") {
    return Ask(Call(vm, operation, extra));
  }
  gate::GateReply Ask(const gate::GateCall& call) {
    return gate->Decide(call, clock.Monotonic() + std::chrono::seconds(30));
  }
  std::string HostId() { return signer.state().identity->host_id; }
  std::vector<std::string> Kinds() const {
    const MutexLock lock(notes_mutex);
    std::vector<std::string> kinds;
    for (const auto& [kind, facts] : notes) {
      kinds.push_back(kind);
    }
    return kinds;
  }

  SystemClock clock;
  TempDir dir;
  document::PrivateKey approver =
      *document::PrivateKey::Generate("approver", std::nullopt);
  FakeHostTpm tpm;
  TempDir signer_dir;
  signing::LocalSigner signer{
      tpm,
      clock,
      {.work = {.state_dir = signer_dir.path(),
                .post_quantum = {.mode = signing::PqMode::kOff}}}};
  PathDigester digester;
  FakeVmStore store;
  FakeLaunchVerifier verifier{clock};
  Current<std::vector<token::VerificationKey>> verifier_keys{verifier.keys()};
  gate::EvidenceMaker evidence{signer, clock, {}};
  gate::VerdictCache verdicts{dir.path() / "verdicts"};
  gate::LaunchSessions sessions{clock};
  mutable Mutex notes_mutex;
  gate::FileLeases leases{[](const std::string&) {}};
  gate::StartGrants grants;
  std::vector<std::filesystem::path> file_store;
  std::vector<std::pair<std::string, std::map<std::string, std::string>>> notes;
  gate::SavedImages images{dir.path() / "images", clock, Noter()};
  gate::DiskContinuity disks{dir.path() / "disks",
                             {.digester = digester,
                              .hashing = nullptr,
                              .make_parser = image::MakeDirectHeaderParser,
                              .clock = clock,
                              .note = Noter()}};
  std::unique_ptr<gate::PolicyStore> policy;
  std::unique_ptr<gate::LaunchGate> gate;
  bool strict_start = false;  // as of the next OpenPolicy(), as the ledger
  gate::LaunchLedger* ledger = nullptr;
  int orders = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_UNIT_GATE_GATE_BED_H_
