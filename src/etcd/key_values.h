#ifndef VMATTEST_ETCD_KEY_VALUES_H_
#define VMATTEST_ETCD_KEY_VALUES_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace vmattest::etcd {

struct KeyValue {
  std::string key;
  std::string value;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t lease = 0;
  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

struct RangeQuery {
  std::string key;
  std::string end;       // exclusive; empty: `key` alone
  int64_t limit = 0;     // 0: all
  int64_t revision = 0;  // as it was then; 0: now
  bool keys_only = false;
};
struct RangeResult {
  int64_t revision = 0;       // of the whole store
  std::vector<KeyValue> kvs;  // by key
  bool more = false;
};

// `end` for all keys that begin with `prefix`.
std::string PrefixEnd(std::string prefix);

// Equal, or the transaction does nothing. Of a key that is not there both
// revisions are 0.
struct Condition {
  enum class Of : uint8_t { kCreateRevision, kModRevision };
  std::string key;
  Of of = Of::kModRevision;
  int64_t revision = 0;
};
struct Put {
  std::string key;
  std::string value;
  int64_t lease = 0;  // 0: stays
};
struct Delete {
  std::string key;
  std::string end;  // as in RangeQuery
};
// No key in two writes. etcd's own limits: 128 writes, 1.5 MiB in all.
struct Transaction {
  std::vector<Condition> conditions;
  std::vector<std::variant<Put, Delete>> writes;
};
inline constexpr size_t kMaxWrites = 128;
inline constexpr size_t kMaxTransactionBytes = 1'300'000;
struct Outcome {
  bool done = false;     // false: a condition did not hold, nothing was done
  int64_t revision = 0;  // of the whole store, after it
};

// etcd's key-value store, or another that behaves like it. Every read is
// linearizable: it sees all that was acknowledged before it began. Callable
// from any thread; blocks until `deadline` at most. Messages name endpoint and
// key.
//   UNAVAILABLE, DEADLINE_EXCEEDED  no quorum, or no answer. Of a write nobody
//                        knows whether it was done: see commit.h
//   DATA_LOSS            the store went back in time, or is another one; and
//                        from then on always
//   FAILED_PRECONDITION  the server is too old to be trusted
//   PERMISSION_DENIED, UNAUTHENTICATED  the user may not
//   RESOURCE_EXHAUSTED   its quota is used up; the write that did that was done
//   OUT_OF_RANGE         the revision was compacted
class KeyValues {
 public:
  virtual ~KeyValues() = default;

  virtual absl::StatusOr<RangeResult> Range(const RangeQuery& query,
                                            MonotonicTime deadline) = 0;
  virtual absl::StatusOr<Outcome> Transact(const Transaction& transaction,
                                           MonotonicTime deadline) = 0;

  // True once something of the range changed after `revision`, or nobody can
  // tell any more because it was compacted. False at the deadline.
  virtual absl::StatusOr<bool> AwaitChange(const std::string& key,
                                           const std::string& end,
                                           int64_t revision,
                                           MonotonicTime deadline) = 0;

  // A lease whose keys go when it is not kept alive for `ttl`. Its number.
  virtual absl::StatusOr<int64_t> GrantLease(std::chrono::seconds ttl,
                                             MonotonicTime deadline) = 0;
  // NOT_FOUND: it ran out.
  virtual absl::Status KeepAlive(int64_t lease, MonotonicTime deadline) = 0;
  // Its keys go now. OK too if it is gone.
  virtual absl::Status RevokeLease(int64_t lease, MonotonicTime deadline) = 0;
};

// `key` for people: what is not printable ASCII as \xNN, at most 100 bytes.
std::string Printable(std::string_view key);

}  // namespace vmattest::etcd

#endif  // VMATTEST_ETCD_KEY_VALUES_H_
