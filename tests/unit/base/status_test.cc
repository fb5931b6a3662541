#include "base/status.h"

#include <cerrno>

#include "support/matchers.h"

namespace vmattest {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) {
    return absl::InvalidArgumentError("odd");
  }
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  ASSIGN_OR_RETURN(const int half, Half(number));
  ASSIGN_OR_RETURN_WITH(const int quarter, Half(half), "second half");
  return quarter;
}

absl::Status CheckBoth(const absl::Status& first, const absl::Status& second) {
  RETURN_IF_ERROR(first);
  RETURN_IF_ERROR_WITH(second, "second");
  return absl::OkStatus();
}

TEST(StatusMacros, ReturnTheFirstFailure) {
  EXPECT_EQ(Quarter(8).value(), 2);
  EXPECT_EQ(Quarter(7).status().message(), "odd");
  EXPECT_EQ(Quarter(6).status().message(), "second half: odd");
  EXPECT_THAT(CheckBoth(absl::OkStatus(), absl::OkStatus()), IsOk());
  EXPECT_THAT(CheckBoth(absl::AbortedError("a"), absl::DataLossError("b")),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(CheckBoth(absl::OkStatus(), absl::DataLossError("b")).message(),
            "second: b");
}

TEST(Annotate, AddsAClauseAndKeepsCodeAndPayloads) {
  absl::Status status = absl::UnavailableError("TPM is in lockout");
  status.SetPayload("type.example/reason", absl::Cord("R"));
  const absl::Status annotated =
      Annotate(Annotate(status, "quoting"), "attesting vm web-1");
  EXPECT_THAT(annotated, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(annotated.message(),
            "attesting vm web-1: quoting: TPM is in lockout");
  EXPECT_EQ(annotated.GetPayload("type.example/reason"), absl::Cord("R"));
  EXPECT_THAT(Annotate(absl::OkStatus(), "nothing"), IsOk());
}

TEST(ErrnoStatus, TellsTheCallerWhatToDo) {
  const std::pair<int, absl::StatusCode> cases[] = {
      {ENOENT, absl::StatusCode::kNotFound},
      {EACCES, absl::StatusCode::kPermissionDenied},
      {EPERM, absl::StatusCode::kPermissionDenied},
      {ENOSPC, absl::StatusCode::kResourceExhausted},
      {EMFILE, absl::StatusCode::kResourceExhausted},
      {EAGAIN, absl::StatusCode::kUnavailable},
      {EISDIR, absl::StatusCode::kInvalidArgument},
      {EIO, absl::StatusCode::kInternal}};
  for (const auto& [error, code] : cases) {
    EXPECT_THAT(ErrnoStatus(error, "reading x"),
                StatusIs(code, HasSubstr("reading x: ")));
  }
}

}  // namespace
}  // namespace vmattest
