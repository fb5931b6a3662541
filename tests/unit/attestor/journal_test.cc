#include "attestor/journal.h"

#include <deque>

#include "eventlog/host_log.h"
#include "fakes/fake_host_tpm.h"
#include "fakes/fake_vm_store.h"
#include "fakes/inline_executor.h"
#include "fakes/unable_signer.h"
#include "gmock/gmock.h"
#include "signing/local_signer.h"
#include "signing/log_folder.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::attestor {
namespace {

using ::testing::ElementsAre;

inventory::EventRecord Event(const std::string& kind) {
  inventory::EventRecord event;
  event.uuid.bytes[0] = 7;
  event.name = "web";
  event.kind = kind;
  event.measurement = inventory::MeasurementRecord{
      .root = DigestBytes(32, 1), .leaf_count = 9, .cause = kind};
  return event;
}

// A signer that only takes events, and answers when it is told to.
class HeldSigner final : public testing::UnableSigner {
 public:
  absl::Status Append(eventlog::HostEvent event, MonotonicTime,
                      AppendDone done) override {
    if (!refuse.ok()) {
      return refuse;
    }
    waiting.emplace_back(std::move(event), std::move(done));
    return absl::OkStatus();
  }

  // Answers the oldest.
  void Answer(const absl::Status& status) {
    auto [event, done] = std::move(waiting.front());
    waiting.pop_front();
    if (status.ok()) {
      log.push_back(event.facts.at("sequence"));
      done(eventlog::LogHead{});
    } else {
      done(status);
    }
  }

  absl::Status refuse;
  std::deque<std::pair<eventlog::HostEvent, AppendDone>> waiting;
  std::vector<std::string> log;
};

class JournalTest : public ::testing::Test {
 protected:
  void Store(const std::string& kind) {
    const inventory::VmRecord vm{.uuid = Event(kind).uuid, .name = "web"};
    ASSERT_THAT(store_.Record(vm, Event(kind)), testing::IsOk());
  }
  void AnswerAll() {
    while (!signer_.waiting.empty()) {
      signer_.Answer(absl::OkStatus());
    }
  }

  SystemClock clock_;
  testing::FakeVmStore store_;
  testing::InlineExecutor executor_;
  HeldSigner signer_;
  Journal::Parts parts_{signer_, store_, executor_, clock_};
};

TEST_F(JournalTest, BringsStoredEventsIntoTheLogInOrderAndOnce) {
  Journal journal(parts_, 0);
  for (const char* kind : {"defined", "started", "stopped"}) {
    Store(kind);
    journal.Kick();
  }
  AnswerAll();
  journal.Kick();
  EXPECT_TRUE(signer_.waiting.empty());
  EXPECT_THAT(signer_.log, ElementsAre("1", "2", "3"));
  EXPECT_EQ(journal.logged(), 3u);
}

TEST_F(JournalTest, GoesOnAfterWhatTheLogHas) {
  for (int i = 0; i < 4; ++i) {
    Store("started");
  }
  Journal journal(parts_, 2);
  journal.Kick();
  AnswerAll();
  EXPECT_THAT(signer_.log, ElementsAre("3", "4"));
}

TEST_F(JournalTest, TriesAgainWhatFailedAndNothingElse) {
  Journal journal(parts_, 0);
  for (int i = 0; i < 3; ++i) {
    Store("started");
  }
  journal.Kick();
  ASSERT_EQ(signer_.waiting.size(), 3u);
  signer_.Answer(absl::OkStatus());
  signer_.Answer(absl::ResourceExhaustedError("the disk is full"));
  signer_.Answer(absl::OkStatus());
  EXPECT_EQ(journal.logged(), 1u);
  EXPECT_TRUE(absl::IsResourceExhausted(journal.problem()));
  EXPECT_TRUE(signer_.waiting.empty());
  journal.Kick();
  AnswerAll();
  EXPECT_THAT(signer_.log, ElementsAre("1", "3", "2"));
  EXPECT_EQ(journal.logged(), 3u);
  EXPECT_TRUE(journal.problem().ok());
}

TEST_F(JournalTest, WaitsForASignerThatTakesNothing) {
  Journal journal(parts_, 0);
  signer_.refuse = absl::UnavailableError("starting");
  Store("started");
  journal.Kick();
  EXPECT_TRUE(absl::IsUnavailable(journal.problem()));
  signer_.refuse = absl::OkStatus();
  journal.Kick();
  AnswerAll();
  EXPECT_THAT(signer_.log, ElementsAre("1"));
}

TEST_F(JournalTest, HandsOverNoMoreThanItMayAtATime) {
  Journal journal(parts_, 0);
  for (size_t i = 0; i < Journal::kInFlight + 10; ++i) {
    Store("started");
  }
  journal.Kick();
  EXPECT_EQ(signer_.waiting.size(), Journal::kInFlight);
  AnswerAll();
  EXPECT_EQ(signer_.log.size(), Journal::kInFlight + 10);
}

TEST_F(JournalTest, MayBeGoneWhenTheSignerAnswers) {
  {
    Journal journal(parts_, 0);
    Store("started");
    journal.Kick();
  }
  ASSERT_EQ(signer_.waiting.size(), 1u);
  signer_.Answer(absl::OkStatus());
  EXPECT_TRUE(signer_.waiting.empty());
}

TEST(JournalLog, IsReadBackWhereItWentOn) {
  SystemClock clock;
  const testing::TempDir dir;
  testing::FakeHostTpm tpm;
  testing::FakeVmStore store;
  testing::InlineExecutor executor;
  signing::LocalSigner signer(
      tpm, clock,
      {.work = {.state_dir = dir.path(),
                .post_quantum = {.mode = signing::PqMode::kOff}}});
  Journal journal({signer, store, executor, clock}, 0);
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(store.Record({.uuid = Event("x").uuid, .name = "web"},
                             Event("started")),
                testing::IsOk());
  }
  for (int i = 0; i < 2000 && journal.logged() < 3; ++i) {
    journal.Kick();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(journal.logged(), 3u);
  signer.Stop();
  signing::DiskLogFolder folder(dir.path() / "eventlog");
  const auto names = folder.List();
  ASSERT_THAT(names, testing::IsOk());
  ASSERT_EQ(names->size(), 1u);
  EXPECT_EQ(LastJournaled(*folder.Read(names->front())), 3u);
}

TEST(HostEventOfAVm, SaysWhatItWas) {
  inventory::EventRecord event = Event("started");
  event.sequence = 12;
  const eventlog::HostEvent host = ToHostEvent(event);
  EXPECT_EQ(host.kind, "vm-started");
  EXPECT_EQ(host.facts.at("vm_name"), "web");
  EXPECT_EQ(host.facts.at("sequence"), "12");
  EXPECT_EQ(host.facts.at("root"), std::string(64, '0').replace(0, 64, [] {
    std::string root;
    for (int i = 0; i < 32; ++i) {
      root += "01";
    }
    return root;
  }()));
  event.name = std::string(5000, 'x');
  event.measurement->error = std::string(5000, 'y');
  EXPECT_LT(eventlog::EncodeHostEvent(ToHostEvent(event)).size(),
            eventlog::kMaxHostEventSize);
}

}  // namespace
}  // namespace vmattest::attestor
