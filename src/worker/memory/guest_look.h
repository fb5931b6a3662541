#ifndef VMATTEST_WORKER_MEMORY_GUEST_LOOK_H_
#define VMATTEST_WORKER_MEMORY_GUEST_LOOK_H_

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "linuxguest/inspection.h"
#include "linuxguest/kernel.h"
#include "linuxguest/regions.h"
#include "memory/vcpu_state.h"
#include "vmattest/internal/worker.pb.h"
#include "worker/memory/code_check.h"

namespace vmattest::worker {

// One look at what a guest's memory means: its kernel, what a policy selects
// there, and what no healthy kernel shows. Whatever the guest wrote is an
// answer, in bounded time and memory (linuxguest/limits.h); an error means that
// the guest is gone. One thread.
class GuestLook {
 public:
  // `ram` outlives it, and stays what it is.
  explicit GuestLook(std::unique_ptr<memory::GuestMemory> ram)
      : ram_(std::move(ram)) {}

  // `cpus`: registers of all vCPUs, or none if nobody tells them.
  absl::StatusOr<internal::WorkerReply::GuestMeaning> Look(
      const internal::LookAtGuest& request,
      std::span<const memory::VcpuState> cpus, const CodeFiles& files);
  // Of each region how many parts are not where Look() found them.
  absl::StatusOr<internal::WorkerReply::Moved> LookAgain();

 private:
  using Resolutions = std::vector<std::vector<linuxguest::Region>>;
  absl::Status Understand(const internal::LookAtGuest& request,
                          std::span<const memory::VcpuState> cpus,
                          const CodeFiles& files,
                          internal::WorkerReply::GuestMeaning& meaning);
  absl::Status ResolveAll(const internal::LookAtGuest& request,
                          const linuxguest::Inspection& inspection,
                          internal::WorkerReply::GuestMeaning& meaning);
  absl::StatusOr<std::vector<linuxguest::Region>> Resolve(
      const internal::MeaningRegion& wanted, const linuxguest::Modules& modules,
      const linuxguest::Processes& processes, linuxguest::Resolution& said);

  const std::unique_ptr<memory::GuestMemory> ram_;
  std::optional<linuxguest::PhysicalReader> reader_;
  std::unique_ptr<linuxguest::Kernel> kernel_;
  internal::LookAtGuest request_;
  Resolutions found_;
};

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_MEMORY_GUEST_LOOK_H_
