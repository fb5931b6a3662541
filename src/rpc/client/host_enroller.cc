#include "rpc/client/host_enroller.h"

#include "enrollment/credential.h"
#include "fmt/format.h"
#include "grpcpp/client_context.h"
#include "rpc/status/status_mapping.h"
#include "vmattest/v1/enrollment.grpc.pb.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmattest::rpc {
namespace {

constexpr std::chrono::hours kAgain{1};
constexpr std::chrono::minutes kAfterFailure{1};

absl::Status SetIdentity(const Bytes& bytes, v1::HostIdentity& identity) {
  return identity.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))
             ? absl::OkStatus()
             : absl::InternalError("host identity does not parse");
}

void SetLimit(grpc::ClientContext& context, std::chrono::milliseconds limit) {
  context.set_deadline(std::chrono::system_clock::now() + limit);
}

}  // namespace

absl::Status HostEnroller::Try(std::chrono::milliseconds limit) {
  const signing::SignerState state = signer_.state();
  if (!state.identity) {
    return absl::UnavailableError("the TPM's keys are not known yet");
  }
  const Bytes bytes = wire::EncodeHostIdentity(*state.identity);
  if (bytes == told_ && next_ && clock_.Monotonic() < *next_) {
    return last_;
  }
  last_ = Tell(bytes, limit);
  told_ = bytes;
  next_ =
      clock_.Monotonic() + (last_.ok() ? std::chrono::seconds(kAgain)
                                       : std::chrono::seconds(kAfterFailure));
  return last_;
}

absl::Status HostEnroller::Tell(const Bytes& bytes,
                                std::chrono::milliseconds limit) {
  const auto stub = v1::Enrollment::NewStub(channel_);
  grpc::ClientContext context;
  SetLimit(context, limit);
  v1::UpdateKeysRequest request;
  RETURN_IF_ERROR(SetIdentity(bytes, *request.mutable_identity()));
  v1::UpdateKeysResponse response;
  const absl::Status updated =
      FromGrpc(stub->UpdateKeys(&context, request, &response));
  // Not known there, or with another AK, or to be let in again.
  if (absl::IsNotFound(updated) || absl::IsFailedPrecondition(updated)) {
    return Enroll(bytes, limit);
  }
  return updated;
}

absl::Status HostEnroller::Enroll(const Bytes& bytes,
                                  std::chrono::milliseconds limit) {
  const auto stub = v1::Enrollment::NewStub(channel_);
  v1::BeginEnrollmentResponse challenge;
  {
    grpc::ClientContext context;
    SetLimit(context, limit);
    v1::BeginEnrollmentRequest request;
    RETURN_IF_ERROR(SetIdentity(bytes, *request.mutable_identity()));
    RETURN_IF_ERROR(
        FromGrpc(stub->BeginEnrollment(&context, request, &challenge)));
  }
  ASSIGN_OR_RETURN(
      const SecretBytes secret,
      signer_.ActivateCredential(ToBytes(challenge.credential_blob()),
                                 ToBytes(challenge.encrypted_secret())));
  grpc::ClientContext context;
  SetLimit(context, limit);
  v1::CompleteEnrollmentRequest request;
  request.set_challenge_id(challenge.challenge_id());
  request.set_proof(wire::ToField(enrollment::EnrollmentProof(secret, bytes)));
  v1::CompleteEnrollmentResponse response;
  RETURN_IF_ERROR(
      FromGrpc(stub->CompleteEnrollment(&context, request, &response)));
  if (response.host().state() != "enrolled") {
    return absl::FailedPreconditionError(
        fmt::format("the verifier has this host as {}: an operator approves "
                    "it (vmattest hosts approve)",
                    response.host().state()));
  }
  return absl::OkStatus();
}

}  // namespace vmattest::rpc
