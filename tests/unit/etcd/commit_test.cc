#include "etcd/commit.h"

#include "fakes/fake_key_values.h"
#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::testing {
namespace {

using etcd::Commit;
using etcd::GuardedTransaction;
using etcd::Put;
using ::testing::HasSubstr;
using Fate = FakeKeyValues::Fate;

constexpr auto kAborted = absl::StatusCode::kAborted;

class EtcdCommit : public ::testing::Test {
 protected:
  static MonotonicTime Soon() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(10);
  }
  GuardedTransaction Next(const std::string& mark) {
    const auto head = store_.Range({.key = "head"}, Soon()).value();
    return {.guard = "head",
            .guard_revision = head.kvs.empty() ? 0 : head.kvs[0].mod_revision,
            .marker = "mark",
            .writes = {Put{"head", "h" + mark}, Put{"mark", mark},
                       Put{"count/" + mark, "x"}}};
  }
  std::string Value(const std::string& key) {
    const auto found = store_.Range({.key = key}, Soon()).value();
    return found.kvs.empty() ? "" : found.kvs[0].value;
  }
  // Somebody else's commit of the same guard.
  void Overtake() {
    ASSERT_TRUE(store_.Transact({.writes = {Put{"head", "other"}}}, Soon())
                    .value()
                    .done);
  }

  FakeKeyValues store_;
};

TEST_F(EtcdCommit, WritesOnceAndTellsTheRevision) {
  const auto done = Commit(store_, Next("a"), Soon());
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(done->revision, 2);
  EXPECT_EQ(Value("head"), "ha");
}

TEST_F(EtcdCommit, IsAbortedWhenTheGuardMoved) {
  const GuardedTransaction late = Next("a");
  Overtake();
  EXPECT_THAT(Commit(store_, late, Soon()),
              StatusIs(kAborted, HasSubstr("head")));
  EXPECT_EQ(Value("head"), "other");
  EXPECT_EQ(Value("mark"), "");
}

TEST_F(EtcdCommit, IsDoneThoughNobodyHeardTheAnswer) {
  store_.NextTransactions({Fate::kUnheard});
  ASSERT_THAT(Commit(store_, Next("a"), Soon()), IsOk());
  EXPECT_EQ(store_.transactions(), 1u);  // not repeated
  EXPECT_EQ(Value("head"), "ha");
}

TEST_F(EtcdCommit, IsRepeatedOnceItIsKnownToBeLost) {
  store_.NextTransactions({Fate::kLost, Fate::kLost});
  ASSERT_THAT(Commit(store_, Next("a"), Soon()), IsOk());
  EXPECT_EQ(store_.transactions(), 3u);
  EXPECT_EQ(Value("head"), "ha");
}

TEST_F(EtcdCommit, IsDoneOnceWhenTheFirstTryArrivesLate) {
  store_.NextTransactions({Fate::kLate});
  const auto done = Commit(store_, Next("a"), Soon());
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(done->revision, 2);
  const auto count = store_.Range({.key = "count/a"}, Soon()).value().kvs.at(0);
  EXPECT_EQ(count.create_revision, count.mod_revision);
}

TEST_F(EtcdCommit, OverwrittenByOthersItIsStillKnownToBeDone) {
  store_.NextTransactions({Fate::kUnheard});
  const GuardedTransaction mine = Next("a");
  store_.BeforeNextRead([&] { Overtake(); });
  EXPECT_THAT(Commit(store_, mine, Soon()), IsOk());
  EXPECT_EQ(Value("head"), "other");
}

TEST_F(EtcdCommit, IsAbortedWhenItWasLostAndTheGuardMoved) {
  store_.NextTransactions({Fate::kLost});
  const GuardedTransaction mine = Next("a");
  int calls = 0;
  store_.BeforeTransactions([&] {
    if (++calls == 2) {
      Overtake();
    }
  });
  EXPECT_THAT(Commit(store_, mine, Soon()), StatusIs(kAborted));
  EXPECT_EQ(Value("head"), "other");
  EXPECT_EQ(Value("mark"), "");
}

TEST_F(EtcdCommit, SaysSoWhenNobodyKnows) {
  store_.NextTransactions({Fate::kLost});
  EXPECT_THAT(Commit(store_, Next("a"), std::chrono::steady_clock::now()),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("nobody knows whether")));
}

TEST_F(EtcdCommit, AFullDiskIsNotRetried) {
  store_.NextTransactions({Fate::kDiskFull});
  EXPECT_THAT(Commit(store_, Next("a"), Soon()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(store_.transactions(), 1u);
  // After a try that may have been done, "full" no longer means "not done".
  store_.NextTransactions({Fate::kLost, Fate::kDiskFull});
  EXPECT_THAT(Commit(store_, Next("a"), Soon()),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("nobody knows whether")));
}

TEST_F(EtcdCommit, TheWriteThatFillsTheDiskIsDone) {
  store_.NextTransactions({Fate::kFills});
  EXPECT_THAT(Commit(store_, Next("a"), Soon()), IsOk());
  EXPECT_EQ(Value("head"), "ha");
  store_.NextTransactions({Fate::kUnheard, Fate::kDiskFull});
  EXPECT_THAT(Commit(store_, Next("b"), Soon()), IsOk());
  EXPECT_EQ(Value("head"), "hb");
}

TEST_F(EtcdCommit, NeedsItsGuardAndMarkerAmongTheWrites) {
  GuardedTransaction no_marker = Next("a");
  no_marker.marker = "other";
  EXPECT_THAT(Commit(store_, no_marker, Soon()),
              StatusIs(absl::StatusCode::kInternal));
}

TEST(EtcdKeys, PrefixEndIsTheFirstKeyAfterThePrefix) {
  EXPECT_EQ(etcd::PrefixEnd("/a/"), "/a0");
  EXPECT_EQ(etcd::PrefixEnd("a\xff"), "b");
  EXPECT_EQ(etcd::PrefixEnd("\xff"), std::string(1, '\0'));
}

TEST(EtcdKeys, AreShownWithoutWhatATerminalWouldObey) {
  EXPECT_EQ(etcd::Printable("/a b\n\x1b"), "/a\\x20b\\x0a\\x1b");
  EXPECT_EQ(etcd::Printable(std::string(200, 'k')).size(), 103u);
}

}  // namespace
}  // namespace vmattest::testing
