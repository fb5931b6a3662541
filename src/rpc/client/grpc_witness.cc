#include "rpc/client/grpc_witness.h"

#include <chrono>

#include "grpcpp/client_context.h"
#include "rpc/status/status_mapping.h"
#include "vmattest/v1/ledger.grpc.pb.h"

namespace vmattest::rpc {
namespace {

constexpr std::chrono::seconds kDeadline{1};

}  // namespace

absl::StatusOr<std::unique_ptr<ledger::WitnessClient>> GrpcWitness::Create(
    std::string name, const std::string& address, const ClientTls& tls) {
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel,
                   TlsChannel(address, tls));
  return std::unique_ptr<ledger::WitnessClient>(
      new GrpcWitness(std::move(name), std::move(channel)));
}

absl::StatusOr<tlog::WitnessReply> GrpcWitness::Add(
    const ledger::WitnessRequest& request) {
  v1::AddCheckpointRequest wire;
  wire.set_body(request.body);
  wire.set_newest_record(std::string(AsText(request.newest_record)));
  for (const Bytes& hash : request.inclusion_path) {
    wire.add_inclusion_path(std::string(AsText(hash)));
  }
  grpc::ClientContext context;
  // Without it a channel that broke may stay broken (gRPC 1.51).
  context.set_wait_for_ready(true);
  context.set_deadline(std::chrono::system_clock::now() + kDeadline);
  v1::AddCheckpointResponse answer;
  RETURN_IF_ERROR(FromGrpc(
      v1::Ledger::NewStub(channel_)->AddCheckpoint(&context, wire, &answer)));
  tlog::WitnessReply reply{.status = static_cast<int>(answer.status()),
                           .body = answer.body()};
  if (!answer.fork_proof().empty()) {
    ASSIGN_OR_RETURN(reply.fork, tlog::ParseForkProof(answer.fork_proof()));
  }
  return reply;
}

}  // namespace vmattest::rpc
