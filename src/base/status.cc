#include "base/status.h"

#include <cerrno>
#include <system_error>

#include "fmt/format.h"

namespace vmattest {

absl::Status Annotate(const absl::Status& status, std::string_view clause) {
  if (status.ok()) {
    return status;
  }
  const std::string_view message(status.message().data(),
                                 status.message().size());
  absl::Status annotated(status.code(), fmt::format("{}: {}", clause, message));
  status.ForEachPayload([&](auto type_url, const auto& payload) {
    annotated.SetPayload(type_url, payload);
  });
  return annotated;
}

absl::Status ErrnoStatus(int error, std::string_view clause) {
  absl::StatusCode code = absl::StatusCode::kInternal;
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      code = absl::StatusCode::kNotFound;
      break;
    case EACCES:
    case EPERM:
      code = absl::StatusCode::kPermissionDenied;
      break;
    case ENOSPC:
    case EMFILE:
    case ENFILE:
      code = absl::StatusCode::kResourceExhausted;
      break;
    case EAGAIN:
    case ECONNREFUSED:
    case ETXTBSY:
      code = absl::StatusCode::kUnavailable;
      break;
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      code = absl::StatusCode::kInvalidArgument;
      break;
    default:
      break;
  }
  return absl::Status(
      code,
      fmt::format("{}: {}", clause, std::generic_category().message(error)));
}

}  // namespace vmattest
