#include "etcd/grpc/member.h"

#include <utility>

#include "fmt/format.h"
#include "rpc/client/call_deadline.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::etcd {
namespace {

bool IsTransport(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE ||
         status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ||
         status.error_code() == grpc::StatusCode::CANCELLED;
}

}  // namespace

GrpcKeyValues::Member::Member(std::string name,
                              std::shared_ptr<grpc::Channel> connection)
    : endpoint(std::move(name)),
      channel(std::move(connection)),
      kv(etcdserverpb::KV::NewStub(channel)),
      watch(etcdserverpb::Watch::NewStub(channel)),
      lease(etcdserverpb::Lease::NewStub(channel)),
      maintenance_(etcdserverpb::Maintenance::NewStub(channel)) {}

absl::Status GrpcKeyValues::Member::Connect(bool patient,
                                            MonotonicTime deadline) {
  const auto until = rpc::CallDeadline(deadline);
  auto state = channel->GetState(true);
  while (state != GRPC_CHANNEL_READY) {
    // Waiting here is what lets the channel make progress.
    if ((state == GRPC_CHANNEL_TRANSIENT_FAILURE && !patient) ||
        !channel->WaitForStateChange(state, until)) {
      return absl::UnavailableError(
          fmt::format("etcd at {}: cannot connect", endpoint));
    }
    state = channel->GetState(true);
  }
  return absl::OkStatus();
}

absl::Status GrpcKeyValues::Member::Ready(Sentinel& sentinel,
                                          bool allow_unsafe_version,
                                          bool patient,
                                          MonotonicTime deadline) {
  if (checked_ && channel->GetState(false) == GRPC_CHANNEL_READY) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(Connect(patient, deadline));
  grpc::ClientContext context;
  Prepare(context, deadline);
  etcdserverpb::StatusResponse response;
  RETURN_IF_ERROR(Finished(maintenance_->Status(&context, {}, &response)));
  RETURN_IF_ERROR_WITH(sentinel.AnsweredBy(response.header().cluster_id()),
                       fmt::format("etcd at {}", endpoint));
  if (!allow_unsafe_version) {
    RETURN_IF_ERROR_WITH(CheckVersion(response.version()),
                         fmt::format("etcd at {}", endpoint));
  }
  checked_ = true;
  return absl::OkStatus();
}

absl::Status GrpcKeyValues::Member::Finished(const grpc::Status& status) {
  if (IsTransport(status)) {
    checked_ = false;
  }
  return Annotate(rpc::FromGrpc(status), fmt::format("etcd at {}", endpoint));
}

void Prepare(grpc::ClientContext& context, MonotonicTime deadline) {
  context.set_deadline(rpc::CallDeadline(deadline));
  context.set_wait_for_ready(true);
  context.AddMetadata("hasleader", "true");
}

}  // namespace vmattest::etcd
