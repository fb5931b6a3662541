#include "signing/remote/remote_signer.h"

#include <sys/types.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>

#include "base/mutex.h"
#include "fakes/fake_host_tpm.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "signing/local_signer.h"
#include "signing/remote/signer_codec.h"
#include "signing/remote/signer_server.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "wire/codec.h"

namespace vmattest::signing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using vmattest::testing::FakeHostTpm;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;
using vmattest::testing::Swtpm;
using vmattest::testing::TempDir;

constexpr std::chrono::seconds kLong{60};
constexpr std::chrono::milliseconds kShort{50};

MonotonicTime In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

// Waits for what the state becomes, without sleeping.
class States {
 public:
  std::function<void(const SignerState&)> Listener() {
    return [this](const SignerState& state) {
      const MutexLock lock(mutex_);
      state_ = state;
      ++changes_;
      changed_.NotifyAll();
    };
  }
  bool Await(const std::function<bool(const SignerState&)>& is) {
    const MonotonicTime deadline = In(kLong);
    const MutexLock lock(mutex_);
    while (changes_ == 0 || !is(state_)) {
      if (!changed_.WaitUntil(mutex_, deadline)) {
        return false;
      }
    }
    return true;
  }
  bool AwaitServing() {
    return Await([](const SignerState& state) {
      return state.tpm.ok() && state.identity && state.log;
    });
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  SignerState state_ GUARDED_BY(mutex_);
  int changes_ GUARDED_BY(mutex_) = 0;
};

// The other end of each connection is served by a function, on a thread.
class Scripted {
 public:
  using Script = std::function<void(ipc::Channel&)>;
  explicit Scripted(Script script) : script_(std::move(script)) {}
  ~Scripted() {
    const MutexLock lock(mutex_);
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  SignerConnector Connector() {
    return [this]() -> absl::StatusOr<SignerLink> {
      ASSIGN_OR_RETURN(auto ends, ipc::Channel::MakePair());
      auto end = std::make_shared<ipc::Channel>(std::move(ends.second),
                                                kMaxSignerMessage);
      ++connections;
      {
        const MutexLock lock(mutex_);
        threads_.emplace_back([this, end] {
          script_(*end);
          end->Close();
        });
      }
      SignerLink link;
      link.channel = std::make_shared<ipc::Channel>(std::move(ends.first),
                                                    kMaxSignerMessage);
      return link;
    };
  }
  std::atomic<int> connections = 0;

 private:
  const Script script_;
  Mutex mutex_;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

// Says that the TPM serves, so that requests come.
void SayServing(ipc::Channel& channel) {
  internal::SignerReply reply;
  reply.mutable_state();
  (void)channel.Send(ToIpcMessage(reply), In(kLong));
}

absl::StatusOr<internal::SignerRequest> NextRequest(ipc::Channel& channel) {
  ASSIGN_OR_RETURN(const ipc::Message message, channel.Receive(In(kLong)));
  internal::SignerRequest request;
  RETURN_IF_ERROR(FromIpcMessage(message, request));
  return request;
}

template <class T>
class Answer {
 public:
  std::function<void(absl::StatusOr<T>)> Take() {
    return [this](absl::StatusOr<T> value) {
      promise_.set_value(std::move(value));
    };
  }
  absl::StatusOr<T> Wait() { return promise_.get_future().get(); }

 private:
  std::promise<absl::StatusOr<T>> promise_;
};

Bytes StatementOf(const SignerState& state) {
  evidence::ConfigStatement statement;
  statement.header.module_version = "test";
  statement.header.host_id = state.identity->host_id;
  statement.header.vm_uuid = "6a3f6ef2-5f4b-4f5e-8e5c-0f0f0f0f0f0f";
  statement.header.vm_name = "web-1";
  statement.header.nonce = Bytes(16, 7);
  statement.header.signature_algorithms = state.algorithms;
  statement.leaf_count = 1;
  statement.root = DigestBytes(32, 1);
  statement.content = "chain";
  statement.xml_kind = "live";
  statement.vm_state = "running";
  return wire::EncodeConfigStatement(statement);
}

// --- Against signers that misbehave.

class HostileSigner : public ::testing::TestWithParam<const char*> {};

TEST_P(HostileSigner, S25_GarbageEndsItAndNothingHangs) {
  const std::string how = GetParam();
  Scripted signer([how](ipc::Channel& channel) {
    SayServing(channel);
    const auto request = NextRequest(channel);
    internal::SignerReply reply;
    if (how == "no-message") {
      (void)channel.Send({ToBytes("\xff\xff\xff"), {}}, In(kLong));
      return;
    }
    if (how == "unasked") {
      reply.set_id(1'000'000);
    } else if (how == "bad-state") {
      reply.mutable_state()->set_pq_state(99);
    } else if (how == "bad-identity") {
      reply.mutable_state()->set_identity("x");
    }
    (void)channel.Send(ToIpcMessage(reply), In(kLong));
  });
  States states;
  RemoteSigner remote(signer.Connector(), {.on_state = states.Listener()});
  Answer<TpmClock> clock;
  ASSERT_THAT(remote.ReadClock(In(kLong), clock.Take()), IsOk());
  EXPECT_TRUE(states.Await(
      [](const SignerState& state) { return absl::IsDataLoss(state.tpm); }));
  EXPECT_THAT(clock.Wait(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(signer.connections, 3);  // not for ever with the same request
  remote.Stop();
}

INSTANTIATE_TEST_SUITE_P(RemoteSigner, HostileSigner,
                         ::testing::Values("no-message", "unasked", "bad-state",
                                           "bad-identity"));

TEST(RemoteSigner, AnswerToAnotherQuestionIsDataLoss) {
  Scripted signer([](ipc::Channel& channel) {
    SayServing(channel);
    while (true) {
      const auto request = NextRequest(channel);
      if (!request.ok()) {
        return;
      }
      internal::SignerReply reply;
      reply.set_id(request->id());
      reply.set_epoch(3);
      (void)channel.Send(ToIpcMessage(reply), In(kLong));
    }
  });
  RemoteSigner remote(signer.Connector(), {});
  Answer<TpmClock> clock;
  ASSERT_THAT(remote.ReadClock(In(kLong), clock.Take()), IsOk());
  EXPECT_THAT(clock.Wait(), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(remote.ListKeys(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(RemoteSigner, SilentSignerIsADeadline) {
  Scripted signer([](ipc::Channel& channel) {
    SayServing(channel);
    while (NextRequest(channel).ok()) {
    }
  });
  RemoteSigner remote(signer.Connector(), {.stop_timeout = kShort});
  Answer<TpmClock> clock;
  ASSERT_THAT(remote.ReadClock(In(kShort), clock.Take()), IsOk());
  EXPECT_THAT(clock.Wait(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

// Answers pings alone, as one does whose TPM does not answer.
TEST(RemoteSigner, SlowTpmIsNoHungSigner) {
  std::atomic<int> pings = 0;
  Scripted signer([&pings](ipc::Channel& channel) {
    SayServing(channel);
    for (auto request = NextRequest(channel); request.ok();
         request = NextRequest(channel)) {
      if (request->has_ping()) {
        ++pings;
        internal::SignerReply reply;
        reply.mutable_pong();
        (void)channel.Send(ToIpcMessage(reply), In(kLong));
      }
    }
  });
  RemoteSigner remote(
      signer.Connector(),
      {.ping_after = kShort / 10, .hung_after = kLong, .stop_timeout = kShort});
  Answer<TpmClock> clock;
  ASSERT_THAT(remote.ReadClock(In(10 * kShort), clock.Take()), IsOk());
  EXPECT_THAT(clock.Wait(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_GT(pings, 1);
  EXPECT_EQ(signer.connections, 1);
}

TEST(RemoteSigner, SignerThatAnswersNoPingIsLeft) {
  std::atomic<int> pings = 0;
  Scripted signer([&pings](ipc::Channel& channel) {
    SayServing(channel);
    for (auto request = NextRequest(channel); request.ok();
         request = NextRequest(channel)) {
      pings += request->has_ping();
    }
  });
  States states;
  RemoteSigner remote(signer.Connector(), {.on_state = states.Listener(),
                                           .ping_after = kShort,
                                           .hung_after = kShort,
                                           .stop_timeout = kShort});
  EXPECT_TRUE(states.Await([](const SignerState& state) {
    return absl::IsUnavailable(state.tpm) &&
           state.tpm.message().find("hangs") != std::string_view::npos;
  }));
  EXPECT_GE(pings, 1);
  // What nobody answers is not sent for ever.
  Answer<TpmClock> clock;
  ASSERT_THAT(remote.ReadClock(In(kLong), clock.Take()), IsOk());
  EXPECT_THAT(clock.Wait(), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(RemoteSigner, MoreThanTheLimitAreRefused) {
  Scripted signer([](ipc::Channel& channel) {
    while (NextRequest(channel).ok()) {
    }
  });
  RemoteSigner remote(signer.Connector(),
                      {.max_pending = 2, .stop_timeout = kShort});
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT(remote.ReadClock(In(kLong), [](const auto&) {}), IsOk());
  }
  EXPECT_THAT(remote.ReadClock(In(kLong), [](const auto&) {}),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(RemoteSigner, EventsAreSentAgainInOrderAndMarked) {
  Mutex mutex;
  std::vector<std::string> seen;
  Scripted signer([&](ipc::Channel& channel) {
    SayServing(channel);
    mutex.Lock();
    const bool first = seen.empty();
    mutex.Unlock();
    for (int i = 0; i < 2; ++i) {
      const auto request = NextRequest(channel);
      if (!request.ok()) {
        return;
      }
      mutex.Lock();
      seen.push_back(request->append().event());
      mutex.Unlock();
      if (first) {
        continue;
      }
      internal::SignerReply reply;
      reply.set_id(request->id());
      reply.mutable_log_head()->set_size(7);
      reply.mutable_log_head()->set_head(std::string(32, 'h'));
      (void)channel.Send(ToIpcMessage(reply), In(kLong));
    }
    if (!first) {
      (void)NextRequest(channel);
    }
  });
  RemoteSigner remote(signer.Connector(), {});
  Answer<eventlog::LogHead> one;
  Answer<eventlog::LogHead> two;
  ASSERT_THAT(remote.Append({"vm-started", {{"vm_name", "a"}}, 1}, In(kLong),
                            one.Take()),
              IsOk());
  ASSERT_THAT(remote.Append({"vm-stopped", {{"vm_name", "a"}}, 2}, In(kLong),
                            two.Take()),
              IsOk());
  EXPECT_THAT(one.Wait(), IsOk());
  EXPECT_THAT(two.Wait(), IsOk());
  EXPECT_EQ(remote.state().log->size, 7U);
  remote.Stop();
  const MutexLock lock(mutex);
  ASSERT_EQ(seen.size(), 4U);
  EXPECT_THAT(seen[0], ::testing::Not(HasSubstr("again")));
  EXPECT_THAT(seen[2], HasSubstr(R"("again":"true","vm_name":"a"},"kind":"vm-)"
                                 "started"));
  EXPECT_THAT(seen[3], HasSubstr("vm-stopped"));
}

TEST(RemoteSigner, AdministrationIsNeverSentTwice) {
  std::atomic<int> rotations = 0;
  Scripted signer([&rotations](ipc::Channel& channel) {
    SayServing(channel);
    const auto request = NextRequest(channel);
    rotations += request.ok() && request->has_rotate();
  });
  RemoteSigner remote(signer.Connector(), {});
  EXPECT_THAT(remote.RotateKey(KeyPurpose::kConfig),
              StatusIs(absl::StatusCode::kUnavailable));
  remote.Stop();
  EXPECT_EQ(rotations, 1);
}

TEST(RemoteSigner, ProgramThatIsMissingIsInTheState) {
  States states;
  RemoteSigner remote(SpawnSigner("/nonexistent/vmattest-signer", {}),
                      {.on_state = states.Listener()});
  EXPECT_TRUE(states.Await(
      [](const SignerState& state) { return absl::IsNotFound(state.tpm); }));
  EXPECT_THAT(remote.state().tpm.message(),
              HasSubstr("/nonexistent/vmattest-signer"));
}

// --- The loop over a real LocalSigner.

class RemoteSignerLoop : public ::testing::Test {
 protected:
  RemoteSignerLoop()
      : signer_([this](ipc::Channel& channel) {
          std::atomic<SignerServer*> server = nullptr;
          LocalSigner::Options options;
          options.work.state_dir = dir_.path() / "signer";
          options.work.post_quantum.mode = PqMode::kOff;
          options.work.on_state = [&server](const SignerState&) {
            if (SignerServer* told = server.load(); told != nullptr) {
              told->StateChanged();
            }
          };
          LocalSigner local(tpm_, clock_, std::move(options));
          SignerServer serving(channel, local, [&local] { local.Stop(); });
          server = &serving;
          serving.StateChanged();
          (void)serving.Serve();
          local.Stop();
          server = nullptr;
        }),
        remote_(signer_.Connector(), {.on_state = states_.Listener()}) {
    std::filesystem::create_directory(dir_.path() / "signer");
  }

  TempDir dir_;
  FakeHostTpm tpm_;
  SystemClock clock_;
  States states_;
  Scripted signer_;
  RemoteSigner remote_;
};

TEST_F(RemoteSignerLoop, SealsAndReadsTheClock) {
  ASSERT_TRUE(states_.AwaitServing());
  Answer<std::vector<evidence::Signature>> sealed;
  ASSERT_THAT(
      remote_.Seal(std::string(evidence::kConfigPayloadType),
                   StatementOf(remote_.state()), In(kLong), sealed.Take()),
      IsOk());
  ASSERT_OK_AND_ASSIGN(const auto signatures, sealed.Wait());
  ASSERT_EQ(signatures.size(), 1U);
  EXPECT_EQ(signatures[0].algorithm, evidence::kTpmQuoteAlgorithm);
  Answer<TpmClock> clock;
  ASSERT_THAT(remote_.ReadClock(In(kLong), clock.Take()), IsOk());
  EXPECT_EQ(clock.Wait()->clock_ms, tpm_.ReadClock()->clock_ms);
  EXPECT_EQ(remote_.stats().sealed, 1U);
}

TEST_F(RemoteSignerLoop, S25_RefusesWhatIsNoStatement) {
  ASSERT_TRUE(states_.AwaitServing());
  for (const std::string payload : {"", "a digest of 32 bytes, caller-made"}) {
    Answer<std::vector<evidence::Signature>> sealed;
    ASSERT_THAT(remote_.Seal(std::string(evidence::kConfigPayloadType),
                             ToBytes(payload), In(kLong), sealed.Take()),
                IsOk());
    EXPECT_THAT(sealed.Wait(), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  Answer<std::vector<evidence::Signature>> sealed;
  ASSERT_THAT(remote_.Seal("text/plain", StatementOf(remote_.state()),
                           In(kLong), sealed.Take()),
              IsOk());
  EXPECT_THAT(sealed.Wait(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(RemoteSignerLoop, PingsAreAnswered) {
  ASSERT_OK_AND_ASSIGN(SignerLink link, signer_.Connector()());
  internal::SignerRequest ping;
  ping.mutable_ping();
  ASSERT_THAT(link.channel->Send(ToIpcMessage(ping), In(kLong)), IsOk());
  internal::SignerReply reply;
  while (!reply.has_pong()) {
    ASSERT_OK_AND_ASSIGN(const ipc::Message message,
                         link.channel->Receive(In(kLong)));
    ASSERT_THAT(FromIpcMessage(message, reply), IsOk());
  }
  link.channel->Close();
}

TEST_F(RemoteSignerLoop, AdministrationGoesThrough) {
  ASSERT_TRUE(states_.AwaitServing());
  ASSERT_OK_AND_ASSIGN(const auto keys, remote_.ListKeys());
  EXPECT_FALSE(keys.empty());
  ASSERT_OK_AND_ASSIGN(const uint32_t epoch,
                       remote_.RotateKey(KeyPurpose::kConfig));
  EXPECT_EQ(epoch, 2U);
  ASSERT_OK_AND_ASSIGN(const auto after, remote_.ListKeys());
  EXPECT_EQ(after.size(), keys.size() + 1);
  EXPECT_THAT(remote_.ReEnroll("somebody-else"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_OK_AND_ASSIGN(const auto status, remote_.GetSealStatus());
  EXPECT_EQ(status.state, PqState::kOff);
}

// --- The real program on a software TPM.

class SignerProcess : public ::testing::Test {
 protected:
  SignerProcess() {
    std::filesystem::create_directory(dir_.path() / "signer");
    std::filesystem::permissions(dir_.path() / "signer",
                                 std::filesystem::perms::owner_all);
  }
  SignerSetup MakeSetup() {
    SignerSetup setup;
    setup.tcti = tpm_.tcti();
    setup.pcrs = {0, 1, 2, 3, 4, 5, 6, 7};
    setup.persistent_handle_base = 0x81010100;
    setup.log_index = 0x01A10100;
    setup.counter_index = 0x01A10101;
    setup.key_auth = SecretBytes(ToBytes("correct horse"));
    setup.state_dir = dir_.path() / "signer";
    setup.pin_file = dir_.path() / "signer" / "tpm.json";
    setup.hostname = "host-1";
    setup.post_quantum = "off";
    setup.log_level = "error";
    return setup;
  }
  std::unique_ptr<RemoteSigner> Start() {
    return std::make_unique<RemoteSigner>(
        SpawnSigner(VMATTEST_SIGNER, MakeSetup()),
        RemoteSigner::Options{.max_pending = 2000,
                              .on_state = states_.Listener()});
  }
  std::string LogText() const {
    std::stringstream text;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(
             dir_.path() / "signer")) {
      if (entry.path().extension() == ".cel") {
        text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      }
    }
    return text.str();
  }

  TempDir dir_;
  Swtpm tpm_;
  States states_;
};

TEST_F(SignerProcess, SealsAndClosesItsLogInAnOrderlyEnd) {
  const auto remote = Start();
  ASSERT_TRUE(states_.AwaitServing());
  Answer<std::vector<evidence::Signature>> sealed;
  ASSERT_THAT(
      remote->Seal(std::string(evidence::kConfigPayloadType),
                   StatementOf(remote->state()), In(kLong), sealed.Take()),
      IsOk());
  EXPECT_THAT(sealed.Wait(), IsOk());
  Answer<eventlog::LogHead> appended;
  ASSERT_THAT(remote->Append({"vm-started", {{"vm_name", "web-1"}}, 5},
                             In(kLong), appended.Take()),
              IsOk());
  EXPECT_THAT(appended.Wait(), IsOk());
  Answer<evidence::AnchorCertification> anchor;
  ASSERT_THAT(remote->CertifyLog(Bytes(16, 3), In(kLong), anchor.Take()),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const auto certified, anchor.Wait());
  EXPECT_FALSE(certified.nv_public.empty());
  EXPECT_FALSE(certified.signature.empty());
  EXPECT_THAT(LogText(), HasSubstr("web-1"));
  EXPECT_THAT(LogText(), ::testing::Not(HasSubstr("daemon-stopped")));
  remote->Stop();
  EXPECT_THAT(LogText(), HasSubstr("daemon-stopped"));
  EXPECT_THAT(remote->Seal("x", {}, In(kLong), [](const auto&) {}),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(SignerProcess, S25_KilledInTheMiddleOfAThousandSealsAnswersEveryOne) {
  const auto remote = Start();
  ASSERT_TRUE(states_.AwaitServing());
  const Bytes payload = StatementOf(remote->state());
  constexpr int kSeals = 1000;
  std::atomic<int> good = 0;
  std::atomic<int> failed = 0;
  absl::Status why;  // of the first, on the signer's thread
  std::promise<void> all;
  for (int i = 0; i < kSeals; ++i) {
    if (i == kSeals / 2) {
      const auto pid = remote->pid();
      ASSERT_TRUE(pid);
      ASSERT_EQ(kill(*pid, SIGKILL), 0);
    }
    ASSERT_THAT(remote->Seal(std::string(evidence::kConfigPayloadType), payload,
                             In(kLong),
                             [&](const auto& signatures) {
                               if (!signatures.ok() && failed == 0) {
                                 why = signatures.status();
                               }
                               ++(signatures.ok() ? good : failed);
                               if (good + failed == kSeals) {
                                 all.set_value();
                               }
                             }),
                IsOk());
  }
  all.get_future().wait();
  EXPECT_EQ(good, kSeals);
  EXPECT_EQ(failed, 0) << why;
  EXPECT_TRUE(remote->state().tpm.ok()) << remote->state().tpm;
}

TEST_F(SignerProcess, StoppedInItsTracksItIsKilledAndStartedAgain) {
  const auto remote = std::make_unique<RemoteSigner>(
      SpawnSigner(VMATTEST_SIGNER, MakeSetup()),
      RemoteSigner::Options{.on_state = states_.Listener(),
                            .ping_after = std::chrono::milliseconds(200),
                            .hung_after = std::chrono::seconds(2)});
  ASSERT_TRUE(states_.AwaitServing());
  const Bytes payload = StatementOf(remote->state());
  const auto pid = remote->pid();
  ASSERT_TRUE(pid);
  ASSERT_EQ(kill(*pid, SIGSTOP), 0);
  Answer<std::vector<evidence::Signature>> sealed;
  ASSERT_THAT(remote->Seal(std::string(evidence::kConfigPayloadType), payload,
                           In(kLong), sealed.Take()),
              IsOk());
  EXPECT_TRUE(states_.Await([](const SignerState& state) {
    return absl::IsUnavailable(state.tpm) &&
           state.tpm.message().find("hangs") != std::string_view::npos;
  }));
  EXPECT_THAT(sealed.Wait(), IsOk());
  EXPECT_NE(remote->pid(), pid);
}

TEST_F(SignerProcess, EndsWhenItsParentIsGoneWithoutClosingItsLog) {
  ASSERT_OK_AND_ASSIGN(SignerLink link,
                       SpawnSigner(VMATTEST_SIGNER, MakeSetup())());
  ipc::Message message;
  while (LogText().find("daemon-started") == std::string::npos) {
    ASSERT_THAT(link.channel->Receive(In(kLong)), IsOk());  // states
  }
  link.channel->Close();
  ASSERT_OK_AND_ASSIGN(const std::string end, link.process->Wait(In(kLong)));
  EXPECT_EQ(end, "exited with status 0");
  EXPECT_THAT(LogText(), ::testing::Not(HasSubstr("daemon-stopped")));
}

// OpenSSL's module and its self-tests run inside the sandbox.
TEST_F(SignerProcess, SignsPostQuantumInsideItsSandbox) {
  SignerSetup setup = MakeSetup();
  setup.post_quantum = "required";
  if (const char* module = std::getenv("VMATTEST_PQ_MODULE")) {
    setup.module = module;
  }
  RemoteSigner remote(SpawnSigner(VMATTEST_SIGNER, std::move(setup)),
                      {.on_state = states_.Listener()});
  ASSERT_TRUE(states_.Await([](const SignerState& state) {
    return state.pq == PqState::kUnsealed && state.log;
  })) << remote.state().pq_detail;
  Answer<std::vector<evidence::Signature>> sealed;
  ASSERT_THAT(
      remote.Seal(std::string(evidence::kConfigPayloadType),
                  StatementOf(remote.state()), In(kLong), sealed.Take()),
      IsOk());
  ASSERT_OK_AND_ASSIGN(const auto signatures, sealed.Wait());
  EXPECT_EQ(signatures.size(), 2U);
}

TEST_F(SignerProcess, NonsenseEndsIt) {
  ASSERT_OK_AND_ASSIGN(SignerLink link,
                       SpawnSigner(VMATTEST_SIGNER, MakeSetup())());
  ASSERT_THAT(link.channel->Send({ToBytes("\xff\xff\xff"), {}}, In(kLong)),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string end, link.process->Wait(In(kLong)));
  EXPECT_EQ(end, "exited with status 1");
}

}  // namespace
}  // namespace vmattest::signing
