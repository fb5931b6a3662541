#ifndef VMATTEST_GUESTCHANNEL_WORKER_WORKER_REQUEST_PARSER_H_
#define VMATTEST_GUESTCHANNEL_WORKER_WORKER_REQUEST_PARSER_H_

#include <chrono>

#include "guestchannel/request_parser.h"
#include "inspection/worker/worker_pool.h"

namespace vmattest::guestchannel {

// A process that can do nothing else for each request: what a guest does to its
// parser reaches no other guest.
class WorkerRequestParser final : public RequestParser {
 public:
  // `pool` runs vmattest-header-worker and must outlive the parser.
  explicit WorkerRequestParser(
      inspection::WorkerPool& pool,
      std::chrono::milliseconds timeout = std::chrono::seconds(5))
      : pool_(pool), timeout_(timeout) {}

  // DATA_LOSS: the answer cannot be of a parser of ours. UNAVAILABLE,
  // DEADLINE_EXCEEDED: the process died, or took too long.
  [[nodiscard]] absl::StatusOr<Request> Parse(ByteView payload) override;

 private:
  inspection::WorkerPool& pool_;
  const std::chrono::milliseconds timeout_;
};

// `options` with the limits that requests need: two processes, one started
// ahead, 64 MiB, 2 s of processor time.
inspection::WorkerPoolOptions ForGuestRequests(
    inspection::WorkerPoolOptions options);

}  // namespace vmattest::guestchannel

#endif  // VMATTEST_GUESTCHANNEL_WORKER_WORKER_REQUEST_PARSER_H_
