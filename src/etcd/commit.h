#ifndef VMATTEST_ETCD_COMMIT_H_
#define VMATTEST_ETCD_COMMIT_H_

#include "etcd/key_values.h"

namespace vmattest::etcd {

// A transaction that can be found out about. `writes` must put `guard`, and
// its condition on guard's mod_revision makes sure that of two copies under
// way at most one is done. `marker` is a key that `writes` puts with a value
// that nobody else ever puts there: who finds it knows that it was done.
struct GuardedTransaction {
  std::string guard;
  int64_t guard_revision = 0;  // mod_revision that was read; 0: not there
  std::string marker;
  std::vector<Condition> more;  // conditions
  std::vector<std::variant<Put, Delete>> writes;
};

// Does it once. A write whose outcome is unknown is never blindly repeated: the
// marker is read first, and only while the guard is unchanged is it tried
// again, until `deadline`.
//   ABORTED: a condition does not hold (any more); nothing was done, and
//   nothing will be. UNAVAILABLE, DEADLINE_EXCEEDED: still unknown. INTERNAL:
//   no marker or guard among the writes. Else KeyValues' errors: not done, also
//   RESOURCE_EXHAUSTED, where etcd itself leaves that open.
absl::StatusOr<Outcome> Commit(KeyValues& store,
                               const GuardedTransaction& transaction,
                               MonotonicTime deadline);

// True of errors after which a write may have been done or not.
bool IsUnknownOutcome(const absl::Status& status);

}  // namespace vmattest::etcd

#endif  // VMATTEST_ETCD_COMMIT_H_
