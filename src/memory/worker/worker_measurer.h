#ifndef VMATTEST_MEMORY_WORKER_WORKER_MEASURER_H_
#define VMATTEST_MEMORY_WORKER_WORKER_MEASURER_H_

#include <filesystem>
#include <functional>
#include <list>
#include <memory>

#include "base/mutex.h"
#include "hypervisor/guest_control.h"
#include "inspection/worker/worker_pool.h"
#include "memory/guest_measurer.h"
#include "memory/worker/open_guest.h"

namespace vmattest::memory {

// Measures guests with a vmattest-memory-worker for each (rule S25), which gets
// descriptors and addresses and gives back digests. How the memory is reached:
//
//   shared (memfd, hugetlbfs, file)   the file itself
//   anything else                     /proc/PID/mem, pages that exist
//   neither, or it is not clear       libvirt shows it, a hundred times slower
//   where RAM is
//
// A worker is kept for the next measurement of its guest, with its mappings and
// digests, while at most `max_kept` others were used since, and as long as the
// guest has what is mapped: a file that somebody has mapped keeps the host's
// memory, also when the guest gave it back.
class WorkerMeasurer final : public GuestMeasurer {
 public:
  struct Options {
    std::filesystem::path libvirt_run_dir = "/run/libvirt/qemu";
    std::filesystem::path proc = "/proc";
    size_t max_kept = 8;
    size_t threads = 2;  // of one worker
    uint64_t max_peek_bytes = uint64_t{1} << 30;
    // For moments (MeasuredGuest::SaveMoment): a folder that exists and that
    // the hypervisor sees under the same path, in which there is a FIFO named
    // as the VM's UUID meanwhile; how much of a guest's memory may be kept.
    std::filesystem::path streams;
    uint64_t max_saved_bytes = uint64_t{1} << 30;
    // Files of guests' modules, as /lib/modules; empty: there are none.
    std::filesystem::path modules;
    // Whether a guest that is peeked at lost memory meanwhile; without it one
    // that could is not peeked at.
    DescribeMemory describe;
    bool only_peek = false;  // for tests, and where ptrace is not allowed
  };
  // `pool` runs vmattest-memory-worker. Both outlive the object.
  WorkerMeasurer(inspection::WorkerPool& pool,
                 hypervisor::GuestControl& control, Options options);
  ~WorkerMeasurer() override;

  absl::StatusOr<std::unique_ptr<MeasuredGuest>> Open(
      const Guest& guest, const MeasureCall& call) override
      EXCLUDES_LOCK(mutex_);

  // What the hypervisor tells of a VM: it changed, and may have lost memory
  // that can be unplugged; it ended; or nobody tells what all of them do, or
  // did for a while. Workers that may have mapped what is gone end: those that
  // are kept now, those that measure when they have measured. Never blocks.
  void Changed(const Uuid& vm) EXCLUDES_LOCK(mutex_);
  void Ended(const Uuid& vm) EXCLUDES_LOCK(mutex_);
  void MissedEvents() EXCLUDES_LOCK(mutex_);

 private:
  class Lease;
  // A measurement, from before its guest is looked for.
  struct Use {
    Guest guest;
    bool keep = true;
  };
  using Uses = std::list<Use>;
  Uses::iterator Begin(const Guest& guest) EXCLUDES_LOCK(mutex_);
  // Keeps `worker` for the next one if there is one, and may be.
  void End(Uses::iterator use, std::unique_ptr<OpenGuest> worker)
      EXCLUDES_LOCK(mutex_);
  void Forget(const std::function<bool(const Guest&)>& which)
      EXCLUDES_LOCK(mutex_);
  std::unique_ptr<OpenGuest> TakeKept(const Guest& guest) EXCLUDES_LOCK(mutex_);
  absl::StatusOr<std::unique_ptr<OpenGuest>> Find(const Guest& guest,
                                                  const MeasureCall& call);
  // Sections, blocks and their proof. FAILED_PRECONDITION: by name, why not.
  absl::Status OpenDirectly(OpenGuest& open);
  absl::Status Attach(OpenGuest& open, const MeasureCall& call);

  inspection::WorkerPool& pool_;
  hypervisor::GuestControl& control_;
  const Options options_;
  Mutex mutex_;
  std::list<std::unique_ptr<OpenGuest>> kept_ GUARDED_BY(mutex_);
  Uses uses_ GUARDED_BY(mutex_);
};

// `options` for vmattest-memory-worker; the caller names program and user.
inspection::WorkerPoolOptions ForMemory(inspection::WorkerPoolOptions options,
                                        uint64_t private_bytes);

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_WORKER_WORKER_MEASURER_H_
