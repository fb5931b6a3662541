#include "guestchannel/worker/worker_request_parser.h"

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::guestchannel {
namespace {

using vmattest::testing::StatusIs;

inspection::WorkerPoolOptions Program(const std::string& program) {
  inspection::WorkerPoolOptions options;
  options.program = program;
  return ForGuestRequests(options);
}

TEST(WorkerRequestParserTest, AnswersAsParsingHereDoes) {
  inspection::WorkerPool pool(Program(VMATTEST_HEADER_WORKER));
  WorkerRequestParser parser(pool);
  const Request request{Bytes(kIdSize, 3),
                        SnapshotRequest{"low@2", Bytes(32, 8)}};
  ASSERT_OK_AND_ASSIGN(const Request parsed, parser.Parse(Encode(request)));
  EXPECT_EQ(parsed.id, request.id);
  EXPECT_EQ(std::get<SnapshotRequest>(parsed.body).policy, "low@2");
  EXPECT_EQ(std::get<SnapshotRequest>(parsed.body).nonce, Bytes(32, 8));
  ASSERT_OK_AND_ASSIGN(const Request unknown,
                       parser.Parse(Encode(Request{Bytes(kIdSize, 4), {}})));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(unknown.body));
}

TEST(WorkerRequestParserTest, GarbageIsNoRequest) {
  inspection::WorkerPool pool(Program(VMATTEST_HEADER_WORKER));
  WorkerRequestParser parser(pool);
  EXPECT_THAT(parser.Parse(ToBytes("garbage")),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(WorkerRequestParserTest, S25_AWorkerThatWasTakenOverIsNotBelieved) {
  inspection::WorkerPool pool(Program(VMATTEST_HOSTILE_WORKER));
  WorkerRequestParser parser(pool, std::chrono::seconds(2));
  const absl::StatusOr<Request> parsed = parser.Parse(
      Encode(Request{Bytes(kIdSize, 3), SnapshotRequest{"", Bytes(32, 8)}}));
  EXPECT_FALSE(parsed.ok());
}

}  // namespace
}  // namespace vmattest::guestchannel
