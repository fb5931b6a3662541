#include "rpc/status/status_mapping.h"

#include "google/rpc/status.pb.h"
#include "support/matchers.h"

namespace vmattest::rpc {
namespace {

using testing::IsOk;
using ::testing::MatchesRegex;
using testing::StatusIs;

TEST(StatusMapping, OkHasNoDetails) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).error_details().empty());
  EXPECT_THAT(FromGrpc(grpc::Status::OK), IsOk());
}

TEST(StatusMapping, EveryCodeHasAReasonAndSurvivesTheWire) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    const grpc::Status wire = ToGrpc(status);
    EXPECT_EQ(static_cast<int>(wire.error_code()), code);
    const absl::Status back = FromGrpc(wire);
    EXPECT_EQ(back.code(), status.code());
    EXPECT_EQ(back.message(), "why");
    EXPECT_THAT(ReasonOf(back).reason, MatchesRegex("[A-Z][A-Z_]+[A-Z]"));
  }
}

TEST(StatusMapping, DetailIsGooglesErrorInfoOfOurDomain) {
  const grpc::Status wire = ToGrpc(FieldError("nonce", "is too short"));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  EXPECT_EQ(details.code(), wire.error_code());
  EXPECT_EQ(details.message(), "nonce: is too short");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(details.details(0).UnpackTo(&info));
  EXPECT_EQ(info.domain(), "vmattest");
  EXPECT_EQ(info.reason(), "FIELD_INVALID");
  EXPECT_EQ(info.metadata().at("field"), "nonce");
}

TEST(StatusMapping, InnermostReasonWins) {
  const absl::Status inner =
      WithReason(absl::NotFoundError("x"), {"INNER", {{"a", "b"}}});
  EXPECT_EQ(ReasonOf(WithReason(inner, {"OUTER", {}})),
            (ErrorInfo{"INNER", {{"a", "b"}}}));
}

TEST(StatusMapping, ForeignDetailsAreIgnored) {
  const absl::Status status =
      FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "m", "\xff\xffgarbage"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, "m"));
  EXPECT_EQ(ReasonOf(status).reason, "CHANGED_MEANWHILE");
}

TEST(StatusMapping, LongMessagesAreCut) {
  const grpc::Status wire =
      ToGrpc(absl::InternalError(std::string(100'000, 'x')));
  EXPECT_LT(wire.error_message().size(), 4096u);
  EXPECT_LT(wire.error_details().size(), 8192u);
}

}  // namespace
}  // namespace vmattest::rpc
