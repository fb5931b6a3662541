#include "rpc/client/grpc_ledger.h"

#include <algorithm>
#include <utility>

#include "grpcpp/client_context.h"
#include "rpc/client/call_deadline.h"
#include "rpc/status/status_mapping.h"
#include "vmattest/v1/ledger.grpc.pb.h"

namespace vmattest::rpc {
namespace {

// With several nodes, so that a silent one leaves time for another.
constexpr std::chrono::seconds kOneOfMany{3};

bool IsForAnother(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) ||
         absl::IsDeadlineExceeded(status);
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcLedger>> GrpcLedger::Create(
    const std::vector<std::string>& addresses, const ClientTls& tls,
    std::unique_ptr<ledger::CheckpointFollower> follower) {
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (const std::string& address : addresses) {
    ASSIGN_OR_RETURN(channels.emplace_back(), TlsChannel(address, tls));
  }
  return std::unique_ptr<GrpcLedger>(
      new GrpcLedger(std::move(channels), std::move(follower)));
}

template <class Request, class Response, class Method>
absl::Status GrpcLedger::Call(Method method, const Request& request,
                              Response& response, MonotonicTime deadline) {
  absl::Status status;
  for (size_t tried = 0; tried < channels_.size(); ++tried) {
    const size_t index = next_ % channels_.size();
    const auto stub = v1::Ledger::NewStub(channels_[index]);
    grpc::ClientContext context;
    // Without it a channel that broke may stay broken (gRPC 1.51).
    context.set_wait_for_ready(true);
    const MonotonicTime until =
        channels_.size() == 1
            ? deadline
            : std::min(deadline, std::chrono::steady_clock::now() + kOneOfMany);
    context.set_deadline(CallDeadline(until));
    response = {};
    status = FromGrpc((stub.get()->*method)(&context, request, &response));
    if (!IsForAnother(status)) {
      return status;
    }
    size_t expected = index;
    next_.compare_exchange_strong(expected, index + 1);
    if (std::chrono::steady_clock::now() >= deadline) {
      break;
    }
  }
  return absl::IsDeadlineExceeded(status)
             ? absl::UnavailableError("no ledger node answers in time")
             : status;
}

absl::StatusOr<outbox::LedgerPort::Answer> GrpcLedger::Submit(
    const Bytes& entry, MonotonicTime deadline) {
  v1::SubmitRequest request;
  request.set_entry(entry.data(), entry.size());
  v1::SubmitResponse response;
  RETURN_IF_ERROR(Call(&v1::Ledger::Stub::Submit, request, response, deadline));
  Answer answer{.refusal = {},
                .index = response.index(),
                .time_ms = response.time_unix_ms()};
  if (!response.committed()) {
    answer.refusal = Reason{.code = response.refusal().code(),
                            .element = response.refusal().element(),
                            .expected = response.refusal().expected(),
                            .found = response.refusal().found()};
  }
  return answer;
}

absl::StatusOr<outbox::LedgerPort::Writer> GrpcLedger::GetWriter(
    const std::string& writer, MonotonicTime deadline) {
  v1::GetWriterRequest request;
  request.set_writer(writer);
  v1::GetWriterResponse response;
  RETURN_IF_ERROR(
      Call(&v1::Ledger::Stub::GetWriter, request, response, deadline));
  Writer found{.sequence = response.sequence(),
               .last_hash = ToBytes(response.last_hash()),
               .authorised = response.authorised(),
               .key_spki = ToBytes(response.key_spki()),
               .running = {},
               .tick = response.tick()};
  for (const std::string& field : response.running()) {
    Uuid& vm = found.running.emplace_back();
    if (field.size() != vm.bytes.size()) {
      return absl::InternalError("GetWriter: a VM that is none");
    }
    std::copy(field.begin(), field.end(), vm.bytes.begin());
  }
  return found;
}

absl::StatusOr<v1::GetTrustResponse> GrpcLedger::GetTrust(
    const std::string& vm_uuid, MonotonicTime deadline) {
  v1::GetTrustRequest request;
  request.set_vm_uuid(vm_uuid);
  v1::GetTrustResponse response;
  RETURN_IF_ERROR(
      Call(&v1::Ledger::Stub::GetTrust, request, response, deadline));
  return response;
}

absl::StatusOr<outbox::LedgerPort::Vm> GrpcLedger::GetVm(
    const Uuid& vm, MonotonicTime deadline) {
  ASSIGN_OR_RETURN(const v1::GetTrustResponse trust,
                   GetTrust(vmattest::ToString(vm), deadline));
  return Vm{.newest_hash = ToBytes(trust.newest_hash()),
            .home = trust.home(),
            .leaving_to = trust.leaving_to(),
            .epoch = trust.epoch(),
            .running = trust.running()};
}

absl::StatusOr<outbox::LedgerPort::Size> GrpcLedger::GetSize(
    MonotonicTime deadline) {
  v1::GetCheckpointResponse response;
  RETURN_IF_ERROR(Call(&v1::Ledger::Stub::GetCheckpoint,
                       v1::GetCheckpointRequest(), response, deadline));
  Size size{.committed = response.committed(),
            .witnessed = response.witnessed()};
  if (follower_ == nullptr) {
    return size;
  }
  size.witnessed = 0;
  if (response.checkpoint().empty()) {
    return size;
  }
  const auto read_proof =
      [&](uint64_t old_size,
          uint64_t new_size) -> absl::StatusOr<std::vector<Bytes>> {
    v1::GetConsistencyProofRequest request;
    request.set_old_size(old_size);
    request.set_size(new_size);
    v1::GetConsistencyProofResponse proof;
    RETURN_IF_ERROR(
        Call(&v1::Ledger::Stub::GetConsistencyProof, request, proof, deadline));
    std::vector<Bytes> path;
    for (const std::string& hash : proof.path()) {
      path.push_back(ToBytes(hash));
    }
    return path;
  };
  const absl::StatusOr<uint64_t> believed =
      follower_->Take(response.checkpoint(), read_proof);
  if (absl::IsDataLoss(believed.status())) {
    return believed.status();
  }
  size.witnessed = believed.value_or(0);
  size.doubt = Annotate(believed.status(), "the ledger's checkpoint");
  return size;
}

}  // namespace vmattest::rpc
