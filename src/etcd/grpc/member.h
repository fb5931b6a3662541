#ifndef VMATTEST_ETCD_GRPC_MEMBER_H_
#define VMATTEST_ETCD_GRPC_MEMBER_H_

#include <atomic>
#include <memory>
#include <string>

#include "etcd/grpc/sentinel.h"
#include "etcdserverpb/rpc.grpc.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

namespace vmattest::etcd {

// One endpoint. Any thread.
class GrpcKeyValues::Member {
 public:
  Member(std::string endpoint, std::shared_ptr<grpc::Channel> channel);

  // Connected, and of a version that may be used: asked again after a call
  // failed. UNAVAILABLE: not now. `patient`: waits out the pause between tries
  // to connect, since no other endpoint is better.
  absl::Status Ready(Sentinel& sentinel, bool allow_unsafe_version,
                     bool patient, MonotonicTime deadline);
  // After a call; its error with the endpoint's name.
  absl::Status Finished(const grpc::Status& status);

  const std::string endpoint;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<etcdserverpb::KV::Stub> kv;
  const std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  const std::unique_ptr<etcdserverpb::Lease::Stub> lease;

 private:
  absl::Status Connect(bool patient, MonotonicTime deadline);

  const std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance_;
  std::atomic<bool> checked_ = false;
};

// A member that lost its leader refuses instead of hanging; a dead channel
// wakes up (grpc/grpc issue 28866).
void Prepare(grpc::ClientContext& context, MonotonicTime deadline);

}  // namespace vmattest::etcd

#endif  // VMATTEST_ETCD_GRPC_MEMBER_H_
