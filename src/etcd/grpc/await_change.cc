#include "etcd/grpc/members.h"
#include "fmt/format.h"

// The part of GrpcKeyValues that watches.

namespace vmattest::etcd {
namespace {

namespace pb = etcdserverpb;

enum class Heard : uint8_t { kChange, kNothing };

// Reads until something changed, or the stream ends.
Heard Listen(
    grpc::ClientReaderWriter<pb::WatchRequest, pb::WatchResponse>& stream) {
  pb::WatchResponse response;
  while (stream.Read(&response)) {
    if (response.events_size() > 0 || response.compact_revision() != 0) {
      return Heard::kChange;
    }
    if (response.canceled()) {
      return Heard::kNothing;
    }
  }
  return Heard::kNothing;
}

}  // namespace

absl::StatusOr<bool> GrpcKeyValues::AwaitChange(const std::string& key,
                                                const std::string& end,
                                                int64_t revision,
                                                MonotonicTime deadline) {
  pb::WatchRequest request;
  pb::WatchCreateRequest& create = *request.mutable_create_request();
  create.set_key(key);
  create.set_range_end(end);
  create.set_start_revision(revision + 1);
  while (std::chrono::steady_clock::now() < deadline) {
    const absl::StatusOr<Member*> member = members_->Pick(deadline);
    if (!member.ok()) {
      return absl::IsUnavailable(member.status()) ||
                     absl::IsDeadlineExceeded(member.status())
                 ? absl::StatusOr<bool>(false)
                 : Annotate(member.status(),
                            fmt::format("watching {}", Printable(key)));
    }
    grpc::ClientContext context;
    // A member that hangs says nothing: another is asked now and then.
    Prepare(context, members_->AttemptEnd(deadline));
    const auto stream = (*member)->watch->Watch(&context);
    stream->Write(request);
    const Heard heard = Listen(*stream);
    context.TryCancel();
    const grpc::Status status = stream->Finish();
    if (heard == Heard::kChange) {
      return true;
    }
    if (status.error_code() == grpc::StatusCode::PERMISSION_DENIED) {
      return (*member)->Finished(status);
    }
    members_->Leave(**member);
  }
  return false;
}

}  // namespace vmattest::etcd
