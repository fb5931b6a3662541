#ifndef VMATTEST_CLI_ATTESTATION_CLIENT_H_
#define VMATTEST_CLI_ATTESTATION_CLIENT_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "grpcpp/channel.h"
#include "vmattest/v1/admin.grpc.pb.h"
#include "vmattest/v1/attestation.grpc.pb.h"

namespace vmattest::cli {

// The daemon's services as functions: a deadline is always set, errors are
// absl::Status with the daemon's reason kept (rpc::ReasonOf). Blocks.
class AttestationClient {
 public:
  // `timeout` 0: 30 s, and 10 minutes for what reads images.
  AttestationClient(std::shared_ptr<grpc::Channel> channel,
                    std::chrono::seconds timeout);

  absl::StatusOr<v1::GetVmResponse> GetVm(const std::string& vm);
  // All pages in one.
  absl::StatusOr<v1::ListVmsResponse> ListVms();
  absl::StatusOr<v1::DiscloseLeafResponse> DiscloseLeaf(
      const v1::DiscloseLeafRequest& request);
  absl::StatusOr<v1::MeasureConfigResponse> MeasureConfig(
      const v1::MeasureConfigRequest& request);
  absl::StatusOr<v1::AttestConfigResponse> AttestConfig(
      const v1::AttestConfigRequest& request);
  absl::StatusOr<v1::HostIdentity> GetHostIdentity();
  absl::StatusOr<v1::GetStatusResponse> GetStatus();
  absl::StatusOr<v1::ListKeysResponse> ListKeys();
  absl::StatusOr<v1::RotateKeyResponse> RotateKey(v1::KeyPurpose purpose);
  absl::Status RevokeKey(v1::KeyPurpose purpose, uint32_t epoch);
  absl::StatusOr<v1::ReEnrollResponse> ReEnroll(const std::string& host_id);
  absl::StatusOr<v1::GetSealStatusResponse> GetSealStatus();
  absl::StatusOr<v1::ApproveBootResponse> ApproveBoot(
      const v1::ApproveBootRequest& request);

  absl::StatusOr<v1::StartVmResponse> StartVm(
      const v1::StartVmRequest& request);

  // The pieces put together. RESOURCE_EXHAUSTED: larger than a file may be.
  absl::StatusOr<v1::GetEventLogResponse> GetEventLog(
      const v1::GetEventLogRequest& request);

  // Calls `on_event` for each event until it returns false (then OK), the
  // stream ends, or the timeout, if one was given, is over.
  absl::Status WatchEvents(
      const v1::WatchEventsRequest& request,
      const std::function<bool(const v1::WatchEventsResponse&)>& on_event);

 private:
  std::chrono::seconds timeout_;
  std::unique_ptr<v1::Attestation::Stub> attestation_;
  std::unique_ptr<v1::Admin::Stub> admin_;
};

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_ATTESTATION_CLIENT_H_
