#ifndef VMATTEST_INSPECTION_WORKER_REPLY_LEAVES_H_
#define VMATTEST_INSPECTION_WORKER_REPLY_LEAVES_H_

#include <vector>

#include "base/status.h"
#include "inspection/disk_inspector.h"
#include "vmattest/internal/worker.pb.h"

// What workers say about disks, checked: they may have been taken over by what
// they read. Any thread.

namespace vmattest::inspection {

// DATA_LOSS: it is about something else, has more than `max_leaves`, the same
// twice, or one that no worker makes.
absl::StatusOr<std::vector<ConfigLeaf>> LeavesOf(
    const internal::WorkerReply& reply, size_t max_leaves);

// DATA_LOSS: parts that are not on the disk, or too many.
absl::StatusOr<std::vector<UnreadContent>> UnreadOf(
    const internal::WorkerReply::Disk& disk);

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_REPLY_LEAVES_H_
