#include "daemon/ledger_mark.h"

#include "eventlog/cel.h"
#include "eventlog/host_log.h"
#include "fakes/fake_log_store.h"
#include "gmock/gmock.h"
#include "support/ledger_rig.h"

namespace vmattest::daemon {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::FakeLogStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::StatusIs;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

class LedgerMarkTest : public ::testing::Test {
 protected:
  LedgerMarkTest() {
    EXPECT_TRUE(store_.Lead("here")->mine);
    log_ = *ledger::Log::Open(store_, rig_.Policy(), {});
    rig_.Populate(*log_);
  }
  void Log(const std::string& origin, const std::string& size,
           const std::string& root) {
    const Bytes record = eventlog::EncodeCel(eventlog::MakeHostRecord(
        ++number_, 13, HashAlgorithm::kSha256,
        {.kind = "ledger-head",
         .facts = {{"origin", origin}, {"size", size}, {"root", root}},
         .time_unix_ms = 1}));
    records_.insert(records_.end(), record.begin(), record.end());
  }

  LedgerRig rig_;
  FakeLogStore store_;
  std::unique_ptr<ledger::Log> log_;
  uint64_t number_ = 0;
  Bytes records_;
};

TEST_F(LedgerMarkTest, TheNewestOfTheLedgerCounts) {
  EXPECT_FALSE(NewestMark(records_, "o").has_value());
  const std::string root(64, 'a');
  Log("o", "3", root);
  Log("o", "7", root);
  Log("another", "9", root);
  Log("o", "x", root);
  Log("o", "8", "aa");
  ASSERT_TRUE(NewestMark(records_, "o").has_value());
  EXPECT_EQ(NewestMark(records_, "o")->size, 7u);
  EXPECT_EQ(NewestMark(records_, "o")->root, Bytes(32, 0xaa));
  // What follows damage is not read.
  records_.resize(records_.size() / 5);
  EXPECT_FALSE(NewestMark(records_, "another").has_value());
}

TEST_F(LedgerMarkTest, ALedgerMayHaveGrownAndNothingElse) {
  const ledger::LogHead then = log_->head();
  const LedgerMark mark{.size = then.size, .root = then.root};
  EXPECT_THAT(CheckMark(*log_, mark), IsOk());
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
  EXPECT_THAT(CheckMark(*log_, mark), IsOk());
  EXPECT_THAT(CheckMark(*log_, {.size = then.size + 2, .root = then.root}),
              StatusIs(kDataLoss, HasSubstr("rolled back")));
  // A restored one that grew again.
  EXPECT_THAT(CheckMark(*log_, {.size = then.size, .root = Bytes(32, 1)}),
              StatusIs(kDataLoss, HasSubstr("grew again")));
}

}  // namespace
}  // namespace vmattest::daemon
