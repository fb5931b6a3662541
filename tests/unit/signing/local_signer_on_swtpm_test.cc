// The signer over a TPM of its own: the log in a real PCR and NV index, seeds
// sealed by it, across power cycles.

#include <future>

#include "crypto/digest.h"
#include "eventlog/host_log.h"
#include "evidence/tpm_structures.h"
#include "gmock/gmock.h"
#include "signing/local_signer.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "tpm/esys/esys_host_tpm.h"
#include "wire/codec.h"

namespace vmattest::signing {
namespace {

using testing::IsOk;
using ::testing::SizeIs;

constexpr uint8_t kPcr = 13;

class SignerOnSwtpmTest : public ::testing::Test {
 protected:
  void Start() {
    Stop();
    tpm::EsysHostTpmOptions tpm;
    tpm.tcti = swtpm_.tcti();
    tpm.pcrs = {0, 1, 2, 3, 4, 5, 6, 7, kPcr};
    tpm.key_auth = SecretBytes(Bytes(32, 0x5A));
    tpm.pin_file = dir_.path() / "tpm.json";
    tpm_ = std::make_unique<tpm::EsysHostTpm>(std::move(tpm));
    LocalSigner::Options options;
    options.work.state_dir = dir_.path();
    options.work.on_state = [this](const SignerState& state) {
      const MutexLock lock(mutex_);
      newest_ = state;
      changed_.NotifyAll();
    };
    {
      const MutexLock lock(mutex_);
      newest_ = SignerState();
    }
    signer_ = std::make_unique<LocalSigner>(*tpm_, clock_, std::move(options));
  }
  void Stop() {
    signer_.reset();
    tpm_.reset();
  }
  void PowerCycle() {
    swtpm_.Kill();
    swtpm_.Start();
  }
  SignerState Await(PqState pq) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(60);
    const MutexLock lock(mutex_);
    while (!newest_.tpm.ok() || !newest_.log || newest_.pq != pq) {
      if (!changed_.WaitUntil(mutex_, end)) {
        ADD_FAILURE() << newest_.tpm << "; " << newest_.log_problem << "; "
                      << ToString(newest_.pq) << " " << newest_.pq_detail;
        break;
      }
    }
    return newest_;
  }
  absl::StatusOr<eventlog::LogHead> Append() {
    std::promise<absl::StatusOr<eventlog::LogHead>> promise;
    RETURN_IF_ERROR(signer_->Append(
        {.kind = "vm-started", .facts = {}, .time_unix_ms = 1},
        MonotonicTime::max(),
        [&](auto head) { promise.set_value(std::move(head)); }));
    return promise.get_future().get();
  }
  absl::StatusOr<std::vector<evidence::Signature>> Seal() {
    const SignerState state = signer_->state();
    evidence::ConfigStatement statement;
    statement.header.host_id = state.identity->host_id;
    statement.header.signature_algorithms = state.algorithms;
    statement.root = Bytes(32, 1);
    std::promise<absl::StatusOr<std::vector<evidence::Signature>>> promise;
    RETURN_IF_ERROR(signer_->Seal(
        std::string(evidence::kConfigPayloadType),
        wire::EncodeConfigStatement(statement), MonotonicTime::max(),
        [&](auto s) { promise.set_value(std::move(s)); }));
    return promise.get_future().get();
  }
  // What is quoted now and what the files replay to are the same.
  void ExpectReplays(size_t records, size_t boots) {
    DiskLogFolder folder(dir_.path() / "eventlog");
    ASSERT_OK_AND_ASSIGN(const auto names, folder.List());
    Bytes log;
    for (const std::string& name : names) {
      ASSERT_OK_AND_ASSIGN(const Bytes file, folder.Read(name));
      log.insert(log.end(), file.begin(), file.end());
    }
    ASSERT_OK_AND_ASSIGN(const auto parsed, eventlog::ParseCel(log));
    EXPECT_THAT(parsed, SizeIs(records));
    const eventlog::HostLogReplay replay =
        eventlog::ReplayHostLog(parsed, kPcr, HashAlgorithm::kSha256);
    ASSERT_EQ(replay.problem.kind, eventlog::HostLogProblem::Kind::kNone)
        << replay.problem.found << ", not " << replay.problem.expected;
    EXPECT_THAT(replay.boots, SizeIs(boots));
    ASSERT_OK_AND_ASSIGN(const auto signatures, Seal());
    const auto& quote =
        std::get<evidence::TpmQuoteSignature>(signatures.front().body);
    EXPECT_EQ(quote.pcr_banks.front().values.at(kPcr), replay.pcrs.back());
    std::promise<absl::StatusOr<evidence::AnchorCertification>> promise;
    ASSERT_THAT(signer_->CertifyLog(
                    Bytes(32, 1), MonotonicTime::max(),
                    [&](auto made) { promise.set_value(std::move(made)); }),
                IsOk());
    ASSERT_OK_AND_ASSIGN(const auto certified, promise.get_future().get());
    ASSERT_OK_AND_ASSIGN(const auto attest,
                         evidence::ParseAttest(certified.certify_info));
    ByteWriter contents;
    contents.U64(records).Raw(replay.heads.back());
    EXPECT_EQ(attest.nv_contents, contents.bytes());
  }

  testing::TempDir dir_;
  testing::Swtpm swtpm_;
  SystemClock clock_;
  std::unique_ptr<tpm::EsysHostTpm> tpm_;
  Mutex mutex_;
  CondVar changed_;
  SignerState newest_ GUARDED_BY(mutex_);
  std::unique_ptr<LocalSigner> signer_;
};

TEST_F(SignerOnSwtpmTest, LogAndSeedsSurviveRestartsAndPowerCycles) {
  Start();
  Await(PqState::kUnsealed);
  EXPECT_THAT(Append(), IsOk());
  ExpectReplays(3, 1);
  Start();  // closes, and begins again in the same boot
  Await(PqState::kUnsealed);
  EXPECT_THAT(Append(), IsOk());
  ExpectReplays(6, 1);
  Stop();
  PowerCycle();
  Start();
  const SignerState state = Await(PqState::kUnsealed);
  EXPECT_EQ(state.log_problem, "");
  EXPECT_EQ(state.boot_record, 8U);
  EXPECT_THAT(Append(), IsOk());
  ExpectReplays(10, 2);
  EXPECT_THAT(Seal().value(), SizeIs(2));
}

TEST_F(SignerOnSwtpmTest, ResetWhileItRunsIsAnUncleanBoot) {
  Start();
  Await(PqState::kUnsealed);
  PowerCycle();
  EXPECT_THAT(Append(), IsOk());  // waits until the TPM is back
  EXPECT_EQ(signer_->state().log_problem, "");
  ExpectReplays(4, 2);
}

TEST_F(SignerOnSwtpmTest, S5_UnapprovedBootIsNamedAndApprovedByHand) {
  Start();
  Await(PqState::kUnsealed);
  Stop();
  PowerCycle();
  swtpm_.ExtendPcr(4, Bytes(32, 0x77));
  Start();
  const SignerState state = Await(PqState::kUnapprovedBoot);
  EXPECT_THAT(state.pq_detail, ::testing::HasSubstr("PCR 4"));
  EXPECT_THAT(Seal().value(), SizeIs(1));
  EXPECT_EQ(signer_->ApproveBoot({}, true, false).value(), PqState::kUnsealed);
  EXPECT_THAT(Seal().value(), SizeIs(2));
}

TEST_F(SignerOnSwtpmTest, RotatesAndRevokes) {
  Start();
  Await(PqState::kUnsealed);
  EXPECT_EQ(signer_->RotateKey(KeyPurpose::kConfig).value(), 2U);
  EXPECT_THAT(Seal().value(), SizeIs(2));
  EXPECT_THAT(signer_->RevokeKey(KeyPurpose::kConfig, 1), IsOk());
  EXPECT_THAT(signer_->state().identity->revocations, SizeIs(1));
  ExpectReplays(4, 1);
}

}  // namespace
}  // namespace vmattest::signing
