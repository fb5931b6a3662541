#ifndef VMATTEST_INSPECTION_WORKER_GUESTFS_READER_H_
#define VMATTEST_INSPECTION_WORKER_GUESTFS_READER_H_

#include <chrono>
#include <functional>
#include <string>

#include "base/handles.h"
#include "inspection/disk_inspector.h"
#include "inspection/worker/worker_pool.h"

namespace vmattest::inspection {

struct GuestfsOptions {
  // That runs vmattest-guestfs-worker; nullptr: libguestfs is not used.
  WorkerPool* pool = nullptr;
  std::string why_not = "needs libguestfs, which is not installed";
  std::chrono::milliseconds limit = std::chrono::minutes(2);  // of one disk
  // After that without an appliance it is tried once more, without KVM.
  std::chrono::milliseconds start_limit = std::chrono::seconds(30);
  bool force_tcg = false;  // KVM is not tried at all
  size_t max_leaves = 20'000;
};

// A pool of vmattest-guestfs-worker: `options` with room for an appliance and
// time for `limit`; the caller names program, folders and user.
WorkerPoolOptions ForGuestfs(WorkerPoolOptions options,
                             std::chrono::seconds limit);

// Has what a vmattest-worker did not read (DiskReport::unread) read by a
// vmattest-guestfs-worker. Any thread.
class GuestfsReader {
 public:
  explicit GuestfsReader(GuestfsOptions options)
      : options_(std::move(options)) {}

  // What the worker that looked first was asked, and how to get a descriptor
  // like its own.
  struct Image {
    internal::WorkerRequest asked;
    std::function<absl::StatusOr<UniqueFd>()> open;
  };
  // Completes `report` and empties its `unread`. That libguestfs cannot be
  // used, or not be started, is a leaf of type unavailable, with the reason.
  //   DEADLINE_EXCEEDED: started, and past a limit. RESOURCE_EXHAUSTED: all
  //   workers are busy. DATA_LOSS: the worker's answer cannot be. CANCELLED.
  //   UNAVAILABLE: the worker died. Errors of the disk.
  absl::Status Complete(const Image& image,
                        const DiskInspector::Request& request,
                        MonotonicTime deadline, DiskReport& report) const;

  static constexpr size_t kMaxContents = 16;

 private:
  struct Answer;
  absl::StatusOr<Answer> Ask(const Image& image,
                             const DiskInspector::Request& request,
                             const DiskReport& report,
                             MonotonicTime deadline) const;
  absl::StatusOr<Answer> AskOne(const Image& image,
                                const DiskInspector::Request& request,
                                const internal::WorkerRequest& asked,
                                MonotonicTime start_deadline,
                                MonotonicTime deadline) const;

  const GuestfsOptions options_;
};

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_GUESTFS_READER_H_
