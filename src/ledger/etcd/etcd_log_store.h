#ifndef VMATTEST_LEDGER_ETCD_ETCD_LOG_STORE_H_
#define VMATTEST_LEDGER_ETCD_ETCD_LOG_STORE_H_

#include <memory>
#include <string>

#include "base/mutex.h"
#include "etcd/commit.h"
#include "ledger/log_store.h"

namespace vmattest::ledger {

// The log in etcd, shared by several ledger nodes; docs/formats/ledger-etcd.md
// says where what lies. The leader holds a lease; each of its commits is one
// transaction that compares the head's revision and the lease's key, so that
// a paused leader that wakes up changes nothing, and the outcome of a commit
// whose answer was lost is looked up. Callable from any thread.
class EtcdLogStore final : public LogStore {
 public:
  struct Options {
    std::string prefix;                        // "/vmattest/ledger/ORIGIN/"
    std::chrono::milliseconds timeout{5'000};  // of each call
    std::chrono::seconds lease{6};             // etcd makes it 2 s at least
  };
  // `etcd` must outlive it. Writes nothing. FAILED_PRECONDITION: written by a
  // newer version. Else the errors of KeyValues.
  static absl::StatusOr<std::unique_ptr<EtcdLogStore>> Open(
      etcd::KeyValues& etcd, const Options& options);
  // Resigns, unless etcd is away.
  ~EtcdLogStore() override;

  absl::StatusOr<LogHead> Head() override;
  absl::StatusOr<LogHead> WaitForHead(
      uint64_t seen_size,
      std::chrono::steady_clock::time_point deadline) override;
  absl::StatusOr<Leadership> Lead(const std::string& self) override;
  absl::Status Resign() override;
  [[nodiscard]] std::chrono::milliseconds LeaseInterval() const override {
    return options_.lease / 3;
  }
  absl::Status Append(const LogBatch& batch) override;
  absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin,
                                             size_t limit) override;
  absl::StatusOr<HashTile> Tile(uint32_t level, uint64_t index) override;
  absl::Status PutCheckpoint(const StoredCheckpoint& checkpoint) override;
  absl::StatusOr<std::optional<StoredCheckpoint>> Checkpoint() override;

  // etcd_log_state.cc
  absl::Status PutState(uint64_t seen_size, uint64_t size,
                        const std::vector<StateItem>& items) override;
  absl::StatusOr<uint64_t> StateSize() override;
  absl::StatusOr<std::vector<StateItem>> State(const std::string& after,
                                               size_t limit) override;
  absl::Status MarkArchived(const std::string& node, uint64_t size) override;
  absl::Status Trim(uint64_t before,
                    const std::vector<std::string>& archives) override;
  absl::StatusOr<uint64_t> FirstRecord() override;

 private:
  struct Seat {  // of the leader; all 0: not this node
    int64_t lease = 0;
    int64_t create_revision = 0;
    friend bool operator==(const Seat&, const Seat&) = default;
  };
  struct Known {
    LogHead head;
    int64_t head_revision = 0;  // mod_revision; 0: nobody wrote it yet
    uint64_t first_record = 0;
  };
  struct StateMark {
    uint64_t size = 0;
    int64_t revision = 0;
  };

  EtcdLogStore(etcd::KeyValues& etcd, const Options& options)
      : etcd_(etcd), options_(options) {}
  [[nodiscard]] std::string Key(std::string_view name) const {
    return options_.prefix + std::string(name);
  }
  [[nodiscard]] std::string BundleKey(uint64_t bundle) const;
  [[nodiscard]] std::string PartKey(uint64_t start) const;
  [[nodiscard]] MonotonicTime Deadline() const {
    return std::chrono::steady_clock::now() + options_.timeout;
  }
  absl::StatusOr<etcd::KeyValue> ReadOne(const std::string& key);
  absl::StatusOr<Known> ReadHead();
  // `before`: the head's revision that was known before the question.
  absl::Status Remember(const Known& known, int64_t before);

  absl::StatusOr<bool> Renew();
  absl::StatusOr<Leadership> Campaign(const std::string& self);
  [[nodiscard]] Seat seat() const;
  absl::StatusOr<Known> HeadToAppendTo(const LogBatch& batch);
  [[nodiscard]] etcd::Condition Fence(const Seat& seat) const;
  absl::Status Sweep(const Seat& seat, Known& known)
      REQUIRES_LOCK(append_mutex_);
  absl::Status Write(const LogBatch& batch, const Seat& seat,
                     const Known& known) REQUIRES_LOCK(append_mutex_);
  absl::Status WriteAhead(const etcd::Transaction& transaction);

  absl::StatusOr<StateMark> ReadStateMark();
  absl::StatusOr<StateMark> PutMark(
      const StateMark& before, uint64_t size,
      std::vector<std::variant<etcd::Put, etcd::Delete>> writes);
  absl::Status CheckArchives(uint64_t before,
                             const std::vector<std::string>& archives,
                             etcd::Transaction& transaction);

  etcd::KeyValues& etcd_;
  const Options options_;
  mutable Mutex seat_mutex_;
  Seat seat_ GUARDED_BY(seat_mutex_);
  Mutex append_mutex_;  // held over a whole append
  uint64_t attempts_ GUARDED_BY(append_mutex_) = 0;
  // Beyond the head there are no parts that nobody committed, as long as this
  // node is in this seat.
  Seat swept_ GUARDED_BY(append_mutex_);
  Mutex known_mutex_;
  Known known_ GUARDED_BY(known_mutex_) = {.head = EmptyHead()};
};

}  // namespace vmattest::ledger

#endif  // VMATTEST_LEDGER_ETCD_ETCD_LOG_STORE_H_
