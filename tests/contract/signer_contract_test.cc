#include <functional>
#include <future>
#include <memory>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "crypto/ml_dsa.h"
#include "enrollment/credential.h"
#include "evidence/tpm_structures.h"
#include "fakes/fake_host_tpm.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "merkle/tree.h"
#include "signing/local_signer.h"
#include "support/matchers.h"
#include "support/signer_loop.h"
#include "support/temp_dir.h"
#include "wire/codec.h"

// What every signing::Signer does. A subject has a FakeHostTpm below it and the
// host's own seal authority.

namespace vmattest::testing {
namespace {

using signing::PqState;
using signing::Signer;
using signing::SignerState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// The newest state that a signer told, to wait for.
class StateBoard {
 public:
  void Set(const SignerState& state) {
    const MutexLock lock(mutex_);
    state_ = state;
    changed_.NotifyAll();
  }
  SignerState Await(const std::function<bool(const SignerState&)>& wanted) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(30);
    const MutexLock lock(mutex_);
    while (!wanted(state_)) {
      if (!changed_.WaitUntil(mutex_, end)) {
        ADD_FAILURE() << "that state never came; tpm " << state_.tpm << ", pq "
                      << ToString(state_.pq) << " " << state_.pq_detail;
        break;
      }
    }
    return state_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  SignerState state_ GUARDED_BY(mutex_);
};

struct Host {
  FakeHostTpm tpm;
  TempDir state_dir;
  SystemClock clock;
};

// Starts a signer on that host; ends with the pointer.
using SignerFactory = std::unique_ptr<Signer> (*)(Host& host,
                                                  StateBoard& board);

bool Serves(const SignerState& state) {
  return state.tpm.ok() && state.log && state.pq == PqState::kUnsealed;
}

class SignerContract : public ::testing::TestWithParam<SignerFactory> {
 protected:
  void Start() {
    signer_.reset();
    board_.Set(SignerState());
    signer_ = GetParam()(host_, board_);
  }
  SignerState StartServing() {
    Start();
    return board_.Await(Serves);
  }
  static MonotonicTime Soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(30);
  }

  evidence::ConfigStatement Statement() {
    const SignerState state = signer_->state();
    evidence::ConfigStatement statement;
    statement.header.module_version = "0.1.0";
    statement.header.host_id = state.identity->host_id;
    statement.header.vm_uuid = "5d0f9a4e-4f3c-4d63-8f0e-4b0c2f4f1a11";
    statement.header.vm_name = "web";
    statement.header.signature_algorithms = state.algorithms;
    statement.header.host = {.log_size = state.log->size,
                             .log_head = state.log->head,
                             .unmanaged_vms = 0};
    statement.leaf_count = 1;
    statement.root = Bytes(32, 1);
    return statement;
  }
  using Signatures = absl::StatusOr<std::vector<evidence::Signature>>;
  Signatures Seal(std::string_view type, const Bytes& payload) {
    std::promise<Signatures> promise;
    RETURN_IF_ERROR(signer_->Seal(std::string(type), payload, Soon(),
                                  [&](Signatures signatures) {
                                    promise.set_value(std::move(signatures));
                                  }));
    return promise.get_future().get();
  }
  Signatures Seal(const evidence::ConfigStatement& statement) {
    return Seal(evidence::kConfigPayloadType,
                wire::EncodeConfigStatement(statement));
  }
  absl::StatusOr<eventlog::LogHead> Append(const std::string& kind) {
    std::promise<absl::StatusOr<eventlog::LogHead>> promise;
    RETURN_IF_ERROR(
        signer_->Append({.kind = kind, .facts = {}, .time_unix_ms = 1}, Soon(),
                        [&](absl::StatusOr<eventlog::LogHead> head) {
                          promise.set_value(std::move(head));
                        }));
    return promise.get_future().get();
  }
  uint64_t LogSize() { return signer_->state().log->size; }

  // By the quote's key, over this payload at its place in the batch; returns
  // the epoch.
  uint32_t ExpectQuote(const evidence::Signature& signature,
                       const Bytes& encoding) {
    const auto& quote = std::get<evidence::TpmQuoteSignature>(signature.body);
    const DigestBytes leaf =
        evidence::BatchLeaf(Hash(HashAlgorithm::kSha256, encoding));
    const auto root =
        merkle::RootFromInclusion(HashAlgorithm::kSha256, quote.batch.index,
                                  quote.batch.size, leaf, quote.batch.path);
    const auto attest = evidence::ParseAttest(quote.quoted);
    const auto parsed = evidence::ParseEcdsaSignature(quote.signature);
    EXPECT_TRUE(root.ok() && attest.ok() && parsed.ok());
    EXPECT_EQ(
        attest->extra_data,
        evidence::QualifyingData(KeyPurpose::kConfig, *root, quote.batch.size));
    const SignerState state = signer_->state();
    for (const auto& key : state.identity->keys) {
      if (evidence::NameOf(key.public_area).value() == quote.key_name) {
        EXPECT_EQ(key.purpose, KeyPurpose::kConfig);
        EXPECT_TRUE(VerifyEcdsa(evidence::ParseEccPublic(key.public_area)->key,
                                Hash(HashAlgorithm::kSha256, quote.quoted),
                                parsed->r, parsed->s));
        return key.epoch;
      }
    }
    ADD_FAILURE() << "the key is not in the identity";
    return 0;
  }
  uint32_t ExpectMlDsa(const evidence::Signature& signature,
                       const Bytes& encoding) {
    const auto& raw = std::get<evidence::RawSignature>(signature.body);
    const SignerState state = signer_->state();
    for (const auto& key : state.identity->pq_keys) {
      if (MlDsaKeyId(key.public_key) == raw.key_id) {
        EXPECT_EQ(key.purpose, KeyPurpose::kConfig);
        const auto parsed =
            MlDsaPublicKey::Parse(MlDsaLevel::k65, key.public_key);
        EXPECT_TRUE(
            parsed.ok() &&
            parsed->Verify(encoding, evidence::kMlDsaContext, raw.signature));
        return key.epoch;
      }
    }
    ADD_FAILURE() << "the key is not in the identity";
    return 0;
  }
  // Both signatures, of one epoch.
  uint32_t ExpectSealed(const evidence::ConfigStatement& statement) {
    const Signatures signatures = Seal(statement);
    EXPECT_THAT(signatures, IsOk());
    if (!signatures.ok() || signatures->size() != 2) {
      ADD_FAILURE() << "not two signatures";
      return 0;
    }
    const Bytes encoding = evidence::PreAuthEncoding(
        evidence::kConfigPayloadType, wire::EncodeConfigStatement(statement));
    EXPECT_EQ(signatures->at(0).algorithm, "tpm2-quote");
    EXPECT_EQ(signatures->at(1).algorithm, "ml-dsa-65");
    const uint32_t epoch = ExpectQuote(signatures->at(0), encoding);
    EXPECT_EQ(ExpectMlDsa(signatures->at(1), encoding), epoch);
    return epoch;
  }

  StateBoard board_;
  Host host_;
  std::unique_ptr<Signer> signer_;
};

TEST_P(SignerContract, SignsWithAllAlgorithmsOfItsState) {
  const SignerState state = StartServing();
  EXPECT_THAT(state.algorithms, ElementsAre("tpm2-quote", "ml-dsa-65"));
  EXPECT_EQ(state.log_problem, "");
  EXPECT_EQ(ExpectSealed(Statement()), 1U);
  EXPECT_EQ(signer_->stats().sealed, 1U);
}

TEST_P(SignerContract, S3_SeedsOfAllKeysAreSealedAndCertified) {
  const SignerState state = StartServing();
  EXPECT_EQ(state.identity->pq_keys.size(), state.identity->keys.size());
  ASSERT_OK_AND_ASSIGN(const Bytes authority,
                       evidence::NameOf(state.identity->seal_authority));
  for (const evidence::PqKey& key : state.identity->pq_keys) {
    EXPECT_THAT(
        evidence::CheckSealedSeed(key, state.identity->host_id, authority),
        IsOk());
  }
}

TEST_P(SignerContract, S25_SignsTypedStatementsOnly) {
  StartServing();
  EXPECT_THAT(Seal("text/plain", ToBytes("pay me")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Seal(evidence::kConfigPayloadType, ToBytes("pay me")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Seal(evidence::kHostLogPayloadType,
                   wire::EncodeConfigStatement(Statement())),
              StatusIs(absl::StatusCode::kInvalidArgument));
  Bytes trailing = wire::EncodeConfigStatement(Statement());
  trailing.push_back(0);
  EXPECT_THAT(Seal(evidence::kConfigPayloadType, trailing),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(SignerContract, S25_SignsNothingAboutAnotherHost) {
  StartServing();
  evidence::ConfigStatement statement = Statement();
  statement.header.host_id.back() =
      statement.header.host_id.back() == '0' ? '1' : '0';
  EXPECT_THAT(Seal(statement), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(SignerContract, SignsNoLogThatIsNot) {
  StartServing();
  evidence::ConfigStatement statement = Statement();
  statement.header.host->log_size += 1;
  EXPECT_THAT(Seal(statement), StatusIs(absl::StatusCode::kInvalidArgument));
  statement = Statement();
  statement.header.host->log_head[0] ^= 1;
  EXPECT_THAT(Seal(statement), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(SignerContract, OtherAlgorithmsThanThoseThatSignAreAborted) {
  StartServing();
  evidence::ConfigStatement statement = Statement();
  statement.header.signature_algorithms = {"tpm2-quote"};
  EXPECT_THAT(Seal(statement), StatusIs(absl::StatusCode::kAborted));
}

TEST_P(SignerContract, AnEventIsInTheTpmWhenItIsAnswered) {
  StartServing();
  const uint64_t before = LogSize();
  ASSERT_OK_AND_ASSIGN(const eventlog::LogHead head, Append("vm-started"));
  EXPECT_EQ(head.size, before + 1);
  ASSERT_OK_AND_ASSIGN(const auto registers, host_.tpm.ReadLogRegisters());
  EXPECT_EQ(registers.size, head.size);
  EXPECT_EQ(registers.head, head.head);
  board_.Await([&](const SignerState& s) { return s.log == head; });
}

TEST_P(SignerContract, RefusesAnEventThatIsNone) {
  StartServing();
  EXPECT_THAT(Append("Not A Kind"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(SignerContract, CertifiesTheAnchorForANonce) {
  StartServing();
  const Bytes nonce(32, 7);
  std::promise<absl::StatusOr<evidence::AnchorCertification>> promise;
  ASSERT_THAT(signer_->CertifyLog(nonce, Soon(),
                                  [&](auto certification) {
                                    promise.set_value(std::move(certification));
                                  }),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const auto certification, promise.get_future().get());
  ASSERT_OK_AND_ASSIGN(const auto attest,
                       evidence::ParseAttest(certification.certify_info));
  EXPECT_EQ(attest.extra_data, evidence::LogAnchorQualifyingData(nonce));
  ByteWriter contents;
  contents.U64(LogSize()).Raw(signer_->state().log->head);
  EXPECT_EQ(attest.nv_contents, contents.bytes());
}

TEST_P(SignerContract, RotatedKeysSignInPairsAndTheOldOnesStayKnown) {
  StartServing();
  EXPECT_EQ(ExpectSealed(Statement()), 1U);
  const uint64_t before = LogSize();
  ASSERT_OK_AND_ASSIGN(const uint32_t epoch,
                       signer_->RotateKey(KeyPurpose::kConfig));
  EXPECT_EQ(epoch, 2U);
  board_.Await(
      [&](const SignerState& s) { return s.log && s.log->size == before + 1; });
  EXPECT_EQ(ExpectSealed(Statement()), 2U);
  ASSERT_OK_AND_ASSIGN(const auto keys, signer_->ListKeys());
  EXPECT_THAT(keys, SizeIs(7));
  EXPECT_EQ(keys[0].key.state, tpm::KeyEpoch::State::kOverlap);
  EXPECT_EQ(keys[1].key.state, tpm::KeyEpoch::State::kActive);
  EXPECT_EQ(keys[1].pq_algorithm, "ml-dsa-65");
  EXPECT_NE(keys[0].pq_key_id, keys[1].pq_key_id);
}

TEST_P(SignerContract, RevokingTheActiveKeyBeginsAnEpoch) {
  StartServing();
  EXPECT_THAT(signer_->RevokeKey(KeyPurpose::kConfig, 1), IsOk());
  const SignerState state = board_.Await([](const SignerState& s) {
    return s.identity && !s.identity->revocations.empty() && Serves(s);
  });
  EXPECT_EQ(state.identity->revocations.front().epoch, 1U);
  EXPECT_EQ(ExpectSealed(Statement()), 2U);
  EXPECT_THAT(signer_->RevokeKey(KeyPurpose::kConfig, 9),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_P(SignerContract, KeysAreUnsealedAgainInAnApprovedBoot) {
  const Bytes key = StartServing().identity->pq_keys.front().public_key;
  signer_.reset();
  host_.tpm.Reset();
  EXPECT_EQ(StartServing().identity->pq_keys.front().public_key, key);
  EXPECT_EQ(ExpectSealed(Statement()), 1U);
}

TEST_P(SignerContract, S5_UnapprovedBootIsNamedAndApprovedByHand) {
  StartServing();
  signer_.reset();
  host_.tpm.Reset();
  host_.tpm.SetPcr(4, Bytes(32, 0xEE));
  Start();
  const SignerState state = board_.Await([](const SignerState& s) {
    return s.tpm.ok() && s.pq == PqState::kUnapprovedBoot;
  });
  EXPECT_THAT(state.pq_detail, HasSubstr("PCR 4 is eeee"));
  // The host is not dead: it signs by quote alone, and says so.
  EXPECT_THAT(state.algorithms, ElementsAre("tpm2-quote"));
  EXPECT_THAT(Seal(Statement()), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto status, signer_->GetSealStatus());
  EXPECT_EQ(status.state, PqState::kUnapprovedBoot);
  EXPECT_EQ(status.current.pcrs.values.at(4), Bytes(32, 0xEE));
  EXPECT_THAT(status.authority, Not(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(const PqState now,
                       signer_->ApproveBoot({}, true, false));
  EXPECT_EQ(now, PqState::kUnsealed);
  board_.Await(Serves);
  EXPECT_EQ(ExpectSealed(Statement()), 1U);
}

TEST_P(SignerContract, S5_RevokedApprovalsAreVoid) {
  StartServing();
  host_.tpm.SetPcr(4, Bytes(32, 0xEE));
  EXPECT_THAT(signer_->ApproveBoot({}, true, true), IsOk());
  signer_.reset();
  host_.tpm.Reset();  // the first boot's PCRs again
  Start();
  board_.Await([](const SignerState& s) {
    return s.tpm.ok() && s.pq == PqState::kUnapprovedBoot;
  });
}

TEST_P(SignerContract, RefusesForeignApprovals) {
  StartServing();
  evidence::SealApproval approval;
  approval.host_id = "00";
  EXPECT_THAT(signer_->ApproveBoot({approval}, false, false),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(SignerContract, ClearedTpmAsksForReEnrolmentAndGetsANewIdentity) {
  const std::string old_id = StartServing().identity->host_id;
  signer_.reset();
  host_.tpm.Clear();  // as firmware does: with a boot
  host_.tpm.Reset();
  Start();
  board_.Await(
      [](const SignerState& s) { return absl::IsFailedPrecondition(s.tpm); });
  EXPECT_THAT(signer_->ReEnroll("00"), Not(IsOk()));
  ASSERT_OK_AND_ASSIGN(const std::string new_id, signer_->ReEnroll(old_id));
  EXPECT_NE(new_id, old_id);
  const SignerState state = board_.Await(Serves);
  EXPECT_EQ(state.identity->host_id, new_id);
  EXPECT_EQ(state.log_problem, "");
  EXPECT_EQ(ExpectSealed(Statement()), 1U);
}

TEST_P(SignerContract, OpensACredentialForItsAkAlone) {
  Start();
  const SignerState state =
      board_.Await([](const SignerState& s) { return s.tpm.ok() && s.log; });
  ASSERT_OK_AND_ASSIGN(const Bytes ak,
                       evidence::NameOf(state.identity->ak_public));
  const auto open = [&](ByteView name) -> absl::StatusOr<Bytes> {
    ASSIGN_OR_RETURN(const enrollment::Credential credential,
                     enrollment::MakeCredential(state.identity->ek_public, name,
                                                SecretBytes(Bytes(32, 7))));
    ASSIGN_OR_RETURN(const SecretBytes secret,
                     signer_->ActivateCredential(credential.credential_blob,
                                                 credential.encrypted_secret));
    return ToBytes(secret.Reveal(SecretAccess()));
  };
  ASSERT_OK_AND_ASSIGN(const Bytes secret, open(ak));
  EXPECT_EQ(secret, Bytes(32, 7));
  EXPECT_THAT(open(SoftKey().name()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(signer_->ActivateCredential({}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(SignerContract, ReadsTheTpmsClock) {
  StartServing();
  std::promise<absl::StatusOr<TpmClock>> promise;
  ASSERT_THAT(
      signer_->ReadClock(Soon(), [&](auto clock) { promise.set_value(clock); }),
      IsOk());
  ASSERT_OK_AND_ASSIGN(const TpmClock clock, promise.get_future().get());
  EXPECT_EQ(clock.reset_count, 7U);
}

TEST_P(SignerContract, EventsWaitWhileTheTpmIsAwayAndKeepTheirOrder) {
  StartServing();
  host_.tpm.FailNextCalls(4, absl::UnavailableError("gone"));
  std::vector<std::promise<absl::StatusOr<eventlog::LogHead>>> promises(3);
  for (auto& promise : promises) {
    ASSERT_THAT(
        signer_->Append(
            {.kind = "vm-started", .facts = {}, .time_unix_ms = 1}, Soon(),
            [&promise](auto head) { promise.set_value(std::move(head)); }),
        IsOk());
  }
  uint64_t last = 0;
  for (auto& promise : promises) {
    ASSERT_OK_AND_ASSIGN(const eventlog::LogHead head,
                         promise.get_future().get());
    EXPECT_GE(head.size, last);
    last = head.size;
  }
}

std::unique_ptr<Signer> StartLocal(Host& host, StateBoard& board) {
  signing::LocalSigner::Options options;
  options.work.state_dir = host.state_dir.path();
  options.work.on_state = [&board](const SignerState& state) {
    board.Set(state);
  };
  return std::make_unique<signing::LocalSigner>(host.tpm, host.clock,
                                                std::move(options));
}

INSTANTIATE_TEST_SUITE_P(Local, SignerContract, ::testing::Values(&StartLocal));

// The loop before the signer, so that it outlives it.
struct LoopBefore {
  SignerLoop loop;
};
class LoopedSigner final : private LoopBefore, public signing::RemoteSigner {
 public:
  LoopedSigner(Host& host, StateBoard& board, signing::LocalSigner::Options far)
      : LoopBefore{{host.tpm, host.clock, std::move(far)}},
        signing::RemoteSigner(loop.Connector(),
                              {.on_state = [&board](const SignerState& state) {
                                board.Set(state);
                              }}) {}
};

std::unique_ptr<Signer> StartRemote(Host& host, StateBoard& board) {
  signing::LocalSigner::Options options;
  options.work.state_dir = host.state_dir.path();
  return std::make_unique<LoopedSigner>(host, board, std::move(options));
}

INSTANTIATE_TEST_SUITE_P(Remote, SignerContract,
                         ::testing::Values(&StartRemote));

}  // namespace
}  // namespace vmattest::testing
