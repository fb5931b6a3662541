#include "guestchannel/worker/worker_request_parser.h"

#include <utility>

namespace vmattest::guestchannel {
namespace {

constexpr size_t kWorkers = 2;
constexpr uint64_t kMemory = uint64_t{64} << 20;
constexpr std::chrono::seconds kCpuTime{2};
constexpr size_t kMaxReply = 8192;

}  // namespace

inspection::WorkerPoolOptions ForGuestRequests(
    inspection::WorkerPoolOptions options) {
  options.max_workers = kWorkers;
  options.spares = 1;
  options.memory_bytes = kMemory;
  options.data_bytes.reset();
  options.cpu_time = kCpuTime;
  options.max_reply = kMaxReply;
  options.own_namespaces = false;
  return options;
}

absl::StatusOr<Request> WorkerRequestParser::Parse(ByteView payload) {
  internal::WorkerRequest request;
  request.set_parse_guest_request(payload.data(), payload.size());
  inspection::WorkerCall call;
  call.deadline = std::chrono::steady_clock::now() + timeout_;
  ASSIGN_OR_RETURN(const internal::WorkerReply reply,
                   pool_.Run(request, {}, call));
  Request parsed;
  parsed.id = ToBytes(reply.guest_request().id());
  if (reply.guest_request().has_snapshot()) {
    const internal::WorkerReply::GuestRequest::Snapshot& snapshot =
        reply.guest_request().snapshot();
    parsed.body = SnapshotRequest{.policy = snapshot.policy(),
                                  .nonce = ToBytes(snapshot.nonce())};
  }
  if (!reply.has_guest_request() || !CheckRequest(parsed).ok()) {
    return absl::DataLossError(
        "the worker's answer is none of a parser of requests");
  }
  return parsed;
}

}  // namespace vmattest::guestchannel
