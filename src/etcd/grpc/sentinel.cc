#include "etcd/grpc/sentinel.h"

#include <algorithm>

#include "fmt/format.h"

namespace vmattest::etcd {

int64_t GrpcKeyValues::Sentinel::Before() const {
  const MutexLock lock(mutex_);
  return seen_.revision;
}

absl::Status GrpcKeyValues::Sentinel::status() const {
  const MutexLock lock(mutex_);
  return broken_;
}

absl::Status GrpcKeyValues::Sentinel::CheckCluster(uint64_t cluster_id) {
  if (broken_.ok() && seen_.cluster_id != 0 && seen_.cluster_id != cluster_id) {
    broken_ = absl::DataLossError(fmt::format(
        "this is etcd cluster {:x}, not {:x}", cluster_id, seen_.cluster_id));
  }
  if (broken_.ok()) {
    seen_.cluster_id = cluster_id;
  }
  return broken_;
}

absl::Status GrpcKeyValues::Sentinel::AnsweredBy(uint64_t cluster_id) {
  const MutexLock lock(mutex_);
  return CheckCluster(cluster_id);
}

absl::Status GrpcKeyValues::Sentinel::Answered(uint64_t cluster_id,
                                               int64_t revision,
                                               int64_t before) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(CheckCluster(cluster_id));
  if (revision < before) {
    broken_ = absl::DataLossError(fmt::format(
        "etcd went back from revision {} to {}: its data was rolled back",
        before, revision));
    return broken_;
  }
  seen_.revision = std::max(seen_.revision, revision);
  return absl::OkStatus();
}

Seen GrpcKeyValues::Sentinel::seen() const {
  const MutexLock lock(mutex_);
  return seen_;
}

}  // namespace vmattest::etcd
