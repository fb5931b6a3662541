#ifndef VMATTEST_RPC_MEMORY_SERVICE_H_
#define VMATTEST_RPC_MEMORY_SERVICE_H_

#include <string_view>

#include "capture/capturer.h"
#include "rpc/authorizer.h"
#include "rpc/run_on.h"
#include "rpc/server.h"
#include "vmattest/v1/memory.grpc.pb.h"

namespace vmattest::rpc {

// vmattest.v1.Memory for one listener. Handlers run on gRPC's threads and never
// block.
class MemoryService final : public v1::Memory::CallbackService {
 public:
  struct Parts {
    capture::Capturer& capturer;
    Executor& requests;
    const Clock& clock;
    // How far a caller's timestamp may be from ours.
    std::chrono::milliseconds tolerance = std::chrono::minutes(2);
  };
  // Everything must outlive the service.
  MemoryService(const Parts& parts, const Authorizer& authorizer)
      : parts_(parts), authorizer_(authorizer) {}

  grpc::ServerWriteReactor<v1::CaptureSnapshotResponse>* CaptureSnapshot(
      grpc::CallbackServerContext* context,
      const v1::CaptureSnapshotRequest* request) override;
  grpc::ServerWriteReactor<v1::GetSnapshotResponse>* GetSnapshot(
      grpc::CallbackServerContext* context,
      const v1::GetSnapshotRequest* request) override;
  grpc::ServerUnaryReactor* ListSnapshots(
      grpc::CallbackServerContext* context,
      const v1::ListSnapshotsRequest* request,
      v1::ListSnapshotsResponse* response) override;
  grpc::ServerUnaryReactor* AttestState(
      grpc::CallbackServerContext* context,
      const v1::AttestStateRequest* request,
      v1::AttestStateResponse* response) override;
  grpc::ServerUnaryReactor* ListSnapshotPolicies(
      grpc::CallbackServerContext* context,
      const v1::ListSnapshotPoliciesRequest* request,
      v1::ListSnapshotPoliciesResponse* response) override;
  grpc::ServerUnaryReactor* EstimateSnapshot(
      grpc::CallbackServerContext* context,
      const v1::EstimateSnapshotRequest* request,
      v1::EstimateSnapshotResponse* response) override;

 private:
  [[nodiscard]] absl::StatusOr<Authority> Authorize(
      const grpc::CallbackServerContext& context,
      std::string_view method) const;
  // Blocks on libvirt. PERMISSION_DENIED also for what does not exist, where
  // the caller may not see all.
  absl::StatusOr<hypervisor::Domain> FindVm(const Authority& authority,
                                            const std::string& vm);
  // Finds the VM on `requests`, then captures; any failure goes to `done`.
  void CaptureFor(const Authority& authority, capture::CaptureRequest request,
                  capture::Capturer::Done done);

  const Parts parts_;
  const Authorizer& authorizer_;
};

// The service, for Server.
ServiceMaker MemoryServices(const MemoryService::Parts& parts);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_MEMORY_SERVICE_H_
