#include "fakes/fake_log_store.h"

namespace vmattest::testing {

using ledger::HashTile;
using ledger::Leadership;
using ledger::LogHead;
using ledger::StateItem;
using ledger::StoredCheckpoint;

absl::StatusOr<LogHead> FakeLogStore::Head() {
  const MutexLock lock(shared_->mutex);
  return shared_->head;
}

absl::StatusOr<LogHead> FakeLogStore::WaitForHead(
    uint64_t seen_size, std::chrono::steady_clock::time_point deadline) {
  const MutexLock lock(shared_->mutex);
  while (shared_->head.size == seen_size &&
         shared_->grown.WaitUntil(shared_->mutex, deadline)) {
  }
  return shared_->head;
}

absl::StatusOr<Leadership> FakeLogStore::Lead(const std::string& self) {
  const MutexLock lock(shared_->mutex);
  if (shared_->leader == nullptr || shared_->leader == this) {
    shared_->leader = this;
    shared_->leader_name = self;
  }
  return Leadership{.mine = shared_->leader == this,
                    .leader = shared_->leader_name};
}

absl::Status FakeLogStore::Resign() {
  const MutexLock lock(shared_->mutex);
  if (shared_->leader == this) {
    shared_->leader = nullptr;
    shared_->leader_name.clear();
  }
  return absl::OkStatus();
}

absl::Status FakeLogStore::Append(const ledger::LogBatch& batch) {
  if (absl::Status limits = ledger::CheckBatch(batch); !limits.ok()) {
    return limits;
  }
  const MutexLock lock(shared_->mutex);
  if (shared_->leader != this) {
    return absl::AbortedError("not the leader");
  }
  const absl::Status fault = fault_ ? fault_() : absl::OkStatus();
  if (!fault.ok() && !fault_after_) {
    return fault;
  }
  if (shared_->head != batch.before) {
    return absl::AbortedError("the head is another");
  }
  uint64_t index = batch.before.size;
  for (const Bytes& record : batch.records) {
    shared_->records[index++] = record;
  }
  for (const HashTile& tile : batch.tiles) {
    shared_->tiles[{tile.level, tile.index}] = tile.hashes;
  }
  shared_->head = batch.after;
  shared_->grown.NotifyAll();
  return fault;
}

absl::StatusOr<std::vector<Bytes>> FakeLogStore::Records(uint64_t begin,
                                                         size_t limit) {
  const MutexLock lock(shared_->mutex);
  if (begin < shared_->first_record) {
    return absl::OutOfRangeError("archived");
  }
  std::vector<Bytes> records;
  for (auto it = shared_->records.lower_bound(begin);
       it != shared_->records.end() && records.size() < limit; ++it) {
    records.push_back(it->second);
  }
  return records;
}

absl::StatusOr<HashTile> FakeLogStore::Tile(uint32_t level, uint64_t index) {
  const MutexLock lock(shared_->mutex);
  const auto it = shared_->tiles.find({level, index});
  if (it == shared_->tiles.end()) {
    return absl::NotFoundError("no such tile");
  }
  return HashTile{.level = level, .index = index, .hashes = it->second};
}

absl::Status FakeLogStore::PutCheckpoint(const StoredCheckpoint& checkpoint) {
  const MutexLock lock(shared_->mutex);
  if (shared_->checkpoint && shared_->checkpoint->size > checkpoint.size) {
    return absl::AbortedError("there is a larger checkpoint");
  }
  shared_->checkpoint = checkpoint;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<StoredCheckpoint>> FakeLogStore::Checkpoint() {
  const MutexLock lock(shared_->mutex);
  return shared_->checkpoint;
}

absl::Status FakeLogStore::PutState(uint64_t seen_size, uint64_t size,
                                    const std::vector<StateItem>& items) {
  const MutexLock lock(shared_->mutex);
  if (shared_->state_size != seen_size || size < seen_size ||
      size > shared_->head.size) {
    return absl::AbortedError("the state is of other records");
  }
  for (const StateItem& item : items) {
    if (item.value.empty()) {
      shared_->state.erase(item.key);
    } else {
      shared_->state[item.key] = item.value;
    }
  }
  shared_->state_size = size;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FakeLogStore::StateSize() {
  const MutexLock lock(shared_->mutex);
  return shared_->state_size;
}

absl::StatusOr<std::vector<StateItem>> FakeLogStore::State(
    const std::string& after, size_t limit) {
  const MutexLock lock(shared_->mutex);
  std::vector<StateItem> items;
  for (auto it = shared_->state.upper_bound(after);
       it != shared_->state.end() && items.size() < limit; ++it) {
    items.push_back({.key = it->first, .value = it->second});
  }
  return items;
}

absl::Status FakeLogStore::MarkArchived(const std::string& node,
                                        uint64_t size) {
  const MutexLock lock(shared_->mutex);
  uint64_t& archived = shared_->archived[node];
  archived = std::max(archived, size);
  return absl::OkStatus();
}

absl::Status FakeLogStore::Trim(uint64_t before,
                                const std::vector<std::string>& archives) {
  const MutexLock lock(shared_->mutex);
  if (before <= shared_->first_record) {
    return absl::OkStatus();
  }
  if (archives.empty() || before > shared_->state_size) {
    return absl::FailedPreconditionError("still needed");
  }
  for (const std::string& node : archives) {
    const auto it = shared_->archived.find(node);
    if (it == shared_->archived.end() || it->second < before) {
      return absl::FailedPreconditionError("not archived");
    }
  }
  shared_->records.erase(shared_->records.begin(),
                         shared_->records.lower_bound(before));
  shared_->first_record = before;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FakeLogStore::FirstRecord() {
  const MutexLock lock(shared_->mutex);
  return shared_->first_record;
}

void FakeLogStore::FailAppends(std::function<absl::Status()> fault, bool done) {
  const MutexLock lock(shared_->mutex);
  fault_ = std::move(fault);
  fault_after_ = done;
}

}  // namespace vmattest::testing
