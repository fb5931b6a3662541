#ifndef VMATTEST_TESTS_FAKES_FAKE_KEY_VALUES_H_
#define VMATTEST_TESTS_FAKES_FAKE_KEY_VALUES_H_

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "etcd/key_values.h"

namespace vmattest::testing {

// etcd in memory, with all revisions, and with writes that fail as those over
// a network do. Callable from any thread.
class FakeKeyValues final : public etcd::KeyValues {
 public:
  absl::StatusOr<etcd::RangeResult> Range(const etcd::RangeQuery& query,
                                          MonotonicTime deadline) override;
  absl::StatusOr<etcd::Outcome> Transact(const etcd::Transaction& transaction,
                                         MonotonicTime deadline) override;
  absl::StatusOr<bool> AwaitChange(const std::string& key,
                                   const std::string& end, int64_t revision,
                                   MonotonicTime deadline) override;
  absl::StatusOr<int64_t> GrantLease(std::chrono::seconds ttl,
                                     MonotonicTime deadline) override;
  absl::Status KeepAlive(int64_t lease, MonotonicTime deadline) override;
  absl::Status RevokeLease(int64_t lease, MonotonicTime deadline) override;

  // What becomes of coming transactions, first of the first.
  enum class Fate : uint8_t {
    kLost,      // not done; UNAVAILABLE
    kUnheard,   // done; UNAVAILABLE
    kLate,      // UNAVAILABLE; done at the end of the next call of any kind
    kDiskFull,  // not done; RESOURCE_EXHAUSTED
    kFills,     // done; RESOURCE_EXHAUSTED, as etcd does
  };
  void NextTransactions(std::vector<Fate> fates);
  // Runs in each transaction before it is done, without a lock: what another
  // client does at the worst moment.
  void BeforeTransactions(std::function<void()> action);
  void BeforeNextRead(std::function<void()> action);
  void Compact();
  // All that were granted run out.
  void ExpireLeases();
  [[nodiscard]] size_t transactions() const;

 private:
  struct Version {
    int64_t create_revision = 0;  // 0: deleted
    int64_t mod_revision = 0;
    int64_t lease = 0;
    std::string value;
  };
  [[nodiscard]] const Version* At(const std::string& key,
                                  int64_t revision) const REQUIRES_LOCK(mutex_);
  [[nodiscard]] std::vector<std::string> Keys(const std::string& key,
                                              const std::string& end) const
      REQUIRES_LOCK(mutex_);
  absl::Status Check(const etcd::Transaction& transaction) const
      REQUIRES_LOCK(mutex_);
  etcd::Outcome Apply(const etcd::Transaction& transaction)
      REQUIRES_LOCK(mutex_);
  void ApplyLate() REQUIRES_LOCK(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  int64_t revision_ GUARDED_BY(mutex_) = 1;
  int64_t compacted_ GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::vector<Version>> keys_ GUARDED_BY(mutex_);
  std::set<int64_t> leases_ GUARDED_BY(mutex_);
  int64_t next_lease_ GUARDED_BY(mutex_) = 1;
  std::deque<Fate> fates_ GUARDED_BY(mutex_);
  std::deque<etcd::Transaction> late_ GUARDED_BY(mutex_);
  std::function<void()> before_ GUARDED_BY(mutex_);
  std::function<void()> before_read_ GUARDED_BY(mutex_);
  size_t transactions_ GUARDED_BY(mutex_) = 0;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_KEY_VALUES_H_
