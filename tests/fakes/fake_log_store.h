#ifndef VMATTEST_TESTS_FAKES_FAKE_LOG_STORE_H_
#define VMATTEST_TESTS_FAKES_FAKE_LOG_STORE_H_

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/mutex.h"
#include "ledger/log_store.h"

namespace vmattest::testing {

// A log in memory, which several stores (nodes) can share. Callable from any
// thread.
class FakeLogStore final : public ledger::LogStore {
 public:
  struct Shared {
    Mutex mutex;
    CondVar grown;
    ledger::LogHead head GUARDED_BY(mutex) = ledger::EmptyHead();
    std::map<uint64_t, Bytes> records GUARDED_BY(mutex);
    std::map<std::pair<uint32_t, uint64_t>, Bytes> tiles GUARDED_BY(mutex);
    std::optional<ledger::StoredCheckpoint> checkpoint GUARDED_BY(mutex);
    std::map<std::string, Bytes> state GUARDED_BY(mutex);
    uint64_t state_size GUARDED_BY(mutex) = 0;
    std::map<std::string, uint64_t> archived GUARDED_BY(mutex);
    uint64_t first_record GUARDED_BY(mutex) = 0;
    // Whose lease it is; nullptr: nobody leads.
    const FakeLogStore* leader GUARDED_BY(mutex) = nullptr;
    std::string leader_name GUARDED_BY(mutex);
  };

  FakeLogStore() : FakeLogStore(std::make_shared<Shared>()) {}
  explicit FakeLogStore(std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)) {}
  ~FakeLogStore() override { Resign().IgnoreError(); }

  absl::StatusOr<ledger::LogHead> Head() override;
  absl::StatusOr<ledger::LogHead> WaitForHead(
      uint64_t seen_size,
      std::chrono::steady_clock::time_point deadline) override;
  absl::StatusOr<ledger::Leadership> Lead(const std::string& self) override;
  absl::Status Resign() override;
  [[nodiscard]] std::chrono::milliseconds LeaseInterval() const override {
    return std::chrono::seconds(1);
  }
  absl::Status Append(const ledger::LogBatch& batch) override;
  absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin,
                                             size_t limit) override;
  absl::StatusOr<ledger::HashTile> Tile(uint32_t level,
                                        uint64_t index) override;
  absl::Status PutCheckpoint(
      const ledger::StoredCheckpoint& checkpoint) override;
  absl::StatusOr<std::optional<ledger::StoredCheckpoint>> Checkpoint() override;
  absl::Status PutState(uint64_t seen_size, uint64_t size,
                        const std::vector<ledger::StateItem>& items) override;
  absl::StatusOr<uint64_t> StateSize() override;
  absl::StatusOr<std::vector<ledger::StateItem>> State(const std::string& after,
                                                       size_t limit) override;
  absl::Status MarkArchived(const std::string& node, uint64_t size) override;
  absl::Status Trim(uint64_t before,
                    const std::vector<std::string>& archives) override;
  absl::StatusOr<uint64_t> FirstRecord() override;

  // Called before each append; what it returns other than OK is the answer.
  // `done`: after it was done anyway, as when an acknowledgement gets lost.
  void FailAppends(std::function<absl::Status()> fault, bool done = false);
  [[nodiscard]] const std::shared_ptr<Shared>& shared() const {
    return shared_;
  }

 private:
  const std::shared_ptr<Shared> shared_;
  std::function<absl::Status()> fault_ GUARDED_BY(shared_->mutex);
  bool fault_after_ GUARDED_BY(shared_->mutex) = false;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_LOG_STORE_H_
