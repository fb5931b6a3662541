#ifndef VMATTEST_RPC_STATUS_STATUS_MAPPING_H_
#define VMATTEST_RPC_STATUS_STATUS_MAPPING_H_

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "grpcpp/support/status.h"

// Between absl::Status and gRPC's, with google.rpc.Status details: every error
// that leaves the daemon carries one google.rpc.ErrorInfo with domain
// "vmattest" and a reason of docs/api.md. Pure; callable from any thread.

namespace vmattest::rpc {

inline constexpr std::string_view kErrorDomain = "vmattest";

struct ErrorInfo {
  std::string reason;  // UPPER_SNAKE, stable
  std::map<std::string, std::string> metadata;
  friend bool operator==(const ErrorInfo&, const ErrorInfo&) = default;
};

// `status` with its reason; the innermost reason wins.
absl::Status WithReason(absl::Status status, const ErrorInfo& info);

// INVALID_ARGUMENT "`field`: `why`", reason FIELD_INVALID, metadata field.
absl::Status FieldError(std::string_view field, std::string_view why);

// What `status` carries, or the general reason of its code.
ErrorInfo ReasonOf(const absl::Status& status);

grpc::Status ToGrpc(const absl::Status& status);
// A peer's status, its ErrorInfo kept. Details that do not parse are dropped.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_STATUS_STATUS_MAPPING_H_
