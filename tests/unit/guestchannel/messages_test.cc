#include "guestchannel/protocol/messages.h"

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::guestchannel {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Request Good() {
  return {Bytes(kIdSize, 7), SnapshotRequest{"linux-kernel", Bytes(32, 9)}};
}

TEST(GuestMessagesTest, ARequestComesBackAsItWas) {
  ASSERT_OK_AND_ASSIGN(const Request request, ParseRequest(Encode(Good())));
  EXPECT_EQ(request.id, Bytes(kIdSize, 7));
  const auto& snapshot = std::get<SnapshotRequest>(request.body);
  EXPECT_EQ(snapshot.policy, "linux-kernel");
  EXPECT_EQ(snapshot.nonce, Bytes(32, 9));
}

TEST(GuestMessagesTest, FieldsThatNoRequestHasAreRefusedByName) {
  Request request = Good();
  request.id.pop_back();
  EXPECT_THAT(ParseRequest(Encode(request)),
              StatusIs(kInvalid, HasSubstr("id")));
  for (const size_t size : {0, 15, 65}) {
    request = Good();
    std::get<SnapshotRequest>(request.body).nonce.assign(size, 1);
    EXPECT_THAT(ParseRequest(Encode(request)),
                StatusIs(kInvalid, HasSubstr("nonce")));
  }
  for (const std::string& name :
       {std::string("../x"), std::string("a b"), std::string(161, 'a')}) {
    request = Good();
    std::get<SnapshotRequest>(request.body).policy = name;
    EXPECT_THAT(ParseRequest(Encode(request)),
                StatusIs(kInvalid, HasSubstr("policy")));
  }
  EXPECT_THAT(ParseRequest(ToBytes("no message")), StatusIs(kInvalid));
  EXPECT_THAT(ParseRequest({}), StatusIs(kInvalid, HasSubstr("version")));
}

TEST(GuestMessagesTest, WhatALaterAgentAsksForIsARequestOfNoKnownKind) {
  Request request = Good();
  request.body = std::monostate();
  Bytes later = Encode(request);
  later.insert(later.end(), {0x7a, 0x02, 0x08, 0x01});  // field 15, a message
  ASSERT_OK_AND_ASSIGN(const Request parsed, ParseRequest(later));
  EXPECT_EQ(parsed.id, request.id);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(parsed.body));
}

TEST(GuestMessagesTest, AnAnswerComesBackAsItWas) {
  const Bytes id(kIdSize, 1);
  ASSERT_OK_AND_ASSIGN(
      const Answer refused,
      ParseAnswer(Encode(Answer{id, Refusal{"too-soon", "wait", 1500}})));
  EXPECT_EQ(refused.id, id);
  EXPECT_EQ(std::get<Refusal>(refused.body).retry_after_ms, 1500U);
  SnapshotTaken taken;
  taken.id = "0001-ab-g";
  taken.nonce = Bytes(16, 5);
  taken.root = Bytes(32, 6);
  taken.pages = 12;
  ASSERT_OK_AND_ASSIGN(const Answer done,
                       ParseAnswer(Encode(Answer{id, taken})));
  EXPECT_EQ(std::get<SnapshotTaken>(done.body).id, "0001-ab-g");
  EXPECT_EQ(std::get<SnapshotTaken>(done.body).nonce, Bytes(16, 5));
  EXPECT_EQ(std::get<SnapshotTaken>(done.body).pages, 12U);
  ASSERT_OK_AND_ASSIGN(const Answer accepted,
                       ParseAnswer(Encode(Answer{id, Accepted{9}})));
  EXPECT_EQ(std::get<Accepted>(accepted.body).limit_ms, 9U);
}

TEST(GuestMessagesTest, TextThatATerminalWouldObeyIsNoAnswer) {
  const Answer answer{Bytes(kIdSize, 1), Refusal{"x", "\x1b[2J", 0}};
  EXPECT_THAT(ParseAnswer(Encode(answer)),
              StatusIs(kInvalid, HasSubstr("printable")));
}

}  // namespace
}  // namespace vmattest::guestchannel
