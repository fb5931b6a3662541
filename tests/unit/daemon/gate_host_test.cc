#include "daemon/gate_host.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <future>

#include "fakes/fake_host_tpm.h"
#include "fakes/fake_launch_verifier.h"
#include "fakes/recording_observer.h"
#include "gate/evidence_maker.h"
#include "gmock/gmock.h"
#include "hook/hook_config.h"
#include "hook/reply_check.h"
#include "ipc/channel.h"
#include "reference/reference.h"
#include "signing/local_signer.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/vectors.h"
#include "unit/attestor/attestor_bed.h"

namespace vmattest::daemon {
namespace {

using testing::AttestorBed;
using testing::FakeHypervisor;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

using Keys = std::vector<token::VerificationKey>;

// A gate host over fakes, and its real socket.
class GateHostTest : public ::testing::Test {
 protected:
  GateHostTest() {
    for (const char* folder : {"approvers", "references", "hooks", "state"}) {
      std::filesystem::create_directories(dir_.path() / folder);
    }
    dir_.Write("approvers/a.pub",
               document::PublicKeyToJson(approver_.public_key()));
    config_.state_dir = dir_.path() / "state";
    config_.gate = {.enabled = true,
                    .hook_socket = dir_.path() / "hook.sock",
                    .deadline_ms = 30'000,
                    .approvers = dir_.path() / "approvers",
                    .references = dir_.path() / "references",
                    .hooks_dir = dir_.path() / "hooks",
                    .threads = 2,
                    .max_waiting = 8,
                    .hook_program = "/bin/true"};
    health_.OnChange([this](std::string_view component, const absl::Status&) {
      if (component == "gate" && !std::exchange(reported_, true)) {
        looked_.set_value();
      }
    });
    verifier_.change = [this](token::Ear& ear) {
      ear.submodules["config"].host_id = HostId();
    };
    verifier_.policy.references = {Reference()};
    // From now on the signer knows who this host is.
    EXPECT_THAT(Maker().ReadClock(Deadline()), IsOk());
  }
  absl::Status Make(bool embedded) {
    ASSIGN_OR_RETURN(
        host_,
        GateHost::Make(
            config_,
            {.hypervisor = hypervisor_,
             .next = next_,
             .digester = digester_,
             .hashing = hashing_,
             .inspector = nullptr,
             .make_parser = image::MakeDirectHeaderParser,
             .signer = signer_,
             .store = store_,
             .journal = journal_,
             .health = health_,
             .clock = clock_,
             .salted = {},
             .unmanaged = [] { return uint64_t{0}; },
             .verifier = {.verifier = std::shared_ptr<gate::LaunchVerifier>(
                              std::shared_ptr<void>(), &verifier_),
                          .keys = [this] { return GetKeys(); },
                          .embedded = embedded}}));
    return host_->Listen();
  }
  // Waits until hook.json has been written with the host's id.
  void AwaitLook() {
    host_->Tick();
    looked_.get_future().wait();
  }
  gate::EvidenceMaker Maker() { return {signer_, clock_, {}}; }
  [[nodiscard]] MonotonicTime Deadline() const {
    return clock_.Monotonic() + std::chrono::seconds(30);
  }
  std::string HostId() { return signer_.state().identity->host_id; }
  Bytes Reference() {
    reference::Reference reference;
    const int64_t now = clock_.Now().time_since_epoch().count();
    reference.header = {.issued_unix_ms = now,
                        .not_before_unix_ms = now - 1000,
                        .not_after_unix_ms = now + 3'600'000,
                        .signature_algorithms = approver_.algorithms()};
    reference.name = "web";
    reference.revision = 1;
    reference.mode = reference::GateMode::kEnforce;
    reference.vm_uuids = {ToString(FakeHypervisor::UuidOf("web"))};
    reference.roots = {DigestBytes(32, 1)};
    return *approver_.Sign(document::kReferencePayloadType,
                           reference::Encode(reference));
  }
  // What the verifier signs with, as the configuration has it.
  absl::StatusOr<Keys> GetKeys() {
    const MutexLock lock(keys_mutex_);
    return keys_;
  }
  void SetKeys(absl::StatusOr<Keys> keys) {
    const MutexLock lock(keys_mutex_);
    keys_ = std::move(keys);
  }
  // Empty where nothing was left.
  [[nodiscard]] std::string Trust() const {
    const auto file = config_.state_dir / "gate/hook.json";
    return std::filesystem::exists(file) ? testing::Slurp(file) : "";
  }

  static gate::GateCall Call(const std::string& vm) {
    gate::GateCall call;
    call.nonce = RandomBytes(gate::kGateNonceSize);
    call.domain = vm;
    call.operation = "prepare";
    call.sub_operation = "begin";
    call.xml = AttestorBed::Xml(vm);
    return call;
  }
  // As the hook asks: over the socket.
  absl::StatusOr<gate::GateReply> Ask(const gate::GateCall& call) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = config_.gate.hook_socket;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                sizeof(address)) != 0) {
      return absl::UnavailableError(path);
    }
    ipc::Channel channel(std::move(fd), gate::kMaxGateCall);
    RETURN_IF_ERROR(channel.Send({gate::Encode(call), {}}, Deadline()));
    ASSIGN_OR_RETURN(const ipc::Message message, channel.Receive(Deadline()));
    return gate::ParseReply(message.bytes);
  }
  std::string CodeOf(const std::string& vm) {
    const auto reply = Ask(Call(vm));
    EXPECT_THAT(reply, IsOk());
    return reply.ok() ? reply->code : "";
  }

  SystemClock clock_;
  testing::TempDir dir_;
  config::DaemonConfig config_;
  document::PrivateKey approver_ =
      *document::PrivateKey::Generate("approver", std::nullopt);
  testing::FakeHostTpm tpm_;
  testing::TempDir signer_dir_;
  signing::LocalSigner signer_{
      tpm_,
      clock_,
      {.work = {.state_dir = signer_dir_.path(),
                .post_quantum = {.mode = signing::PqMode::kOff}}}};
  FakeHypervisor hypervisor_;
  testing::RecordingObserver next_;
  testing::PathDigester digester_;
  ThreadPool hashing_{"measure", 1, 64};
  testing::FakeVmStore store_;
  ThreadPool journal_pool_{"journal", 1, 4};
  attestor::Journal journal_{{.signer = signer_,
                              .store = store_,
                              .work = journal_pool_,
                              .clock = clock_},
                             0};
  ops::Health health_{clock_};
  bool reported_ = false;
  std::promise<void> looked_;
  testing::FakeLaunchVerifier verifier_{clock_};
  Mutex keys_mutex_;
  absl::StatusOr<Keys> keys_ GUARDED_BY(keys_mutex_) = verifier_.keys();
  std::unique_ptr<GateHost> host_;
};

TEST_F(GateHostTest, TheHookBelievesItsAnswersByTheFileThatItWrites) {
  ASSERT_THAT(Make(false), IsOk());
  AwaitLook();
  ASSERT_OK_AND_ASSIGN(const hook::HookConfig config,
                       hook::ParseHookConfig(Trust()));
  EXPECT_EQ(config.host_id, HostId());
  const gate::GateCall call = Call("other");
  ASSERT_OK_AND_ASSIGN(const gate::GateReply refused, Ask(call));
  EXPECT_EQ(refused.code, "gate-no-reference");
  EXPECT_TRUE(hook::CheckReply(call, refused, config, clock_.Now()).trusted());
  // A reply to another call is none to this one.
  EXPECT_FALSE(
      hook::CheckReply(Call("other"), refused, config, clock_.Now()).trusted());
}

TEST_F(GateHostTest, AnEmbeddedVerifiersPolicyCountsFromTheFirstCallOn) {
  ASSERT_THAT(Make(true), IsOk());
  const gate::GateCall call = Call("web");
  ASSERT_OK_AND_ASSIGN(const gate::GateReply reply, Ask(call));
  EXPECT_TRUE(reply.allowed) << reply.sentence;
  EXPECT_EQ(reply.basis, gate::Basis::kVerdict);
}

TEST_F(GateHostTest, ReloadTakesTheVerifiersNewKeysForTheGateAndForTheHook) {
  const Keys right = verifier_.keys();
  SetKeys(testing::FakeLaunchVerifier(clock_).keys());
  ASSERT_THAT(Make(true), IsOk());
  AwaitLook();
  const std::string before = Trust();
  SetKeys(right);
  ASSERT_THAT(host_->Reload(), IsOk());
  host_.reset();  // what it was to do is done
  ASSERT_NE(Trust(), before);
  ASSERT_OK_AND_ASSIGN(const hook::HookConfig config,
                       hook::ParseHookConfig(Trust()));
  ASSERT_EQ(config.verifier_keys.size(), 1u);
  EXPECT_EQ(config.verifier_keys[0].key_id(), right[0].key_id());
}

TEST_F(GateHostTest, TrustOfAnotherConfigurationIsNotLeftForTheHook) {
  ASSERT_THAT(Make(false), IsOk());
  AwaitLook();
  host_.reset();
  const std::string before = Trust();
  ASSERT_THAT(Make(false), IsOk());
  EXPECT_EQ(Trust(), before);
  host_.reset();
  config_.gate.deadline_ms += 1;
  ASSERT_THAT(Make(false), IsOk());
  EXPECT_NE(Trust(), before);
}

TEST_F(GateHostTest, KeysThatCannotBeReadLeaveTheOldOnesInForce) {
  ASSERT_THAT(Make(true), IsOk());
  AwaitLook();
  const std::string before = Trust();
  SetKeys(absl::NotFoundError("gate.verifier_keys: gone"));
  EXPECT_THAT(host_->Reload(), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_EQ(CodeOf("web"), "");
  host_.reset();
  EXPECT_EQ(Trust(), before);
}

TEST_F(GateHostTest, AResultOfAKeyThatIsNotAmongThemStartsNothing) {
  const Keys right = verifier_.keys();
  SetKeys(testing::FakeLaunchVerifier(clock_).keys());
  ASSERT_THAT(Make(true), IsOk());
  EXPECT_EQ(CodeOf("web"), "gate-verdict");
  // A key of this process counts as soon as it signs.
  SetKeys(right);
  EXPECT_EQ(CodeOf("web"), "");
}

TEST_F(GateHostTest, AStartThatTheHookWasNotCalledForIsLoggedAndToldOn) {
  ASSERT_THAT(Make(true), IsOk());
  ASSERT_THAT(Maker().Log("before", {}, Deadline()), IsOk());
  const uint64_t before = signer_.state().log->size;
  host_->OnLifecycle({.uuid = FakeHypervisor::UuidOf("stray"),
                      .name = "stray",
                      .kind = hypervisor::LifecycleKind::kStarted});
  EXPECT_TRUE(next_.WaitFor("stray started"));
  ASSERT_THAT(Maker().Log("after", {}, Deadline()), IsOk());
  EXPECT_GE(signer_.state().log->size, before + 2);
}

TEST_F(GateHostTest, ResetsAreToldOn) {
  ASSERT_THAT(Make(true), IsOk());
  const Uuid web = FakeHypervisor::UuidOf("web");
  host_->OnReset(web);
  EXPECT_TRUE(next_.WaitFor("reset " + ToString(web)));
}

TEST_F(GateHostTest, AFolderOfApproversThatIsNoneIsNamedByItsKey) {
  config_.gate.approvers = dir_.Write("file", "");
  EXPECT_THAT(std::string(Make(true).message()), HasSubstr("gate.approvers"));
}

}  // namespace
}  // namespace vmattest::daemon
