#ifndef VMATTEST_RPC_ENROLLMENT_SERVICE_H_
#define VMATTEST_RPC_ENROLLMENT_SERVICE_H_

#include <string_view>

#include "rpc/authorizer.h"
#include "rpc/run_on.h"
#include "rpc/verification_parts.h"
#include "vmattest/v1/enrollment.grpc.pb.h"

namespace vmattest::rpc {

// vmattest.v1.Enrollment for one listener. Handlers run on gRPC's threads and
// never block: authorise, hand over. A host speaks as its certificate's URI,
// to which its first enrolment bound it.
class EnrollmentService final : public v1::Enrollment::CallbackService {
 public:
  // `authorizer` and everything in `parts` must outlive the service.
  EnrollmentService(const VerificationParts& parts,
                    const Authorizer& authorizer)
      : parts_(parts), authorizer_(authorizer) {}

  grpc::ServerUnaryReactor* BeginEnrollment(
      grpc::CallbackServerContext* context,
      const v1::BeginEnrollmentRequest* request,
      v1::BeginEnrollmentResponse* response) override;
  grpc::ServerUnaryReactor* CompleteEnrollment(
      grpc::CallbackServerContext* context,
      const v1::CompleteEnrollmentRequest* request,
      v1::CompleteEnrollmentResponse* response) override;
  grpc::ServerUnaryReactor* UpdateKeys(
      grpc::CallbackServerContext* context,
      const v1::UpdateKeysRequest* request,
      v1::UpdateKeysResponse* response) override;
  grpc::ServerUnaryReactor* ListHosts(grpc::CallbackServerContext* context,
                                      const v1::ListHostsRequest* request,
                                      v1::ListHostsResponse* response) override;
  grpc::ServerUnaryReactor* GetHost(grpc::CallbackServerContext* context,
                                    const v1::GetHostRequest* request,
                                    v1::GetHostResponse* response) override;
  grpc::ServerUnaryReactor* ApproveHost(
      grpc::CallbackServerContext* context,
      const v1::ApproveHostRequest* request,
      v1::ApproveHostResponse* response) override;
  grpc::ServerUnaryReactor* AllowRebind(
      grpc::CallbackServerContext* context,
      const v1::AllowRebindRequest* request,
      v1::AllowRebindResponse* response) override;
  grpc::ServerUnaryReactor* RevokeHost(
      grpc::CallbackServerContext* context,
      const v1::RevokeHostRequest* request,
      v1::RevokeHostResponse* response) override;

 private:
  // `work` gets the caller's authority and its own copy of the request.
  template <class Request, class Response, class Work>
  grpc::ServerUnaryReactor* Run(const grpc::CallbackServerContext& context,
                                std::string_view method, const Request& request,
                                Response* response, Work work);

  const VerificationParts parts_;
  const Authorizer& authorizer_;
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_ENROLLMENT_SERVICE_H_
