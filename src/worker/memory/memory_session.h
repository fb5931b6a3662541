#ifndef VMATTEST_WORKER_MEMORY_MEMORY_SESSION_H_
#define VMATTEST_WORKER_MEMORY_MEMORY_SESSION_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/handles.h"
#include "base/secret_bytes.h"
#include "base/status.h"
#include "memory/vcpu_state.h"
#include "vmattest/internal/worker.pb.h"
#include "worker/memory/guest_look.h"
#include "worker/memory/page_measurer.h"
#include "worker/worker_program.h"

namespace vmattest::worker {

// vmattest-memory-worker's work: all requests about one guest. One thread calls
// it; it uses more. The key of its tags is its own and dies with it, as the
// tags do.
class MemorySession {
 public:
  MemorySession();

  absl::StatusOr<internal::WorkerReply> Handle(
      const internal::WorkerRequest& request, std::vector<UniqueFd> descriptors,
      const WorkerProgram::SendProgress& progress);

 private:
  absl::StatusOr<internal::WorkerReply> Attach(
      const internal::AttachMemory& request, std::vector<UniqueFd> descriptors);
  absl::StatusOr<internal::WorkerReply> Copy(
      const internal::CopyMemory& request);
  absl::StatusOr<internal::WorkerReply> Measure(
      const internal::MeasureMemory& request,
      const WorkerProgram::SendProgress& progress);
  absl::StatusOr<internal::WorkerReply> ReadSaved(
      const internal::ReadSavedState& request,
      std::vector<UniqueFd> descriptors);
  absl::StatusOr<internal::WorkerReply> Fetch(
      const internal::FetchDigests& request) const;
  absl::StatusOr<internal::WorkerReply> Look(
      const internal::LookAtGuest& request, std::vector<UniqueFd> descriptors);
  absl::StatusOr<internal::WorkerReply> LookAgain();
  // What is known of that region from before, or a new one.
  RegionPages& RegionOf(const internal::MeasureMemory& request, int number);

  const SecretBytes key_;
  RamBlocks blocks_;
  // Of the moment that was saved last: all blocks in one, and its registers.
  RamBlocks saved_;
  std::vector<memory::VcpuState> vcpus_;
  std::unique_ptr<GuestCopy> copy_;
  std::unique_ptr<GuestLook> look_;  // between Look and LookAgain
  // By algorithm, page size and addresses.
  std::map<std::string, std::unique_ptr<RegionPages>> kept_;
  std::vector<RegionPages*> last_;
};

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_MEMORY_MEMORY_SESSION_H_
