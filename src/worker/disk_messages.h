#ifndef VMATTEST_WORKER_DISK_MESSAGES_H_
#define VMATTEST_WORKER_DISK_MESSAGES_H_

#include "base/status.h"
#include "inspection/disk_inspector.h"
#include "vmattest/internal/worker.pb.h"

// What goes over the channel about disks. Any thread.

namespace vmattest::worker {

// INVALID_ARGUMENT: there is none with that number.
absl::StatusOr<HashAlgorithm> ToAlgorithm(v1::HashAlgorithm number);

internal::WorkerReply ToReply(const inspection::DiskReport& report);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_DISK_MESSAGES_H_
