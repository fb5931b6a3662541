#include "guestchannel/protocol/messages.h"
#include "worker/worker_program.h"

namespace vmattest::worker {

absl::StatusOr<internal::WorkerReply> HandleParseGuestRequest(
    const internal::WorkerRequest& request) {
  ASSIGN_OR_RETURN(
      const guestchannel::Request parsed,
      guestchannel::ParseRequest(AsBytes(request.parse_guest_request())));
  internal::WorkerReply reply;
  internal::WorkerReply::GuestRequest& to = *reply.mutable_guest_request();
  to.set_id(std::string(AsText(parsed.id)));
  if (const auto* snapshot =
          std::get_if<guestchannel::SnapshotRequest>(&parsed.body)) {
    to.mutable_snapshot()->set_policy(snapshot->policy);
    to.mutable_snapshot()->set_nonce(std::string(AsText(snapshot->nonce)));
  }
  return reply;
}

}  // namespace vmattest::worker
