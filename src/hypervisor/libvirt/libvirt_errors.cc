#include "hypervisor/libvirt/libvirt_errors.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <string>

#include "fmt/format.h"

namespace vmattest::hypervisor {
namespace {

absl::StatusCode CodeOf(const virError& error) {
  switch (error.code) {
    case VIR_ERR_NO_DOMAIN:
      return absl::StatusCode::kNotFound;
    case VIR_ERR_NO_CONNECT:
    case VIR_ERR_INVALID_CONN:
    case VIR_ERR_RPC:
    case VIR_ERR_SYSTEM_ERROR:
      return absl::StatusCode::kUnavailable;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED:
      return absl::StatusCode::kPermissionDenied;
    case VIR_ERR_OPERATION_INVALID:
    case VIR_ERR_NO_SUPPORT:
      return absl::StatusCode::kFailedPrecondition;
    case VIR_ERR_INVALID_ARG:
      return absl::StatusCode::kInvalidArgument;
    case VIR_ERR_OPERATION_TIMEOUT:
      return absl::StatusCode::kDeadlineExceeded;
    case VIR_ERR_INTERNAL_ERROR:
      // "client socket is closed" and its like come as internal errors of the
      // transport.
      return error.domain == VIR_FROM_RPC || error.domain == VIR_FROM_REMOTE
                 ? absl::StatusCode::kUnavailable
                 : absl::StatusCode::kInternal;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status LibvirtStatus(std::string_view clause) {
  const virErrorPtr error = virGetLastError();
  if (error == nullptr || error->code == VIR_ERR_OK) {
    return absl::InternalError(
        fmt::format("{}: libvirt failed and gave no reason", clause));
  }
  return {CodeOf(*error),
          fmt::format("{}: {}", clause,
                      error->message == nullptr ? "" : error->message)};
}

}  // namespace vmattest::hypervisor
