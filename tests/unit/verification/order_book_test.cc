#include "verification/order_book.h"

#include "gmock/gmock.h"
#include "support/break_glass.h"
#include "support/matchers.h"
#include "support/verifier_rig.h"

namespace vmattest::verification {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::SignedOrder;
using testing::StatusIs;
using testing::VerifierRig;

constexpr char kVm[] = "00000000-0000-4000-8000-000000000001";

class OrderBookTest : public ::testing::Test {
 protected:
  Bytes Order(char serial, int64_t valid_ms = 60'000) {
    return SignedOrder(rig_.approver, rig_.clock.Now(), kVm, host_, serial,
                       valid_ms);
  }
  absl::StatusOr<OrderBook::Put> Put(ByteView document) {
    return rig_.orders.PutDocument(document, VerifierRig::AllVms);
  }

  VerifierRig rig_;
  const std::string host_ = std::string(64, 'a');
};

TEST_F(OrderBookTest, ItsHostAloneGetsAnOrderUntilItRunsOut) {
  const Bytes order = Order('a');
  ASSERT_OK_AND_ASSIGN(const auto put, Put(order));
  EXPECT_TRUE(put.verdict.trusted());
  EXPECT_THAT(*rig_.orders.ForHost(host_), ElementsAre(order));
  EXPECT_THAT(*rig_.orders.ForHost(std::string(64, 'b')), IsEmpty());
  rig_.clock.Advance(std::chrono::milliseconds(60'001));
  EXPECT_THAT(*rig_.orders.ForHost(host_), IsEmpty());
}

TEST_F(OrderBookTest, AnOrderIsAnEvent) {
  ASSERT_THAT(Put(Order('a')), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto events, rig_.store.After(0, 10));
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].host_id, host_);
  EXPECT_EQ(events[0].reasons[0].code, "break-glass-order");
  EXPECT_EQ(events[0].reasons[0].element, kVm);
}

TEST_F(OrderBookTest, WhatIsNoApproversOrderIsNotKept) {
  const auto stranger =
      document::PrivateKey::Generate("mallory", std::nullopt).value();
  ASSERT_OK_AND_ASSIGN(
      const auto forged,
      Put(SignedOrder(stranger, rig_.clock.Now(), kVm, host_, 'a', 60'000)));
  EXPECT_FALSE(forged.verdict.trusted());
  const auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(Put(Order('a', -1)), StatusIs(kInvalid));
  EXPECT_THAT(Put(SignedOrder(rig_.approver, rig_.clock.Now(), "x", host_, 'a',
                              60'000)),
              StatusIs(kInvalid));
  EXPECT_THAT(Put(SignedOrder(rig_.approver, rig_.clock.Now(), kVm, "beef", 'a',
                              60'000)),
              StatusIs(kInvalid));
  EXPECT_THAT(Put(Bytes(OrderBook::kMaxOrderSize + 1)), StatusIs(kInvalid));
  EXPECT_THAT(rig_.orders.PutDocument(Order('a'),
                                      [](const std::string&) { return false; }),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(*rig_.orders.ForHost(host_), IsEmpty());
  EXPECT_EQ(rig_.store.LastSequence().value(), 0U);
}

TEST_F(OrderBookTest, ASerialIsTakenOnceAndAHostHasSoManyOrders) {
  constexpr auto kMost = static_cast<char>(OrderBook::kMostOfHost);
  for (char serial = 1; serial <= kMost; ++serial) {
    ASSERT_THAT(Put(Order(serial)), IsOk());
  }
  EXPECT_THAT(Put(Order(1)), StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(Put(Order(kMost + 1)),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace vmattest::verification
