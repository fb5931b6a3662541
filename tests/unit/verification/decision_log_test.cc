#include "verification/decision_log.h"

#include <set>
#include <thread>

#include "fakes/fake_verifier_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"

namespace vmattest::verification {
namespace {

using testing::FakeVerifierStore;
using testing::IsOk;
using testing::StatusIs;

DecisionEntry Decision(bool trusted) {
  DecisionEntry decision;
  decision.vm_uuid = "a";
  decision.trusted = trusted;
  return decision;
}

TEST(DecisionLog, TellsOnlyOfWhatIsStored) {
  FakeVerifierStore store;
  std::vector<uint64_t> told;
  DecisionLog log(store, {}, [&](const DecisionEntry& decision) {
    EXPECT_GE(store.LastSequence().value(), decision.sequence);
    told.push_back(decision.sequence);
  });
  EXPECT_EQ(log.Append(Decision(true), {}).value(), 1u);
  store.FailWith(absl::ResourceExhaustedError("disk full"));
  EXPECT_THAT(log.Append(Decision(true), {}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  store.FailWith(absl::OkStatus());
  EXPECT_EQ(log.Append(Decision(false), {}).value(), 2u);
  EXPECT_THAT(told, ::testing::ElementsAre(1, 2));
  const DecisionLog::Counters counters = log.counters();
  EXPECT_EQ(counters.trusted, 1u);
  EXPECT_EQ(counters.refused, 1u);
  EXPECT_EQ(counters.failed, 1u);
}

TEST(DecisionLog, ManyAtOnceGetSequencesOfTheirOwn) {
  FakeVerifierStore store;
  DecisionLog log(store, {});
  std::vector<std::thread> threads;
  Mutex mutex;
  std::set<uint64_t> seen;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 100; ++n) {
        const uint64_t sequence = log.Append(Decision(true), Bytes(10)).value();
        const MutexLock lock(mutex);
        seen.insert(sequence);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(seen.size(), 800u);
  EXPECT_EQ(*seen.rbegin(), 800u);
}

TEST(DecisionLog, WakesWatchersUntilTheyLeave) {
  FakeVerifierStore store;
  DecisionLog log(store, {.max_watchers = 1});
  int woken = 0;
  auto watch = log.Subscribe([&] { ++woken; });
  ASSERT_THAT(watch, IsOk());
  EXPECT_THAT(log.Subscribe([] {}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  ASSERT_THAT(log.Append(Decision(true), {}), IsOk());
  log.Stored(2, Decision(false));
  EXPECT_EQ(woken, 2);
  watch->reset();
  ASSERT_THAT(log.Append(Decision(true), {}), IsOk());
  EXPECT_EQ(woken, 2);
  EXPECT_THAT(log.Subscribe([] {}), IsOk());
}

}  // namespace
}  // namespace vmattest::verification
