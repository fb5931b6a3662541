#ifndef VMATTEST_MEMORY_WORKER_OPEN_GUEST_H_
#define VMATTEST_MEMORY_WORKER_OPEN_GUEST_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/handles.h"
#include "hypervisor/guest_control.h"
#include "inspection/worker/worker_pool.h"
#include "kvm/process_watch.h"
#include "memory/guest_measurer.h"
#include "memory/linux/process_ram.h"
#include "memory/linux/ram_block.h"
#include "memory/ram_layout.h"

namespace vmattest::memory {

// What the definition of a VM that runs says of its memory now. NOT_FOUND: it
// does not run.
using DescribeMemory =
    std::function<absl::StatusOr<DomainMemory>(const Uuid& vm)>;

// A guest and the worker that reads it. One thread.
class OpenGuest final : public MeasuredGuest {
 public:
  struct Limits {
    std::filesystem::path proc;
    size_t threads = 2;
    uint64_t max_peek_bytes = 0;
    // For SaveMoment(): where its FIFO is made, which the hypervisor must see;
    // pages that are kept, 0: none may be.
    std::filesystem::path streams;
    uint64_t max_saved_bytes = 0;
    std::filesystem::path
        modules;  // CollectModuleFiles'; empty: there are none
    // For peeking; may be empty if the guest has no memory devices.
    DescribeMemory describe;
  };
  OpenGuest(Guest guest, hypervisor::GuestControl& control, Limits limits)
      : guest_(std::move(guest)),
        control_(control),
        limits_(std::move(limits)) {}

  [[nodiscard]] std::vector<AddressRange> ram(bool rom_shadow) const override {
    return RamOf(layout_, rom_shadow);
  }
  [[nodiscard]] std::string reader() const override {
    return saved_.valid() ? "saved-state" : reader_;
  }
  [[nodiscard]] std::string run() const override { return run_; }
  [[nodiscard]] std::string map_proof() const override { return proof_; }
  [[nodiscard]] std::vector<std::string> notes() const override;
  absl::StatusOr<GuestMeaning> Understand(const MeaningRequest& request,
                                          const MeasureCall& call) override;
  absl::StatusOr<std::vector<uint64_t>> CountMoved(
      const MeasureCall& call) override;
  absl::Status PrepareCopy(const MeasurePlan& plan,
                           const MeasureCall& call) override;
  absl::StatusOr<bool> Copy(const MeasurePlan& plan,
                            std::chrono::microseconds budget,
                            const MeasureCall& call) override;
  absl::StatusOr<SavedMoment> SaveMoment(const MeasureCall& call) override;
  absl::StatusOr<std::vector<MeasuredRegion>> Measure(
      const MeasurePlan& plan, const MeasureCall& call) override;

  // Names the other processes that have its memory mapped now; until it is
  // called again notes() has these.
  void LookForMappers();
  // Gives the memory of a saved moment back.
  void ForgetMoment();
  // OK while it is the same process and its memory is where it was. Of who
  // peeks this asks nothing.
  [[nodiscard]] absl::Status CheckAlive() const;

 private:
  friend class WorkerMeasurer;
  [[nodiscard]] bool peeks() const { return peeked_.valid(); }
  absl::StatusOr<internal::WorkerReply> Ask(
      const internal::WorkerRequest& request, const MeasureCall& call);
  absl::StatusOr<GuestMeaning> Look(const MeaningRequest& request,
                                    const MeasureCall& call);
  // With the files of the modules that it has: once more if it has others than
  // before.
  absl::StatusOr<GuestMeaning> LookWithModules(const MeaningRequest& request,
                                               const MeasureCall& call);
  absl::StatusOr<std::vector<uint8_t>> FetchDigests(uint32_t region,
                                                    uint64_t pages,
                                                    size_t digest_size,
                                                    const MeasureCall& call);
  // Into `peeked_`, until `until`: whether all of it.
  absl::StatusOr<bool> Peek(const MeasurePlan& plan, MonotonicTime until,
                            const MeasureCall& call);
  // By its definition: UNAVAILABLE if it lacks a device that was peeked at.
  [[nodiscard]] absl::Status CheckPeeked() const;

  const Guest guest_;
  hypervisor::GuestControl& control_;
  const Limits limits_;
  kvm::ProcessId process_;
  std::string run_;
  RamLayout layout_;
  std::string reader_;
  std::string proof_;
  bool sure_ = true;  // false: where its blocks are is to be proved again
  std::vector<std::string> notes_;
  std::vector<RamSource> blocks_;  // in the layout's order, until attached
  std::vector<MappedRam> mapped_;  // in the layout's order
  std::set<FileId> files_;         // that are its memory
  std::vector<std::string> mappers_;
  size_t regions_looked_at_ = 0;
  // Of the last look.
  std::string release_;
  std::vector<std::string> modules_;
  UniqueFd peeked_;  // a file with what was shown, at the guest's addresses
  std::vector<AddressRange> peeked_ranges_;
  UniqueFd saved_;  // the pages of a saved moment, while there is one
  std::unique_ptr<inspection::Worker> worker_;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_WORKER_OPEN_GUEST_H_
