#ifndef VMATTEST_MEMORY_GUEST_MEASURER_H_
#define VMATTEST_MEMORY_GUEST_MEASURER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/uuid.h"
#include "memory/domain_memory.h"
#include "memory/guest_meaning.h"
#include "memory/guest_memory.h"
#include "vmattest/types/digest.h"

namespace vmattest::memory {

struct Guest {
  Uuid uuid;
  std::string name;
  DomainMemory memory;
};

struct MeasureCall {
  MonotonicTime deadline;
  std::function<void(uint64_t bytes)> progress;  // may be empty; any thread
  std::function<bool()> cancelled;               // may be empty
};

struct MeasurePlan {
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  uint32_t page_bytes = 4096;
  uint32_t rereads = 0;
  bool incremental = false;
  // Ranges of RAM, one entry for each region: in any order, and each one cut at
  // multiples of page_bytes and at its ends.
  std::vector<std::vector<AddressRange>> regions;
};

struct MeasuredRegion {
  uint64_t pages = 0;
  uint64_t unreadable = 0;
  uint64_t torn = 0;
  uint64_t present_bytes = 0;
  uint64_t unchanged = 0;        // since this guest was measured last
  std::vector<uint8_t> digests;  // of every page; zeros: it could not be read
};

// What it took to have a guest's state of one moment.
struct SavedMoment {
  uint64_t stream_bytes = 0;
  uint64_t kept_bytes = 0;
  std::chrono::milliseconds took{0};
  std::chrono::microseconds stood{0};  // the guest
  // How many vCPUs' registers are known; 0: why not.
  uint32_t vcpus = 0;
  std::string vcpu_problem;
};

// A running guest whose memory can be measured. One thread; not for longer than
// its measurer.
//   UNAVAILABLE: the guest, or the worker, is gone. DEADLINE_EXCEEDED,
//   CANCELLED, RESOURCE_EXHAUSTED: a limit.
class MeasuredGuest {
 public:
  virtual ~MeasuredGuest() = default;
  [[nodiscard]] virtual std::vector<AddressRange> ram(
      bool rom_shadow) const = 0;
  // "shared-memory", "process-memory", "peek"; "saved-state" after
  // SaveMoment().
  [[nodiscard]] virtual std::string reader() const = 0;
  // Which of the VM's runs this is: a name that no other on this host has, also
  // after it was booted anew. Empty: its process is not to be seen.
  [[nodiscard]] virtual std::string run() const = 0;
  // How it is known where its RAM is: "3 of 4 sections, 1 empty".
  [[nodiscard]] virtual std::string map_proof() const = 0;
  // What a reader of the snapshot must know: RAM that was left out, devices
  // that write while vCPUs stand, why it is read this way.
  [[nodiscard]] virtual std::vector<std::string> notes() const = 0;

  // Finds what is asked for in the guest's kernel, and looks at that for what
  // no healthy one shows; again after a second if something was found. A guest
  // that is no Linux, or contradicts itself, is an answer.
  virtual absl::StatusOr<GuestMeaning> Understand(const MeaningRequest& request,
                                                  const MeasureCall& call) = 0;
  // For each region of the last Understand(): how many of its parts are not
  // where they were then. Once.
  virtual absl::StatusOr<std::vector<uint64_t>> CountMoved(
      const MeasureCall& call) = 0;

  // Makes room to copy the plan's regions, so that Copy() takes no longer than
  // it must.
  virtual absl::Status PrepareCopy(const MeasurePlan& plan,
                                   const MeasureCall& call) = 0;
  // Copies them while the guest stands still, until the budget is used up.
  // False: not all was copied.
  virtual absl::StatusOr<bool> Copy(const MeasurePlan& plan,
                                    std::chrono::microseconds budget,
                                    const MeasureCall& call) = 0;
  // Has the hypervisor stream the guest's state of one moment, while it runs,
  // to who measures: what is measured from now on is that moment.
  //   FAILED_PRECONDITION: the guest or the hypervisor does not allow it; the
  //   message says why. Nothing has changed then.
  virtual absl::StatusOr<SavedMoment> SaveMoment(const MeasureCall& call) = 0;
  // Digests of all pages: of the moment that was saved, of what was copied, and
  // else of the running guest.
  virtual absl::StatusOr<std::vector<MeasuredRegion>> Measure(
      const MeasurePlan& plan, const MeasureCall& call) = 0;
};

// Opens guests for measuring. Any thread.
class GuestMeasurer {
 public:
  virtual ~GuestMeasurer() = default;
  //   NOT_FOUND: it does not run. FAILED_PRECONDITION: its memory cannot be
  //   read; the message begins with a name of the reason. RESOURCE_EXHAUSTED:
  //   too many at once.
  virtual absl::StatusOr<std::unique_ptr<MeasuredGuest>> Open(
      const Guest& guest, const MeasureCall& call) = 0;
};

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_GUEST_MEASURER_H_
