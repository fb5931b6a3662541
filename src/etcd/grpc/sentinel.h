#ifndef VMATTEST_ETCD_GRPC_SENTINEL_H_
#define VMATTEST_ETCD_GRPC_SENTINEL_H_

#include "base/mutex.h"
#include "etcd/grpc/grpc_key_values.h"

namespace vmattest::etcd {

// Watches the headers of answers: one cluster, and never back in time. Any
// thread.
class GrpcKeyValues::Sentinel {
 public:
  explicit Sentinel(const Seen& seen) : seen_(seen) {}

  // Before a question; its answer is at least of this revision.
  [[nodiscard]] int64_t Before() const;
  // OK, or what went wrong once.
  [[nodiscard]] absl::Status status() const;
  // A linearizable answer to a question asked after Before() gave `before`.
  absl::Status Answered(uint64_t cluster_id, int64_t revision, int64_t before);
  // An answer that says nothing about revisions.
  absl::Status AnsweredBy(uint64_t cluster_id);
  [[nodiscard]] Seen seen() const;

 private:
  absl::Status CheckCluster(uint64_t cluster_id) REQUIRES_LOCK(mutex_);

  mutable Mutex mutex_;
  Seen seen_ GUARDED_BY(mutex_);
  absl::Status broken_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::etcd

#endif  // VMATTEST_ETCD_GRPC_SENTINEL_H_
