#include "ledger/timed_witness.h"

#include "fakes/fake_log_store.h"
#include "fakes/fake_witness_store.h"
#include "fakes/manual_clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"
#include "support/witness_request.h"

namespace vmattest::ledger {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::FakeLogStore;
using vmattest::testing::FakeWitnessStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::ManualClock;
using vmattest::testing::NoteOf;
using vmattest::testing::WitnessRequestFor;

constexpr int64_t kSkewMs = 60'000;

class TimedWitnessTest : public ::testing::Test {
 protected:
  TimedWitnessTest() {
    EXPECT_TRUE(logs_.Lead("here")->mine);
    log_ = *Log::Open(logs_, rig_.Policy(), {});
    rig_.Populate(*log_);
    std::vector<std::unique_ptr<tlog::NoteSigner>> signers;
    signers.push_back(*tlog::Ed25519NoteSigner(
        "w.example", tlog::NoteKeyType::kEd25519Cosignature,
        *Ed25519PrivateKey::FromSeed(SecretBytes(Bytes(32, 7)))));
    // A witness of the policy is no log of it.
    policy_ = *tlog::WitnessPolicy::Parse(
        fmt::format("log {}\nwitness w {}\nquorum w\n", signer_->vkey(),
                    signers.back()->vkey()));
    witness_ = std::make_unique<TimedWitness>(policy_, std::move(signers),
                                              memory_, clock_, kSkewMs);
  }
  WitnessRequest Request(uint64_t old_size = 0) {
    return WitnessRequestFor(*log_, *signer_, old_size);
  }
  int Add(const WitnessRequest& request) {
    const auto reply = witness_->Add(request);
    EXPECT_THAT(reply, IsOk());
    body_ = reply->body;
    return reply->status;
  }
  [[nodiscard]] uint64_t Held() {
    return memory_.Find(LedgerRig::kOrigin)->size;
  }

  LedgerRig rig_;
  ManualClock clock_{LedgerRig::kStart};
  FakeLogStore logs_;
  FakeWitnessStore memory_;
  std::unique_ptr<Log> log_;
  const std::shared_ptr<tlog::NoteSigner> signer_ = *tlog::EcdsaNoteSigner(
      LedgerRig::kOrigin,
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  tlog::WitnessPolicy policy_ = *tlog::WitnessPolicy::Parse("quorum none\n");
  std::unique_ptr<TimedWitness> witness_;
  std::string body_;
};

TEST_F(TimedWitnessTest, CosignsWhatContinuesWhatItCosigned) {
  const uint64_t first = log_->head().size;
  const WitnessRequest request = Request();
  ASSERT_EQ(Add(request), 200) << body_;
  const std::string note = NoteOf(request);
  // The policy's quorum is this witness.
  EXPECT_THAT(tlog::OpenCheckpoint(note + body_, policy_), IsOk());
  EXPECT_FALSE(tlog::OpenCheckpoint(note, policy_).ok());
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
  EXPECT_EQ(Add(Request()), 409);
  EXPECT_EQ(body_, fmt::format("{}\n", first));
  EXPECT_EQ(Add(Request(first)), 200) << body_;
  EXPECT_EQ(Held(), first + 1);
}

TEST_F(TimedWitnessTest, S30_CosignsNoLedgerTimeOfTheFuture) {
  clock_.Advance(std::chrono::milliseconds(-kSkewMs - 1));
  EXPECT_EQ(Add(Request()), 422);
  EXPECT_THAT(body_, HasSubstr("future"));
  EXPECT_EQ(Held(), 0u);
  clock_.Advance(std::chrono::milliseconds(1));
  EXPECT_EQ(Add(Request()), 200) << body_;
}

// Or the record that says what time it is could be any.
TEST_F(TimedWitnessTest, S30_CosignsOnlyWithTheCheckpointsNewestRecord) {
  WitnessRequest changed = Request();
  changed.newest_record.back() ^= 1;
  WitnessRequest older = Request();
  const uint64_t size = log_->head().size;
  const auto before = *log_->ReadIncluded(size - 2, size);
  older.newest_record = before.record_bytes;
  older.inclusion_path = before.path;
  WitnessRequest no_path = Request();
  no_path.inclusion_path.clear();
  WitnessRequest none = Request();
  none.newest_record.clear();
  for (const WitnessRequest& request : {changed, older, no_path, none}) {
    EXPECT_EQ(Add(request), 422);
    EXPECT_THAT(body_, HasSubstr("newest record"));
  }
  EXPECT_EQ(Held(), 0u);
}

TEST_F(TimedWitnessTest, SaysOfEachOtherRequestWhatIsWrongWithIt) {
  const auto stranger = *tlog::EcdsaNoteSigner(
      "other.example",
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  EXPECT_EQ(Add(WitnessRequestFor(*log_, *stranger)), 404);
  const auto forger = *tlog::EcdsaNoteSigner(
      LedgerRig::kOrigin,
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
  EXPECT_EQ(Add(WitnessRequestFor(*log_, *forger)), 403);
  WitnessRequest malformed = Request();
  malformed.body = "old 0\n";
  EXPECT_EQ(Add(malformed), 400);
  malformed.body = "old 0\n\nno note\n";
  EXPECT_EQ(Add(malformed), 400);
  EXPECT_EQ(Held(), 0u);
}

}  // namespace
}  // namespace vmattest::ledger
