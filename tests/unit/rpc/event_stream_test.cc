#include "rpc/event_stream.h"

#include <thread>

#include "rpc/rpc_fixture.h"

namespace vmattest::rpc {
namespace {

using testing::IsOk;
using testing::StatusIs;

class Watcher {
 public:
  Watcher(v1::Attestation::Stub& stub, uint64_t after,
          const std::string& vm = "") {
    v1::WatchEventsRequest request;
    request.set_after_sequence(after);
    request.set_vm(vm);
    context_.set_deadline(In(std::chrono::seconds(60)));
    reader_ = stub.WatchEvents(&context_, request);
  }
  // Once this returned, whatever happens is seen.
  void AwaitStart() { reader_->WaitForInitialMetadata(); }
  bool Next() { return reader_->Read(&event_); }
  [[nodiscard]] const v1::WatchEventsResponse& event() const { return event_; }
  void Leave() { context_.TryCancel(); }
  absl::Status End() {
    while (Next()) {
    }
    return FromGrpc(reader_->Finish());
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchEventsResponse>> reader_;
  v1::WatchEventsResponse event_;
};

class EventStreamTest : public SocketTest {
 protected:
  void Happen(int count) {
    for (int i = 0; i < count; ++i) {
      inside_->Happen(inside_->web, "web");
    }
  }
  void ExpectNext(Watcher& watcher, uint64_t sequence) {
    ASSERT_TRUE(watcher.Next()) << "waiting for " << sequence;
    ASSERT_EQ(watcher.event().sequence(), sequence);
  }
};

TEST_F(EventStreamTest, WithoutASequenceOnlyWhatHappensFromNowOn) {
  Serve();
  Happen(3);
  Watcher watcher(*attestation_, 0);
  watcher.AwaitStart();
  Happen(2);
  ExpectNext(watcher, 4);
  ExpectNext(watcher, 5);
  watcher.Leave();
}

TEST_F(EventStreamTest, ReplaysMoreThanAPageAndGoesOnLive) {
  Serve();
  Happen(600);
  Watcher watcher(*attestation_, 1);
  for (uint64_t sequence = 2; sequence <= 600; ++sequence) {
    ExpectNext(watcher, sequence);
  }
  Happen(1);
  ExpectNext(watcher, 601);
  watcher.Leave();
}

TEST_F(EventStreamTest, NoGapAndNoDuplicateWhileEventsKeepComing) {
  Serve(Listener::kAdminSocket, {.watchers = 32, .watcher_queue = 16});
  Happen(1);
  constexpr int kEvents = 1500;
  std::thread source([this] { Happen(kEvents); });
  std::vector<std::thread> watchers;
  for (int i = 0; i < 4; ++i) {
    watchers.emplace_back([this] {
      uint64_t last = 1;
      // One that was too slow resumes where it was.
      while (last < 1 + kEvents) {
        Watcher watcher(*attestation_, last);
        while (last < 1 + kEvents && watcher.Next()) {
          ASSERT_EQ(watcher.event().sequence(), last + 1);
          last = watcher.event().sequence();
        }
        watcher.Leave();
        const absl::Status end = watcher.End();
        ASSERT_TRUE(absl::IsCancelled(end) || absl::IsResourceExhausted(end))
            << end;
      }
    });
  }
  source.join();
  for (std::thread& watcher : watchers) {
    watcher.join();
  }
}

TEST_F(EventStreamTest, SlowWatcherIsClosedAndCanResume) {
  Serve(Listener::kAdminSocket, {.watcher_queue = 16});
  Happen(1);
  Watcher watcher(*attestation_, 1);
  watcher.AwaitStart();
  // One live event, so that it reads the store no more; then until flow
  // control holds it up and its queue is full.
  Happen(1);
  ExpectNext(watcher, 2);
  uint64_t last = 2;
  Happen(20'000);
  while (watcher.Next()) {
    ASSERT_EQ(watcher.event().sequence(), last + 1);
    last = watcher.event().sequence();
  }
  const absl::Status end = watcher.End();
  ASSERT_THAT(end, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(end).reason, "WATCHER_TOO_SLOW");
  EXPECT_EQ(ReasonOf(end).metadata.at("last_sequence"), std::to_string(last));
  Watcher resumed(*attestation_, last);
  ExpectNext(resumed, last + 1);
  resumed.Leave();
}

// Nothing of it waits in memory, so there is nothing to close it for.
TEST_F(EventStreamTest, SlowWatcherThatCatchesUpIsServedFromTheStore) {
  Serve(Listener::kAdminSocket, {.watcher_queue = 16});
  constexpr uint64_t kKept = 20'000;
  Happen(kKept);
  Watcher watcher(*attestation_, 1);
  watcher.AwaitStart();
  Happen(100);  // far more than the queue, while flow control holds it up
  for (uint64_t sequence = 2; sequence <= kKept + 100; ++sequence) {
    ExpectNext(watcher, sequence);
  }
  watcher.Leave();
}

TEST_F(EventStreamTest, PublishersNeedNotBeInOrder) {
  Serve();
  Happen(1);
  Watcher watcher(*attestation_, 1);
  watcher.AwaitStart();
  // In the store both, published the wrong way round.
  std::vector<attestor::WatchedEvent> swapped;
  for (int i = 0; i < 2; ++i) {
    inventory::EventRecord record;
    record.uuid = inside_->web;
    record.name = "web";
    record.kind = "started";
    ASSERT_OK_AND_ASSIGN(
        record.sequence,
        inside_->store.Record({.uuid = inside_->web, .name = "web"}, record));
    swapped.push_back({record, 0, 0});
  }
  inside_->events.Publish(swapped[1]);
  inside_->events.Publish(swapped[0]);
  ExpectNext(watcher, 2);
  ExpectNext(watcher, 3);
  Happen(1);
  ExpectNext(watcher, 4);
  watcher.Leave();
}

TEST_F(EventStreamTest, FiltersByNameAndByUuid) {
  Serve();
  Happen(1);
  for (const std::string& vm : {std::string("db"), ToString(inside_->db)}) {
    Watcher watcher(*attestation_, 0, vm);
    watcher.AwaitStart();
    inside_->Happen(inside_->web, "web");
    inside_->Happen(inside_->db, "db");
    ASSERT_TRUE(watcher.Next());
    EXPECT_EQ(watcher.event().vm_name(), "db");
    watcher.Leave();
  }
}

TEST_F(EventStreamTest, SaysWhatIsNoLongerOrNotYetKept) {
  Serve();
  Happen(10);
  ASSERT_THAT(inside_->store.Trim(3), IsOk());
  for (const uint64_t after : {uint64_t{1}, uint64_t{11}}) {
    const absl::Status end = Watcher(*attestation_, after).End();
    EXPECT_THAT(end, StatusIs(absl::StatusCode::kOutOfRange)) << after;
    EXPECT_EQ(ReasonOf(end).reason, "EVENTS_NOT_KEPT");
  }
}

TEST_F(EventStreamTest, BrokenStoreEndsTheStreamWithItsError) {
  Serve();
  inside_->store.FailWith(absl::DataLossError("torn page"));
  EXPECT_THAT(Watcher(*attestation_, 1).End(),
              StatusIs(absl::StatusCode::kDataLoss, "torn page"));
}

TEST_F(EventStreamTest, WatchersAreCountedAndReleased) {
  Serve(Listener::kAdminSocket, {.watchers = 2});
  Watcher first(*attestation_, 0);
  first.AwaitStart();
  Watcher second(*attestation_, 0);
  second.AwaitStart();
  const absl::Status third = Watcher(*attestation_, 0).End();
  EXPECT_THAT(third, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(ReasonOf(third).reason, "TOO_MANY_WATCHERS");
  first.Leave();
  (void)first.End();
  // The server learns of it a moment later.
  absl::Status status = third;
  for (int i = 0; i < 1000 && !absl::IsCancelled(status); ++i) {
    Watcher again(*attestation_, 0);
    again.AwaitStart();
    again.Leave();
    status = again.End();
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled));
  second.Leave();
}

TEST_F(EventStreamTest, ShutdownEndsWatchers) {
  Serve();
  Watcher watcher(*attestation_, 0);
  watcher.AwaitStart();
  server_->Shutdown(In(std::chrono::milliseconds(50)));
  EXPECT_FALSE(watcher.End().ok());
}

}  // namespace
}  // namespace vmattest::rpc
