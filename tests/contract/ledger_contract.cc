// The ledger over every store: what Log and Sequencer promise holds whatever
// is below them.
#include <future>
#include <set>

#include "contract/ledger_contract.h"
#include "merkle/tree.h"
#include "support/sequencer_client.h"

namespace vmattest::testing {
namespace {

using ledger::Log;
using ledger::LogHead;
using ledger::LogState;
using ::testing::HasSubstr;
using Submitted = ledger::Sequencer::Submitted;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

Bytes Notice(const LedgerRig& rig, const std::string& host) {
  return rig.ByHost(host, [](v1::LedgerEntryBody& body) {
    body.mutable_notice()->set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
    body.mutable_notice()->set_text("something happened");
  });
}

// `count` entries of each host, in the order of each, not waiting for answers.
std::vector<Submitted> SubmitMany(LedgerRig& rig, SequencedLog& node,
                                  int count) {
  std::vector<std::promise<absl::StatusOr<Submitted>>> promises(
      static_cast<size_t>(3 * count));
  for (size_t i = 0; i < promises.size(); ++i) {
    const Bytes entry = Notice(rig, "h" + std::to_string(i % 3 + 1));
    rig.Accepted(*ledger::ParseEntry(entry));
    EXPECT_THAT(
        node.sequencer().Submit(entry,
                                [&promises, i](absl::StatusOr<Submitted> got) {
                                  promises[i].set_value(std::move(got));
                                }),
        IsOk());
  }
  std::vector<Submitted> all;
  for (auto& promise : promises) {
    const absl::StatusOr<Submitted> got = promise.get_future().get();
    EXPECT_THAT(got, IsOk());
    all.push_back(got.value_or(Submitted()));
  }
  return all;
}

TEST_P(LedgerContract, ProvesWhatItHasAndOpensToTheSameState) {
  Lead();
  const std::unique_ptr<Log> log = OpenLog();
  rig_.Populate(*log);
  ASSERT_EQ(rig_.Submit(*log, rig_.Result("h1", 1, false)), "");
  const LogHead head = log->head();
  for (uint64_t index = 0; index < head.size; ++index) {
    ASSERT_OK_AND_ASSIGN(const Log::Included included,
                         log->ReadIncluded(index, head.size));
    EXPECT_TRUE(merkle::VerifyInclusion(
        HashAlgorithm::kSha256, index, head.size,
        merkle::LeafHash(HashAlgorithm::kSha256, included.record_bytes),
        included.path, head.root));
  }
  const Bytes state = StateOf(*log);
  store_.reset();
  store_ = bed_->Open();
  ASSERT_NE(store_, nullptr);
  const std::unique_ptr<Log> again = OpenLog({head.size, head.root});
  EXPECT_EQ(again->head(), head);
  EXPECT_EQ(StateOf(*again), state);
}

TEST_P(LedgerContract, CommitsEverybodysEntriesInTheOrderOfEach) {
  constexpr int kEach = 20;
  Lead();
  const uint64_t before = [this] {
    const std::unique_ptr<Log> log = OpenLog();
    rig_.Populate(*log);
    return log->head().size;
  }();
  SequencedLog node(*store_, rig_, "node-1");
  std::set<uint64_t> indexes;
  for (const Submitted& one : SubmitMany(rig_, node, kEach)) {
    EXPECT_FALSE(one.refusal.has_value());
    EXPECT_TRUE(indexes.insert(one.index).second);
  }
  EXPECT_EQ(*indexes.begin(), before);
  EXPECT_EQ(*indexes.rbegin(), before + 3 * kEach - 1);
  EXPECT_EQ(node.log().head().size, before + 3 * kEach);
  EXPECT_EQ(StateOf(*OpenLog()), StateOf(node.log()));
}

TEST_P(LedgerContract, TheSameBytesAgainAreTheSameRecord) {
  Lead();
  rig_.Populate(*OpenLog());
  SequencedLog node(*store_, rig_, "node-1");
  const Bytes entry = Notice(rig_, "h1");
  ASSERT_OK_AND_ASSIGN(const Submitted first, node.Submit(entry));
  const LogHead head = node.log().head();
  ASSERT_OK_AND_ASSIGN(const Submitted second, node.Submit(entry));
  EXPECT_EQ(second.index, first.index);
  EXPECT_EQ(node.log().head(), head);
}

TEST_P(LedgerContract, AnEntryThatDependsOnAllBeforeItIsMadeInItsTurn) {
  Lead();
  rig_.Populate(*OpenLog());
  SequencedLog node(*store_, rig_, "node-1");
  std::promise<absl::StatusOr<Submitted>> answer;
  ASSERT_THAT(node.sequencer().SubmitMade(
                  [this](const Log& log) -> absl::StatusOr<Bytes> {
                    return rig_.ByAuthority([&](auto& body) {
                      body.mutable_state_root()->set_size(log.head().size);
                      body.mutable_state_root()->set_root(
                          std::string(AsText(StateOf(log))));
                    });
                  },
                  [&answer](absl::StatusOr<Submitted> got) {
                    answer.set_value(std::move(got));
                  }),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const Submitted made, answer.get_future().get());
  EXPECT_FALSE(made.refusal.has_value());
  EXPECT_EQ(made.index + 1, node.log().head().size);
}

TEST_P(LedgerContract, ATrimmedLogOpensToTheSameStateAndGoesOn) {
  Lead();
  const std::unique_ptr<Log> log = OpenLog();
  rig_.Populate(*log);
  ASSERT_EQ(rig_.Submit(*log, rig_.Result("h1", 1, false)), "");
  Trim(*log, [](LogState::Item&) {});
  const LogHead head = log->head();
  log->Witnessed(head.size);
  const std::unique_ptr<Log> again = OpenLog({head.size, head.root});
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->head(), head);
  EXPECT_EQ(StateOf(*again), StateOf(*log));
  again->Witnessed(head.size);
  const auto score = [this](const Log& of) {
    return of
        .With([&](const LogState& state) {
          return state.fold().Read(LedgerVm(1), rig_.time_ms + 1'000);
        })
        ->milli;
  };
  EXPECT_EQ(score(*again), score(*log));
  // Old trees stay provable, retries known, chains whole.
  const Log::Trusted old{3, log->RootAt(3).value()};
  EXPECT_NE(OpenLog(old), nullptr);
  EXPECT_EQ(rig_.Submit(*again, rig_.Result("h1", 1, true)), "");
  EXPECT_EQ(rig_.Submit(*again, rig_.Authorise("h2")), "");
  EXPECT_THAT(again->Read(0), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(Log::Open(*store_, rig_.Policy(), {3, Bytes(32, 1)}),
              StatusIs(kDataLoss, HasSubstr("signed for")));
}

TEST_P(LedgerContract, AStateThatTheRecordDoesNotConfirmIsRefused) {
  Lead();
  const std::unique_ptr<Log> log = OpenLog();
  rig_.Populate(*log);
  ASSERT_EQ(rig_.Submit(*log, rig_.Result("h1", 1, false)), "");
  Trim(*log, [](LogState::Item& item) {
    if (item.first.starts_with("vm/")) {
      item.second[item.second.size() - 20] ^= 1;  // one failure less
    }
  });
  EXPECT_THAT(Log::Open(*store_, rig_.Policy(), {}),
              StatusIs(kDataLoss, HasSubstr("state-root")));
}

TEST_P(LedgerNodesContract, AFollowerSaysWhoLeadsAndTakesOverWhenHeResigns) {
  Lead();
  rig_.Populate(*OpenLog());
  auto first = std::make_unique<SequencedLog>(*store_, rig_, "node-1");
  const std::unique_ptr<ledger::LogStore> other = bed_->Open();
  SequencedLog second(*other, rig_, "node-2");
  const Bytes entry = Notice(rig_, "h1");
  ASSERT_OK_AND_ASSIGN(const Submitted one, first->Submit(entry));
  rig_.Accepted(*ledger::ParseEntry(entry));
  // To a node that has not read it this is out of sequence: it must not say so.
  const Bytes next = Notice(rig_, "h1");
  EXPECT_THAT(second.Submit(next), StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(second.sequencer().leadership().leader, "node-1");
  first.reset();
  ASSERT_OK_AND_ASSIGN(const Submitted two, second.Submit(next));
  EXPECT_FALSE(two.refusal.has_value());
  EXPECT_EQ(two.index, one.index + 1);
}

}  // namespace
}  // namespace vmattest::testing
