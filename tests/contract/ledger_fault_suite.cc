// The claims; ledger_fault_suite.h says how a program runs them.
#include "contract/ledger_fault_suite.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

#include "fmt/format.h"

namespace vmattest::testing {

using ledger::EmptyHead;
using ledger::HashTile;
using ledger::Log;
using ledger::LogBatch;
using ledger::LogHead;
using ledger::LogStore;
using ::testing::AnyOf;
using ::testing::HasSubstr;

namespace {

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr size_t kBefore = 250;  // records; the next fill a tile

// Records, tiles and head belong together.
void ExpectWhole(LogStore& store) {
  ASSERT_OK_AND_ASSIGN(const LogHead head, store.Head());
  ASSERT_OK_AND_ASSIGN(tlog::TreeEdge tree, TreeOf(store));
  EXPECT_EQ(tree.size(), head.size);
  EXPECT_EQ(tree.Root(), head.root);
  for (const auto& tile : tree.TakeChanged()) {
    ASSERT_OK_AND_ASSIGN(const HashTile stored,
                         store.Tile(tile.level, tile.index));
    EXPECT_EQ(stored.hashes, tile.hashes);
  }
}

absl::Status Grow(LogStore& store, size_t records, size_t record_size) {
  ASSIGN_OR_RETURN(const LogHead head, store.Head());
  ASSIGN_OR_RETURN(tlog::TreeEdge tree, TreeOf(store));
  (void)tree.TakeChanged();
  return store.Append(NextBatch(head, tree, records, record_size));
}

}  // namespace

LedgerFaultBed::Death LedgerFaultBed::Await(pid_t child, int told) {
  Death death;
  for (char c = 0; read(told, &c, 1) == 1;) {
    ++death.acknowledged;
  }
  close(told);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  death.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  death.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return death;
}

std::unique_ptr<LogStore> LedgerFaults::Open() {
  auto store = bed_->Open();
  EXPECT_THAT(store, IsOk());
  return store.ok() ? *std::move(store) : nullptr;
}

std::unique_ptr<LogStore> LedgerFaults::Lead() {
  std::unique_ptr<LogStore> store = Open();
  const auto lead = store == nullptr
                        ? absl::StatusOr<ledger::Leadership>(
                              absl::NotFoundError("there is no store"))
                        : store->Lead("here");
  EXPECT_THAT(lead, IsOk());
  return lead.ok() && lead->mine ? std::move(store) : nullptr;
}

Bytes LedgerFaults::Notice(const std::string& host) const {
  return rig_.ByHost(host, [](v1::LedgerEntryBody& body) {
    body.mutable_notice()->set_kind(v1::LedgerNotice::KIND_HOST_EVENT);
    body.mutable_notice()->set_text("something happened");
  });
}

LogHead LedgerFaults::Populate() {
  const std::unique_ptr<LogStore> store = Lead();
  if (store == nullptr) {
    ADD_FAILURE() << "does not lead";
    return EmptyHead();
  }
  const std::unique_ptr<Log> log = Log::Open(*store, rig_.Policy(), {}).value();
  rig_.Populate(*log);
  EXPECT_EQ(rig_.Submit(*log, Notice("h2")), "");
  return log->head();
}

absl::Status LedgerFaults::OpenLog(const LogHead& signed_for) {
  const std::unique_ptr<LogStore> store = Open();
  return store == nullptr ? absl::NotFoundError("there is no store")
                          : Log::Open(*store, rig_.Policy(),
                                      {signed_for.size, signed_for.root})
                                .status();
}

void LedgerFaults::KillEverywhere(const LedgerFaultBed::Kills& kills, Cut cut) {
  const AppendWork& work = kills.work;
  long met = 0;
  for (long write = 1;; write += kills.step, ++met) {
    SCOPED_TRACE(::testing::Message() << "write " << write);
    bed_->Begin([this] {
      const std::unique_ptr<LogStore> store = Lead();
      ASSERT_NE(store, nullptr);
      ASSERT_THAT(Grow(*store, kBefore, 100), IsOk());
    });
    const LedgerFaultBed::Death death = bed_->Append(work, write, cut);
    ASSERT_TRUE(death.killed || death.exit_code == 0) << death.exit_code;
    // Nothing that was acknowledged is lost, nothing is half there.
    const std::unique_ptr<LogStore> store = Open();
    ASSERT_NE(store, nullptr);
    ASSERT_OK_AND_ASSIGN(const LogHead head, store->Head());
    EXPECT_GE(head.size, kBefore + death.acknowledged * work.records);
    EXPECT_LE(head.size, kBefore + work.batches * work.records);
    EXPECT_EQ((head.size - kBefore) % work.records, 0u);
    ExpectWhole(*store);
    // And it goes on.
    ASSERT_OK_AND_ASSIGN(const ledger::Leadership lead, store->Lead("next"));
    ASSERT_TRUE(lead.mine);
    ASSERT_THAT(Grow(*store, 3, 100), IsOk());
    ExpectWhole(*store);
    EXPECT_EQ(store->Head()->size, head.size + 3);
    ASSERT_FALSE(::testing::Test::HasFailure());
    if (!death.killed) {
      break;  // it came to its end before
    }
  }
  EXPECT_GE(met, kills.least);
}

TEST_P(LedgerFaults, AWriterKilledBeforeAnyOfItsWritesLosesNothing) {
  for (const LedgerFaultBed::Kills& kills : bed_->kills()) {
    KillEverywhere(kills, Cut::kBefore);
  }
}

TEST_P(LedgerFaults, AWriterKilledAmidAnyOfItsWritesLeavesNothingHalf) {
  for (const LedgerFaultBed::Kills& kills : bed_->kills()) {
    KillEverywhere(kills, Cut::kHalf);
  }
}

TEST_P(LedgerFaults, AWriterKilledAfterAnyOfItsWritesLosesNothing) {
  for (const LedgerFaultBed::Kills& kills : bed_->kills()) {
    KillEverywhere(kills, Cut::kAfter);
  }
}

TEST_P(LedgerFaults, AnotherProcessWritesNothingWhileOneLeads) {
  std::unique_ptr<LogStore> store = Lead();
  ASSERT_NE(store, nullptr);
  ASSERT_THAT(Grow(*store, 5, 100), IsOk());
  ASSERT_OK_AND_ASSIGN(const LogHead head, store->Head());
  const LedgerFaultBed::Death other = bed_->Append({}, 0, Cut::kBefore);
  EXPECT_FALSE(other.killed);
  EXPECT_EQ(other.exit_code, kNotTheWriter);
  EXPECT_EQ(other.acknowledged, 0u);
  EXPECT_EQ(store->Head().value(), head);
  EXPECT_THAT(Grow(*store, 5, 100), IsOk());
  // Its turn comes.
  EXPECT_THAT(store->Resign(), IsOk());
  store.reset();
  EXPECT_EQ(bed_->Append({}, 0, Cut::kBefore).acknowledged, 1u);
}

TEST_P(LedgerFaults, AStoreRolledBackToACopyIsSaidToBe) {
  Populate();
  bed_->Save();
  LogHead signed_for;
  {
    const std::unique_ptr<LogStore> store = Lead();
    ASSERT_NE(store, nullptr);
    const auto log = Log::Open(*store, rig_.Policy(), {}).value();
    ASSERT_EQ(rig_.Submit(*log, Notice("h2")), "");
    signed_for = log->head();
  }
  ASSERT_THAT(OpenLog(signed_for), IsOk());
  bed_->RollBack();
  EXPECT_THAT(OpenLog(signed_for),
              StatusIs(kDataLoss, HasSubstr("it was rolled back")));
  // Grown past it again, size alone does not tell.
  {
    const std::unique_ptr<LogStore> store = Lead();
    ASSERT_NE(store, nullptr);
    const auto log = Log::Open(*store, rig_.Policy(), {}).value();
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(rig_.Submit(*log, Notice("h3")), "");
    }
    ASSERT_GT(log->head().size, signed_for.size);
  }
  EXPECT_THAT(OpenLog(signed_for),
              StatusIs(kDataLoss, HasSubstr("not those that were signed for")));
}

TEST_P(LedgerFaults, ARecordThatWasChangedIsNamed) {
  const LogHead head = Populate();
  const uint64_t last = head.size - 1;
  // Of the signature by the host.
  bed_->ChangeRecord(last, [](Bytes& record) { record.back() ^= 1; });
  EXPECT_THAT(OpenLog(EmptyHead()),
              StatusIs(kDataLoss, HasSubstr(fmt::format("record {}", last))));
  // Below a checkpoint of the node's own, where signatures are not checked.
  EXPECT_THAT(OpenLog(head), StatusIs(kDataLoss));
}

TEST_P(LedgerFaults, ATileThatWasChangedOrCutIsNamed) {
  const LogHead head = Populate();
  const auto flip = [](Bytes& hashes) { hashes[4 * 32 + 7] ^= 1; };
  bed_->ChangeTile(0, 0, flip);
  EXPECT_THAT(OpenLog(head),
              StatusIs(kDataLoss, HasSubstr("hash 4 of tile 0/0")));
  bed_->ChangeTile(0, 0, flip);
  EXPECT_THAT(OpenLog(head), IsOk());
  bed_->ChangeTile(0, 0, [](Bytes& hashes) { hashes.resize(3 * 32); });
  EXPECT_THAT(OpenLog(head), StatusIs(kDataLoss, HasSubstr("tile 0/0")));
}

TEST_P(LedgerFaults, AFullDiskIsSaidNothingIsHalfWrittenAndItGoesOn) {
  const bool could = bed_->WithLittleRoom(
      [](LogStore& store, const std::function<void()>& make_room) {
        ASSERT_OK_AND_ASSIGN(const ledger::Leadership lead, store.Lead("here"));
        ASSERT_TRUE(lead.mine);
        LogHead head = EmptyHead();
        tlog::TreeEdge tree;
        absl::Status last;
        while (last.ok()) {
          tlog::TreeEdge next = tree;
          const LogBatch batch = NextBatch(head, next, 8, 8'000);
          last = store.Append(batch);
          if (last.ok()) {
            head = batch.after;
            tree = std::move(next);
          }
        }
        EXPECT_THAT(last,
                    StatusIs(absl::StatusCode::kResourceExhausted,
                             AnyOf(HasSubstr("full"), HasSubstr("space"))));
        EXPECT_GT(head.size, 0u);
        // Refused, and nothing of it is there; what was there is.
        EXPECT_EQ(store.Head().value(), head);
        ExpectWhole(store);
        make_room();
        EXPECT_TRUE(store.Lead("here")->mine);
        EXPECT_THAT(store.Append(NextBatch(head, tree, 8, 8'000)), IsOk());
        ExpectWhole(store);
      });
  if (!could) {
    GTEST_SKIP() << "no room of its own to be had here";
  }
}

}  // namespace vmattest::testing
