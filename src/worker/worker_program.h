#ifndef VMATTEST_WORKER_WORKER_PROGRAM_H_
#define VMATTEST_WORKER_WORKER_PROGRAM_H_

#include <functional>
#include <string>
#include <vector>

#include "base/handles.h"
#include "base/status.h"
#include "vmattest/internal/worker.pb.h"

// Children of vmattestd that read what guests wrote (rule S25,
// docs/processes.md): descriptors in, bounded results out, nothing else.

namespace vmattest::worker {

struct WorkerProgram {
  std::string name;
  // Runs first of all, with one thread: may start a helper. Its result is the
  // descriptor of messages to that, which the sandbox leaves usable. May be
  // empty.
  std::function<absl::StatusOr<int>()> begin;
  // What libraries load on first use; runs before the sandbox is entered.
  std::function<void()> prepare;
  // It may map files that it is handed.
  bool maps_files = false;
  // Requests after the first are answered, too; else the process ends.
  bool serves_many = false;

  using SendProgress = std::function<void(uint64_t bytes)>;
  std::function<absl::StatusOr<internal::WorkerReply>(
      const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
      const SendProgress& progress)>
      handle;
};

// The whole of main(): enters the sandbox before it reads anything, then
// answers requests on ipc::kChannelFd until its parent closes that. 0: ended as
// asked; 1: the parent sent what is no request, or the sandbox could not be
// entered; 2: usage, and when nobody is at the other end.
int RunWorker(int argc, char** argv, const WorkerProgram& program);

// vmattest-header-worker's work: ParseHeader.
absl::StatusOr<internal::WorkerReply> HandleParseHeader(
    const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors);
// And what a guest sent, of a process of its own: ParseGuestRequest.
absl::StatusOr<internal::WorkerReply> HandleParseGuestRequest(
    const internal::WorkerRequest& request);

// vmattest-worker's work: InspectDisk, and ParseHeader too.
void PrepareInspectDisk();
absl::StatusOr<internal::WorkerReply> HandleInspectDisk(
    const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
    const WorkerProgram::SendProgress& progress);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_WORKER_PROGRAM_H_
