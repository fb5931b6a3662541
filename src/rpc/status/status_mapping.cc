#include "rpc/status/status_mapping.h"

#include <utility>

#include "absl/strings/cord.h"
#include "fmt/format.h"
#include "google/rpc/status.pb.h"

namespace vmattest::rpc {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";

// The code alone tells a caller what to do; so each has a general reason.
std::string_view GeneralReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return "OK";
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    case absl::StatusCode::kInvalidArgument:
      return "REQUEST_INVALID";
    case absl::StatusCode::kDeadlineExceeded:
      return "NO_ANSWER_IN_TIME";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case absl::StatusCode::kPermissionDenied:
      return "FILE_NOT_READABLE";
    case absl::StatusCode::kResourceExhausted:
      return "OVERLOADED";
    case absl::StatusCode::kFailedPrecondition:
      return "STATE_MUST_BE_FIXED";
    case absl::StatusCode::kAborted:
      return "CHANGED_MEANWHILE";
    case absl::StatusCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case absl::StatusCode::kUnimplemented:
      return "UNIMPLEMENTED";
    case absl::StatusCode::kUnavailable:
      return "COMPONENT_UNAVAILABLE";
    case absl::StatusCode::kDataLoss:
      return "DATA_LOSS";
    case absl::StatusCode::kUnauthenticated:
      return "CLIENT_UNKNOWN";
    default:
      return "INTERNAL";
  }
}

google::rpc::ErrorInfo ToProto(const ErrorInfo& info) {
  google::rpc::ErrorInfo proto;
  proto.set_reason(info.reason);
  proto.set_domain(std::string(kErrorDomain));
  proto.mutable_metadata()->insert(info.metadata.begin(), info.metadata.end());
  return proto;
}

ErrorInfo FromProto(const google::rpc::ErrorInfo& proto) {
  return {proto.reason(), {proto.metadata().begin(), proto.metadata().end()}};
}

constexpr size_t kMaxMessage = 2048;

}  // namespace

absl::Status WithReason(absl::Status status, const ErrorInfo& info) {
  if (!status.ok() && !status.GetPayload(kErrorInfoUrl)) {
    status.SetPayload(kErrorInfoUrl,
                      absl::Cord(ToProto(info).SerializeAsString()));
  }
  return status;
}

absl::Status FieldError(std::string_view field, std::string_view why) {
  return WithReason(
      absl::InvalidArgumentError(fmt::format("{}: {}", field, why)),
      {"FIELD_INVALID", {{"field", std::string(field)}}});
}

ErrorInfo ReasonOf(const absl::Status& status) {
  if (const auto payload = status.GetPayload(kErrorInfoUrl)) {
    google::rpc::ErrorInfo proto;
    if (proto.ParseFromString(std::string(*payload))) {
      return FromProto(proto);
    }
  }
  return {std::string(GeneralReason(status.code())), {}};
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) {
    return grpc::Status::OK;
  }
  const std::string message(status.message().substr(0, kMaxMessage));
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  details.add_details()->PackFrom(ToProto(ReasonOf(status)));
  return {static_cast<grpc::StatusCode>(status.code()), message,
          details.SerializeAsString()};
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) {
    return absl::OkStatus();
  }
  const absl::Status mapped(static_cast<absl::StatusCode>(status.error_code()),
                            status.error_message());
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) {
    return mapped;
  }
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (detail.Is<google::rpc::ErrorInfo>() && detail.UnpackTo(&info)) {
      return WithReason(mapped, FromProto(info));
    }
  }
  return mapped;
}

}  // namespace vmattest::rpc
