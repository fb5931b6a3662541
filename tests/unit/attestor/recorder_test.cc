#include "attestor/recorder.h"

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "unit/attestor/attestor_bed.h"

namespace vmattest::attestor {
namespace {

using inventory::MeasurementRecord;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;

class RecorderTest : public ::testing::Test {
 protected:
  static MeasurementRecord Root(uint8_t value) {
    MeasurementRecord measurement;
    measurement.root = DigestBytes(32, value);
    return measurement;
  }
  static MeasurementRecord Failure(const std::string& error) {
    MeasurementRecord measurement;
    measurement.error = error;
    return measurement;
  }
  Observation Seen(std::optional<MeasurementRecord> measurement) {
    return {.vm = {.uuid = {},
                   .name = "web",
                   .state = "running",
                   .persistent = true,
                   .last_measurement = std::nullopt},
            .kind = "started",
            .measurement = std::move(measurement),
            .begun = bed_.recorder.Begin(),
            .only_if_changed = false};
  }
  std::optional<MeasurementRecord> Last() {
    return bed_.Stored({}).last_measurement;
  }

  testing::AttestorBed bed_;
};

TEST_F(RecorderTest, CallsOnlyADifferentRootChanged) {
  EXPECT_FALSE(bed_.recorder.Record(Seen(Root(1)))->changed);
  EXPECT_FALSE(bed_.recorder.Record(Seen(Root(1)))->changed);
  EXPECT_TRUE(bed_.recorder.Record(Seen(Root(2)))->changed);
}

TEST_F(RecorderTest, AFailureReplacesTheOldRoot) {
  ASSERT_THAT(bed_.recorder.Record(Seen(Root(1))), IsOk());
  EXPECT_TRUE(bed_.recorder.Record(Seen(Failure("gone")))->changed);
  EXPECT_THAT(Last()->root, IsEmpty());
  EXPECT_EQ(Last()->error, "gone");
}

TEST_F(RecorderTest, KeepsTheMeasurementWhereNothingWasMeasured) {
  ASSERT_THAT(bed_.recorder.Record(Seen(Root(1))), IsOk());
  ASSERT_THAT(bed_.recorder.Record(Seen(std::nullopt)), IsOk());
  EXPECT_EQ(Last(), Root(1));
}

TEST_F(RecorderTest, OnlyIfChangedWritesOnlyWhatIsNew) {
  ASSERT_THAT(bed_.recorder.Record(Seen(Root(1))), IsOk());
  Observation same = Seen(Root(1));
  same.only_if_changed = true;
  EXPECT_FALSE(bed_.recorder.Record(same)->recorded);
  Observation other = Seen(Root(2));
  other.only_if_changed = true;
  EXPECT_TRUE(bed_.recorder.Record(other)->recorded);
  Observation paused = Seen(std::nullopt);
  paused.only_if_changed = true;
  paused.vm.state = "paused";
  EXPECT_TRUE(bed_.recorder.Record(paused)->recorded);
  EXPECT_THAT(bed_.store.Events(0, 10).value(), SizeIs(3));
}

TEST_F(RecorderTest, WhatBeganEarlierNeverReplacesWhatBeganLater) {
  Observation slow_request = Seen(Root(1));
  slow_request.only_if_changed = true;
  Observation slow_event = Seen(Root(2));
  ASSERT_THAT(bed_.recorder.Record(Seen(Root(3))), IsOk());
  EXPECT_FALSE(bed_.recorder.Record(slow_request)->recorded);
  EXPECT_TRUE(bed_.recorder.Record(slow_event)->recorded);
  EXPECT_EQ(Last(), Root(3));
}

TEST_F(RecorderTest, PublishesInTheOrderOfTheSequence) {
  std::vector<uint64_t> told;
  ASSERT_OK_AND_ASSIGN(const auto watching,
                       bed_.events.Subscribe([&](const WatchedEvent& event) {
                         told.push_back(event.record.sequence);
                       }));
  ASSERT_THAT(bed_.recorder.Record(Seen(Root(1))), IsOk());
  ASSERT_THAT(bed_.recorder.Record(Seen(Root(2))), IsOk());
  EXPECT_THAT(told, ElementsAre(1, 2));
}

TEST_F(RecorderTest, PublishesNothingThatIsNotStored) {
  int told = 0;
  ASSERT_OK_AND_ASSIGN(const auto watching,
                       bed_.events.Subscribe([&](const auto&) { ++told; }));
  bed_.store.FailWith(absl::ResourceExhaustedError("disk full"));
  EXPECT_FALSE(bed_.recorder.Record(Seen(Root(1))).ok());
  EXPECT_EQ(told, 0);
}

TEST_F(RecorderTest, ProgressIsAtMostFourASecond) {
  std::vector<uint64_t> told;
  ASSERT_OK_AND_ASSIGN(const auto watching,
                       bed_.events.Subscribe([&](const WatchedEvent& event) {
                         EXPECT_EQ(event.record.kind, "measuring");
                         EXPECT_EQ(event.bytes_total, 1000u);
                         told.push_back(event.bytes_done);
                       }));
  const auto progress = bed_.recorder.Progress({}, "web");
  for (uint64_t done = 0; done < 100; ++done) {
    progress(done, 1000);
    bed_.clock.Advance(std::chrono::milliseconds(10));
  }
  EXPECT_THAT(told, ElementsAre(25, 50, 75));
}

}  // namespace
}  // namespace vmattest::attestor
