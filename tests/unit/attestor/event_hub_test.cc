#include "attestor/event_hub.h"

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::attestor {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;
using testing::StatusIs;

WatchedEvent Numbered(uint64_t sequence) {
  WatchedEvent event;
  event.record.sequence = sequence;
  return event;
}

TEST(EventHub, GivesEachEventToEveryWatcher) {
  EventHub hub(2);
  std::vector<uint64_t> first;
  std::vector<uint64_t> second;
  ASSERT_OK_AND_ASSIGN(const auto one, hub.Subscribe([&](const auto& event) {
    first.push_back(event.record.sequence);
  }));
  ASSERT_OK_AND_ASSIGN(const auto two, hub.Subscribe([&](const auto& event) {
    second.push_back(event.record.sequence);
  }));
  hub.Publish(Numbered(1));
  hub.Publish(Numbered(2));
  EXPECT_THAT(first, ElementsAre(1, 2));
  EXPECT_THAT(second, ElementsAre(1, 2));
}

TEST(EventHub, TellsNothingAfterTheSubscriptionEnded) {
  EventHub hub(1);
  int told = 0;
  {
    ASSERT_OK_AND_ASSIGN(const auto one,
                         hub.Subscribe([&](const auto&) { ++told; }));
  }
  hub.Publish(Numbered(1));
  EXPECT_EQ(told, 0);
}

TEST(EventHub, RefusesMoreWatchersThanAllowed) {
  EventHub hub(1);
  {
    ASSERT_OK_AND_ASSIGN(const auto one, hub.Subscribe([](const auto&) {}));
    EXPECT_THAT(hub.Subscribe([](const auto&) {}),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_THAT(hub.Subscribe([](const auto&) {}), IsOk());
}

}  // namespace
}  // namespace vmattest::attestor
