#include "signing/local_signer.h"

#include <filesystem>
#include <future>
#include <thread>

#include "base/file.h"
#include "crypto/ml_dsa.h"
#include "eventlog/host_log.h"
#include "evidence/seal_authority.h"
#include "evidence/tpm_structures.h"
#include "fakes/fake_host_tpm.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "signing/seed_file.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "wire/codec.h"

// What LocalSigner does beyond the contract (tests/contract/signer_*).

namespace vmattest::signing {
namespace {

using std::chrono::hours;
using testing::FakeHostTpm;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;
using Signatures = absl::StatusOr<std::vector<evidence::Signature>>;

class LocalSignerTest : public ::testing::Test {
 protected:
  LocalSignerTest() { tpm_.UseClock(clock_); }

  LocalSigner& Start() {
    signer_.reset();
    SignerWorkOptions work = options_;
    work.state_dir = dir_.path();
    work.on_state = [this](const SignerState& state) {
      const MutexLock lock(mutex_);
      newest_ = state;
      changed_.NotifyAll();
    };
    {
      const MutexLock lock(mutex_);
      newest_ = SignerState();
      newest_.tpm = absl::UnavailableError("not told yet");
    }
    signer_ = std::make_unique<LocalSigner>(
        tpm_, clock_, LocalSigner::Options{.work = std::move(work)});
    return *signer_;
  }
  SignerState Await(const std::function<bool(const SignerState&)>& wanted) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(30);
    const MutexLock lock(mutex_);
    while (!wanted(newest_)) {
      if (!changed_.WaitUntil(mutex_, end)) {
        ADD_FAILURE() << "that state never came: " << newest_.tpm << " "
                      << newest_.pq_detail << " " << newest_.log_problem;
        break;
      }
    }
    return newest_;
  }
  SignerState AwaitServing() {
    return Await([](const SignerState& s) { return s.tpm.ok(); });
  }
  std::future<Signatures> Seal() {
    const SignerState state = signer_->state();
    evidence::ConfigStatement statement;
    statement.header.host_id = state.identity->host_id;
    statement.header.signature_algorithms = state.algorithms;
    statement.root = Bytes(32, 1);
    auto promise = std::make_shared<std::promise<Signatures>>();
    std::future<Signatures> future = promise->get_future();
    const absl::Status accepted = signer_->Seal(
        std::string(evidence::kConfigPayloadType),
        wire::EncodeConfigStatement(statement), MonotonicTime::max(),
        [promise](Signatures s) { promise->set_value(std::move(s)); });
    if (!accepted.ok()) {
      promise->set_value(accepted);
    }
    return future;
  }
  absl::StatusOr<eventlog::LogHead> Append(const std::string& kind) {
    std::promise<absl::StatusOr<eventlog::LogHead>> promise;
    RETURN_IF_ERROR(signer_->Append(
        {.kind = kind, .facts = {}, .time_unix_ms = 1}, MonotonicTime::max(),
        [&](auto head) { promise.set_value(std::move(head)); }));
    return promise.get_future().get();
  }
  std::vector<std::string> Kinds() {
    DiskLogFolder folder(dir_.path() / "eventlog");
    std::vector<std::string> kinds;
    const std::vector<std::string> names = folder.List().value();
    for (const std::string& name : names) {
      const auto records = eventlog::ParseCel(folder.Read(name).value());
      for (const eventlog::CelRecord& record : records.value()) {
        kinds.push_back(eventlog::ParseHostEvent(AsText(record.content))->kind);
      }
    }
    return kinds;
  }

  testing::TempDir dir_;
  FakeHostTpm tpm_;
  testing::ManualClock clock_;
  SignerWorkOptions options_;
  Mutex mutex_;
  CondVar changed_;
  SignerState newest_ GUARDED_BY(mutex_);
  std::unique_ptr<LocalSigner> signer_;
};

TEST_F(LocalSignerTest, StoppingClosesTheLog) {
  Start();
  AwaitServing();
  signer_.reset();
  EXPECT_THAT(Kinds(), ::testing::ElementsAre("boot", "daemon-started",
                                              "daemon-stopped"));
}

TEST_F(LocalSignerTest, KeysRotateAndRetireOnSchedule) {
  options_.rotate_days = 90;
  options_.overlap_days = 30;
  Start();
  AwaitServing();
  clock_.Advance(hours(24 * 90));
  EXPECT_THAT(Seal().get(), IsOk());  // any work looks at the schedule
  EXPECT_THAT(Append("vm-started"), IsOk());
  ASSERT_OK_AND_ASSIGN(auto keys, signer_->ListKeys());
  ASSERT_THAT(keys, SizeIs(12));
  EXPECT_EQ(keys[0].key.state, tpm::KeyEpoch::State::kOverlap);
  EXPECT_EQ(keys[1].key.state, tpm::KeyEpoch::State::kActive);
  clock_.Advance(hours(24 * 30));
  EXPECT_THAT(Append("vm-started"), IsOk());
  ASSERT_OK_AND_ASSIGN(keys, signer_->ListKeys());
  EXPECT_EQ(keys[0].key.state, tpm::KeyEpoch::State::kRetired);
  EXPECT_THAT(Append("vm-started"), IsOk());
  const std::vector<std::string> kinds = Kinds();
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "key-rotated"), 6);
  EXPECT_EQ(std::count(kinds.begin(), kinds.end(), "key-retired"), 6);
}

TEST_F(LocalSignerTest, RequiredButNotUnsealedSignsNothing) {
  options_.post_quantum.mode = PqMode::kRequired;
  Start();
  AwaitServing();
  EXPECT_THAT(Seal().get(), IsOk());
  signer_.reset();
  tpm_.Reset();
  tpm_.SetPcr(7, Bytes(32, 9));
  Start();
  AwaitServing();
  EXPECT_THAT(Seal().get(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                     HasSubstr("unapproved-boot")));
}

TEST_F(LocalSignerTest, OffSignsByQuoteAlone) {
  options_.post_quantum.mode = PqMode::kOff;
  Start();
  EXPECT_EQ(AwaitServing().pq, PqState::kOff);
  EXPECT_THAT(Seal().get().value(), SizeIs(1));
  EXPECT_FALSE(std::filesystem::exists(dir_.path() / "seeds"));
}

TEST_F(LocalSignerTest, S5_ForeignAuthorityApprovesTheFirstBootToo) {
  const testing::TempDir office;
  ASSERT_OK_AND_ASSIGN(
      const auto authority,
      evidence::SealAuthority::LoadOrGenerate(office.path() / "key.pem"));
  ASSERT_EQ(std::system(fmt::format("openssl pkey -in {0}/key.pem -pubout "
                                    "-out {0}/public.pem",
                                    office.path().string())
                            .c_str()),
            0);
  ASSERT_OK_AND_ASSIGN(const Bytes pem,
                       ReadFile(office.path() / "public.pem", 4096));
  options_.post_quantum.authority_pem = AsText(pem);
  Start();
  const SignerState state = AwaitServing();
  EXPECT_EQ(state.pq, PqState::kUnapprovedBoot);
  EXPECT_THAT(state.identity->pq_keys, SizeIs(6));  // to be listed (rule S4)
  EXPECT_EQ(state.identity->seal_authority, authority.public_area());
  EXPECT_THAT(signer_->ApproveBoot({}, true, false),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  ASSERT_OK_AND_ASSIGN(const auto status, signer_->GetSealStatus());
  std::vector<evidence::SealApproval> approvals;
  for (const evidence::PqKey& key : state.identity->pq_keys) {
    evidence::SealApproval approval;
    approval.host_id = state.identity->host_id;
    approval.purpose = key.purpose;
    approval.pcrs = status.current.pcrs;
    approval.counter_limit = status.current.counter;
    approval.counter_name = status.current.counter_name;
    ASSERT_THAT(authority.Sign(approval), IsOk());
    approvals.push_back(std::move(approval));
  }
  EXPECT_EQ(signer_->ApproveBoot(approvals, false, false).value(),
            PqState::kUnsealed);
  EXPECT_THAT(Seal().get().value(), SizeIs(2));
  // And after a restart, from what was kept.
  Start();
  EXPECT_EQ(AwaitServing().pq, PqState::kUnsealed);
}

TEST_F(LocalSignerTest, DamagedSeedIsNamedAndNotReplaced) {
  Start();
  AwaitServing();
  signer_.reset();
  const std::filesystem::path seed =
      dir_.path() / "seeds" / "config-1-ml-dsa-65.seed";
  ASSERT_THAT(WriteFileAtomic(seed, ToBytes("junk")), IsOk());
  Start();
  const SignerState state = AwaitServing();
  EXPECT_EQ(state.pq, PqState::kUnavailable);
  EXPECT_THAT(state.pq_detail, HasSubstr("config-1-ml-dsa-65.seed"));
  EXPECT_EQ(ReadFile(seed, 100).value(), ToBytes("junk"));
}

TEST_F(LocalSignerTest, SeedsOfRetiredKeysAreDestroyed) {
  options_.overlap_days = 1;
  Start();
  AwaitServing();
  EXPECT_THAT(signer_->RotateKey(KeyPurpose::kConfig), IsOk());
  clock_.Advance(hours(25));
  EXPECT_THAT(Append("vm-started"), IsOk());
  EXPECT_THAT(signer_->ListKeys(), IsOk());
  ASSERT_OK_AND_ASSIGN(
      const Bytes bytes,
      ReadFile(dir_.path() / "seeds" / "config-1-ml-dsa-65.seed", 1 << 16));
  ASSERT_OK_AND_ASSIGN(const tpm::SealedSeed seed, ParseSeedFile(bytes));
  EXPECT_TRUE(seed.private_area.empty());
  EXPECT_FALSE(seed.key.public_key.empty());
  Start();
  EXPECT_EQ(AwaitServing().pq, PqState::kUnsealed);
}

TEST_F(LocalSignerTest, RotationUnderLoadNeverMixesEpochs) {
  Start();
  AwaitServing();
  std::atomic<bool> done = false;
  std::thread rotating([&] {
    for (int i = 0; i < 5; ++i) {
      EXPECT_THAT(signer_->RotateKey(KeyPurpose::kConfig), IsOk());
    }
    done = true;
  });
  std::vector<Signatures> sealed;
  while (!done) {
    std::vector<std::future<Signatures>> batch;
    for (int i = 0; i < 8; ++i) {
      batch.push_back(Seal());
    }
    for (std::future<Signatures>& future : batch) {
      sealed.push_back(future.get());
    }
  }
  rotating.join();
  const evidence::HostIdentity identity = *signer_->state().identity;
  std::map<Bytes, uint32_t> quote_keys;
  std::map<Bytes, uint32_t> pq_keys;
  for (const evidence::KeyCertification& key : identity.keys) {
    quote_keys[evidence::NameOf(key.public_area).value()] = key.epoch;
  }
  for (const evidence::PqKey& key : identity.pq_keys) {
    pq_keys[MlDsaKeyId(key.public_key)] = key.epoch;
  }
  for (const Signatures& signatures : sealed) {
    if (absl::IsAborted(signatures.status())) {
      continue;
    }
    ASSERT_THAT(signatures, IsOk());
    const auto& quote =
        std::get<evidence::TpmQuoteSignature>(signatures->at(0).body);
    const auto& raw = std::get<evidence::RawSignature>(signatures->at(1).body);
    EXPECT_EQ(quote_keys.at(quote.key_name), pq_keys.at(raw.key_id));
  }
}

// A folder that cannot be made stands for every disk that does not take it.
TEST_F(LocalSignerTest, SigningGoesOnWithoutALog) {
  ASSERT_THAT(WriteFileAtomic(dir_.path() / "eventlog", ToBytes("in the way")),
              IsOk());
  Start();
  const SignerState state = AwaitServing();
  EXPECT_FALSE(state.log.has_value());
  EXPECT_THAT(state.log_problem, HasSubstr("closed"));
  EXPECT_THAT(Seal().get(), IsOk());
  EXPECT_FALSE(Append("vm-started").ok());
  std::filesystem::remove(dir_.path() / "eventlog");
  EXPECT_THAT(Append("vm-started"), IsOk());
}

TEST_F(LocalSignerTest, AfterStoppingEverythingIsRefused) {
  Start();
  AwaitServing();
  signer_->Stop();
  EXPECT_THAT(Seal().get(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Append("vm-started"), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(signer_->ListKeys(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(signer_->CertifyLog({}, MonotonicTime::max(), [](const auto&) {}),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace vmattest::signing
