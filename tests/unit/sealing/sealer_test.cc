#include "sealing/sealer.h"

#include <atomic>
#include <future>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "crypto/digest.h"
#include "evidence/tpm_structures.h"
#include "fakes/fake_host_tpm.h"
#include "fakes/forwarding_host_tpm.h"
#include "fakes/manual_clock.h"
#include "gtest/gtest.h"
#include "merkle/tree.h"
#include "support/matchers.h"

namespace vmattest::sealing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeHostTpm;
using testing::IsOk;
using testing::StatusIs;
using Sealed = absl::StatusOr<evidence::TpmQuoteSignature>;

// Holds every quote until the test lets it go.
class GatedTpm final : public testing::ForwardingHostTpm {
 public:
  GatedTpm() : ForwardingHostTpm(tpm_) {}
  absl::StatusOr<tpm::Quote> MakeQuote(KeyPurpose purpose,
                                       ByteView data) override {
    {
      const MutexLock lock(mutex_);
      ++begun_;
      purposes_.push_back(purpose);
      changed_.NotifyAll();
      while (!open_ && permits_ == 0) {
        changed_.Wait(mutex_);
      }
      permits_ -= permits_ > 0 ? 1 : 0;
    }
    return tpm_.MakeQuote(purpose, data);
  }
  absl::StatusOr<TpmClock> ReadClock() override {
    const MutexLock lock(mutex_);
    ++clock_reads_;
    return tpm_.ReadClock();
  }

  void LetOnePass() {
    const MutexLock lock(mutex_);
    ++permits_;
    changed_.NotifyAll();
  }
  void Open() {
    const MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  void AwaitBegun(int count) {
    const MutexLock lock(mutex_);
    while (begun_ < count) {
      changed_.Wait(mutex_);
    }
  }
  std::vector<KeyPurpose> purposes() {
    const MutexLock lock(mutex_);
    return purposes_;
  }
  int clock_reads() {
    const MutexLock lock(mutex_);
    return clock_reads_;
  }
  FakeHostTpm& inner() { return tpm_; }

 private:
  FakeHostTpm tpm_;
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = false;
  int permits_ GUARDED_BY(mutex_) = 0;
  int begun_ GUARDED_BY(mutex_) = 0;
  int clock_reads_ GUARDED_BY(mutex_) = 0;
  std::vector<KeyPurpose> purposes_ GUARDED_BY(mutex_);
};

Bytes DigestOf(int number) {
  return Hash(HashAlgorithm::kSha256, AsBytes(std::to_string(number)));
}

std::future<Sealed> SealOn(Sealer& sealer, int number,
                           KeyPurpose purpose = KeyPurpose::kConfig,
                           MonotonicTime deadline = MonotonicTime::max()) {
  auto promise = std::make_shared<std::promise<Sealed>>();
  std::future<Sealed> future = promise->get_future();
  const absl::Status accepted = sealer.Seal(
      purpose, DigestOf(number), deadline,
      [promise](Sealed sealed) { promise->set_value(std::move(sealed)); });
  EXPECT_THAT(accepted, IsOk());
  return future;
}

std::future<absl::StatusOr<TpmClock>> ReadClockOn(Sealer& sealer) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<TpmClock>>>();
  auto future = promise->get_future();
  EXPECT_THAT(sealer.ReadClock(MonotonicTime::max(),
                               [promise](absl::StatusOr<TpmClock> clock) {
                                 promise->set_value(std::move(clock));
                               }),
              IsOk());
  return future;
}

// That the quote covers this very digest, at its place in its batch.
void ExpectCovers(const evidence::TpmQuoteSignature& sealed, int number,
                  KeyPurpose purpose = KeyPurpose::kConfig) {
  ASSERT_OK_AND_ASSIGN(
      const DigestBytes root,
      merkle::RootFromInclusion(
          HashAlgorithm::kSha256, sealed.batch.index, sealed.batch.size,
          evidence::BatchLeaf(DigestOf(number)), sealed.batch.path));
  ASSERT_OK_AND_ASSIGN(const auto attest, evidence::ParseAttest(sealed.quoted));
  EXPECT_EQ(attest.extra_data,
            evidence::QualifyingData(purpose, root, sealed.batch.size));
}

// The states that a sealer tells, to wait for.
class States {
 public:
  Sealer::StateFn Recorder() {
    return [this](const absl::Status& state) {
      const MutexLock lock(mutex_);
      states_.push_back(state);
      changed_.NotifyAll();
    };
  }
  // The next state with this code, after those already awaited.
  void AwaitCode(absl::StatusCode code) {
    const MutexLock lock(mutex_);
    for (;; ++seen_) {
      while (seen_ == states_.size()) {
        changed_.Wait(mutex_);
      }
      if (states_[seen_].code() == code) {
        ++seen_;
        return;
      }
    }
  }
  std::vector<absl::StatusCode> codes() {
    const MutexLock lock(mutex_);
    std::vector<absl::StatusCode> codes;
    for (const absl::Status& state : states_) {
      codes.push_back(state.code());
    }
    return codes;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<absl::Status> states_ GUARDED_BY(mutex_);
  size_t seen_ GUARDED_BY(mutex_) = 0;
};

TEST(Sealer, LoneRequestIsItsOwnBatch) {
  FakeHostTpm tpm;
  const SystemClock clock;
  Sealer sealer(tpm, clock, 10, nullptr);
  const Sealed sealed = SealOn(sealer, 1).get();
  ASSERT_THAT(sealed, IsOk());
  EXPECT_EQ(sealed->batch.size, 1U);
  EXPECT_TRUE(sealed->batch.path.empty());
  ExpectCovers(*sealed, 1);
}

TEST(Sealer, WhatArrivesDuringAQuoteSharesTheNextOne) {
  GatedTpm tpm;
  const SystemClock clock;
  Sealer sealer(tpm, clock, 4096, nullptr);
  std::future<Sealed> first = SealOn(sealer, 0);
  tpm.AwaitBegun(1);
  std::vector<std::future<Sealed>> rest;
  for (int i = 1; i <= 1000; ++i) {
    rest.push_back(SealOn(sealer, i));
  }
  tpm.Open();
  ASSERT_THAT(first.get(), IsOk());
  std::set<uint64_t> places;
  for (int i = 1; i <= 1000; ++i) {
    const Sealed sealed = rest[static_cast<size_t>(i - 1)].get();
    ASSERT_THAT(sealed, IsOk());
    EXPECT_EQ(sealed->batch.size, 1000U);
    places.insert(sealed->batch.index);
    ExpectCovers(*sealed, i);
  }
  EXPECT_EQ(places.size(), 1000U);
  EXPECT_EQ(tpm.inner().quotes_made(), 2);
  EXPECT_EQ(sealer.stats().quotes, 2U);
  EXPECT_EQ(sealer.stats().sealed, 1001U);
  EXPECT_EQ(sealer.stats().pending, 0U);
}

TEST(Sealer, S2_PurposesNeverShareAQuoteAndTakeTurns) {
  GatedTpm tpm;
  const SystemClock clock;
  Sealer sealer(tpm, clock, 100, nullptr);
  std::vector<std::future<Sealed>> all;
  all.push_back(SealOn(sealer, 0));
  tpm.AwaitBegun(1);
  all.push_back(SealOn(sealer, 1, KeyPurpose::kConfig));
  all.push_back(SealOn(sealer, 2, KeyPurpose::kState));
  all.push_back(SealOn(sealer, 3, KeyPurpose::kState));
  tpm.LetOnePass();
  tpm.AwaitBegun(2);
  // Again `config`, before `state` had its turn: it still comes after.
  all.push_back(SealOn(sealer, 4, KeyPurpose::kConfig));
  tpm.Open();
  const KeyPurpose purposes[] = {KeyPurpose::kConfig, KeyPurpose::kConfig,
                                 KeyPurpose::kState, KeyPurpose::kState,
                                 KeyPurpose::kConfig};
  for (int i = 0; i < 5; ++i) {
    const Sealed sealed = all[static_cast<size_t>(i)].get();
    ASSERT_THAT(sealed, IsOk());
    ExpectCovers(*sealed, i, purposes[i]);
  }
  EXPECT_THAT(tpm.purposes(),
              ::testing::ElementsAre(KeyPurpose::kConfig, KeyPurpose::kState,
                                     KeyPurpose::kConfig));
}

TEST(Sealer, RefusesMoreThanItMayHold) {
  GatedTpm tpm;
  const SystemClock clock;
  Sealer sealer(tpm, clock, 3, nullptr);
  std::vector<std::future<Sealed>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(SealOn(sealer, i));
  }
  EXPECT_THAT(
      sealer.Seal(KeyPurpose::kConfig, DigestOf(3), MonotonicTime::max(),
                  [](const Sealed&) { ADD_FAILURE(); }),
      StatusIs(absl::StatusCode::kResourceExhausted));
  tpm.Open();
  for (std::future<Sealed>& future : held) {
    EXPECT_THAT(future.get(), IsOk());
  }
  EXPECT_THAT(SealOn(sealer, 4).get(), IsOk());
}

TEST(Sealer, RefusesWhatIsNoDigest) {
  FakeHostTpm tpm;
  const SystemClock clock;
  Sealer sealer(tpm, clock, 3, nullptr);
  EXPECT_THAT(sealer.Seal(KeyPurpose::kConfig, Bytes(31), MonotonicTime::max(),
                          [](const Sealed&) { ADD_FAILURE(); }),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(Sealer, WhoGaveUpBeforeTheQuoteIsInNoBatch) {
  GatedTpm tpm;
  testing::ManualClock clock;
  Sealer sealer(tpm, clock, 100, nullptr);
  std::future<Sealed> first = SealOn(sealer, 0);
  tpm.AwaitBegun(1);
  std::future<Sealed> late =
      SealOn(sealer, 1, KeyPurpose::kConfig, clock.Monotonic() + seconds(1));
  clock.Advance(seconds(2));
  tpm.Open();
  ASSERT_THAT(first.get(), IsOk());
  EXPECT_THAT(late.get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  const Sealed next = SealOn(sealer, 2).get();
  ASSERT_THAT(next, IsOk());
  EXPECT_EQ(next->batch.size, 1U);
  EXPECT_EQ(tpm.inner().quotes_made(), 2);
}

TEST(Sealer, AnswerAfterTheDeadlineIsDeadlineExceeded) {
  GatedTpm tpm;
  testing::ManualClock clock;
  Sealer sealer(tpm, clock, 100, nullptr);
  std::future<Sealed> sealed =
      SealOn(sealer, 0, KeyPurpose::kConfig, clock.Monotonic() + seconds(1));
  tpm.AwaitBegun(1);
  clock.Advance(seconds(2));
  tpm.Open();
  EXPECT_THAT(sealed.get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST(Sealer, DeadlineIsKeptWhileTheTpmIsAway) {
  FakeHostTpm tpm;
  tpm.FailNextCalls(1'000'000, absl::UnavailableError("gone"));
  const SystemClock clock;
  Sealer sealer(tpm, clock, 100, nullptr);
  std::future<Sealed> sealed = SealOn(sealer, 0, KeyPurpose::kConfig,
                                      clock.Monotonic() + milliseconds(20));
  ASSERT_EQ(sealed.wait_for(seconds(20)), std::future_status::ready);
  EXPECT_THAT(sealed.get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(tpm.quotes_made(), 0);
}

TEST(Sealer, WaitsForATpmThatComesBack) {
  FakeHostTpm tpm;
  const SystemClock clock;
  States states;
  Sealer sealer(tpm, clock, 100, states.Recorder());
  states.AwaitCode(absl::StatusCode::kOk);
  tpm.FailNextCalls(3, absl::UnavailableError("gone"));
  const Sealed sealed = SealOn(sealer, 0).get();
  ASSERT_THAT(sealed, IsOk());
  ExpectCovers(*sealed, 0);
  EXPECT_THAT(states.codes(),
              ::testing::ElementsAre(absl::StatusCode::kOk,
                                     absl::StatusCode::kUnavailable,
                                     absl::StatusCode::kOk));
}

TEST(Sealer, FailureThatRetryingCannotHelpIsTheAnswerAtOnce) {
  FakeHostTpm tpm;
  const SystemClock clock;
  States states;
  Sealer sealer(tpm, clock, 100, states.Recorder());
  states.AwaitCode(absl::StatusCode::kOk);
  tpm.FailNextCalls(2, absl::FailedPreconditionError("TPM is in lockout"));
  EXPECT_THAT(SealOn(sealer, 0).get(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::HasSubstr("lockout")));
  states.AwaitCode(absl::StatusCode::kFailedPrecondition);
  states.AwaitCode(absl::StatusCode::kOk);  // it recovers when the TPM does
  EXPECT_THAT(SealOn(sealer, 1).get(), IsOk());
}

TEST(Sealer, AlteredAnswerIsToldAsDataLoss) {
  FakeHostTpm tpm;
  const SystemClock clock;
  States states;
  Sealer sealer(tpm, clock, 100, states.Recorder());
  states.AwaitCode(absl::StatusCode::kOk);
  tpm.FailNextCalls(2, absl::DataLossError("altered"));
  EXPECT_THAT(SealOn(sealer, 0).get(), StatusIs(absl::StatusCode::kDataLoss));
  states.AwaitCode(absl::StatusCode::kDataLoss);
  states.AwaitCode(absl::StatusCode::kOk);
}

TEST(Sealer, IdentityIsUnavailableUntilTheTpmWasReached) {
  FakeHostTpm tpm;
  tpm.FailNextCalls(1, absl::UnavailableError("gone"));
  const SystemClock clock;
  States states;
  Sealer sealer(tpm, clock, 100, states.Recorder());
  states.AwaitCode(absl::StatusCode::kUnavailable);
  states.AwaitCode(absl::StatusCode::kOk);
  ASSERT_OK_AND_ASSIGN(const auto identity, sealer.Identity());
  EXPECT_EQ(identity.host_id, tpm.host().host_id());
}

TEST(Sealer, ClockIsReadOnceForAllThatWait) {
  GatedTpm tpm;
  const SystemClock clock;
  Sealer sealer(tpm, clock, 1000, nullptr);
  std::future<Sealed> busy = SealOn(sealer, 0);
  tpm.AwaitBegun(1);
  std::vector<std::future<absl::StatusOr<TpmClock>>> clocks;
  for (int i = 0; i < 100; ++i) {
    clocks.push_back(ReadClockOn(sealer));
  }
  tpm.Open();
  for (auto& future : clocks) {
    EXPECT_THAT(future.get(), IsOk());
  }
  EXPECT_EQ(tpm.clock_reads(), 1);
  EXPECT_THAT(busy.get(), IsOk());
}

TEST(Sealer, EndingFailsWhatIsPending) {
  FakeHostTpm tpm;
  tpm.FailNextCalls(1'000'000, absl::UnavailableError("gone"));
  const SystemClock clock;
  auto sealer = std::make_unique<Sealer>(tpm, clock, 100, nullptr);
  std::future<Sealed> sealed = SealOn(*sealer, 0);
  auto waiting = ReadClockOn(*sealer);
  sealer.reset();
  EXPECT_THAT(sealed.get(), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(waiting.get(), StatusIs(absl::StatusCode::kUnavailable));
}

// Keeps `left` turns of work and counts what it is told.
class CountedWork final : public TpmWork {
 public:
  absl::Status Opened() override {
    ++opened;
    return absl::OkStatus();
  }
  absl::StatusOr<bool> DoTurn(const std::function<void()>& between) override {
    if (left == 0) {
      return false;
    }
    if (during) {
      during(between);
    }
    if (--left == 0) {
      done.set_value();
    }
    return true;
  }
  [[nodiscard]] MonotonicTime FirstDeadline() const override {
    return MonotonicTime::max();
  }
  void FailExpired(MonotonicTime /*now*/) override {}
  void FailAll(const absl::Status& status) override { failed = status; }
  bool Repair() override { return repairs.exchange(false); }

  std::atomic<int> left = 0;
  std::atomic<int> opened = 0;
  std::atomic<bool> repairs = false;
  std::function<void(const std::function<void()>& between)> during;
  absl::Status failed;
  std::promise<void> done;
};

TEST(Sealer, OthersWorkHasItsTurnBetweenQuotes) {
  GatedTpm tpm;
  const SystemClock clock;
  CountedWork work;
  Sealer sealer(tpm, clock, 100, nullptr, {&work});
  std::future<Sealed> first = SealOn(sealer, 0);
  tpm.AwaitBegun(1);
  work.left = 2;
  sealer.Wake();
  std::future<Sealed> second = SealOn(sealer, 1);
  std::future<Sealed> other = SealOn(sealer, 2, KeyPurpose::kState);
  tpm.LetOnePass();
  tpm.AwaitBegun(2);
  EXPECT_EQ(work.left, 1);  // one turn after one quote
  tpm.LetOnePass();
  tpm.AwaitBegun(3);
  EXPECT_EQ(work.left, 0);
  tpm.Open();
  for (std::future<Sealed>* sealed : {&first, &second, &other}) {
    EXPECT_THAT(sealed->get(), IsOk());
  }
  sealer.Stop();
  EXPECT_THAT(work.failed, StatusIs(absl::StatusCode::kUnavailable));
}

TEST(Sealer, WhoeverWantsTheClockDoesNotWaitForTheWholePieceOfOthersWork) {
  FakeHostTpm tpm;
  const SystemClock clock;
  CountedWork work;
  Sealer* asked = nullptr;
  bool answered_within = false;
  work.during = [&](const std::function<void()>& between) {
    auto waiting = ReadClockOn(*asked);
    between();
    answered_within =
        waiting.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  };
  Sealer sealer(tpm, clock, 100, nullptr, {&work});
  asked = &sealer;
  work.left = 1;
  sealer.Wake();
  work.done.get_future().wait();
  EXPECT_TRUE(answered_within);
  sealer.Stop();
}

TEST(Sealer, OthersWorkIsToldThatTheTpmWasOpenedAndMayRepairIt) {
  FakeHostTpm tpm;
  const SystemClock clock;
  CountedWork work;
  work.repairs = true;
  tpm.FailNextCalls(1, absl::FailedPreconditionError("cleared"));
  States states;
  Sealer sealer(tpm, clock, 100, states.Recorder(), {&work});
  states.AwaitCode(absl::StatusCode::kFailedPrecondition);
  states.AwaitCode(absl::StatusCode::kOk);
  EXPECT_EQ(work.opened, 1);
  EXPECT_FALSE(work.repairs);
}

TEST(Sealer, CompletionMaySealAgain) {
  FakeHostTpm tpm;
  const SystemClock clock;
  Sealer sealer(tpm, clock, 100, nullptr);
  std::promise<Sealed> second;
  ASSERT_THAT(
      sealer.Seal(KeyPurpose::kConfig, DigestOf(1), MonotonicTime::max(),
                  [&](const Sealed&) {
                    EXPECT_THAT(
                        sealer.Seal(KeyPurpose::kConfig, DigestOf(2),
                                    MonotonicTime::max(),
                                    [&](Sealed sealed) {
                                      second.set_value(std::move(sealed));
                                    }),
                        IsOk());
                  }),
      IsOk());
  EXPECT_THAT(second.get_future().get(), IsOk());
}

TEST(Sealer, ManyThreadsSealAtOnce) {
  FakeHostTpm tpm;
  const SystemClock clock;
  Sealer sealer(tpm, clock, 4096, nullptr);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&sealer, t] {
      for (int i = 0; i < 50; ++i) {
        const Sealed sealed = SealOn(sealer, t * 1000 + i).get();
        ASSERT_THAT(sealed, IsOk());
        ExpectCovers(*sealed, t * 1000 + i);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(sealer.stats().sealed, 200U);
  EXPECT_LE(sealer.stats().quotes, 200U);
}

}  // namespace
}  // namespace vmattest::sealing
