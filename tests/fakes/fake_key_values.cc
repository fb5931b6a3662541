#include "fakes/fake_key_values.h"

#include <utility>

namespace vmattest::testing {

using etcd::Condition;
using etcd::Delete;
using etcd::Outcome;
using etcd::Put;
using etcd::Transaction;

const FakeKeyValues::Version* FakeKeyValues::At(const std::string& key,
                                                int64_t revision) const {
  const auto found = keys_.find(key);
  const Version* at = nullptr;
  if (found != keys_.end()) {
    for (const Version& version : found->second) {
      at = version.mod_revision <= revision ? &version : at;
    }
  }
  return at == nullptr || at->create_revision == 0 ? nullptr : at;
}

std::vector<std::string> FakeKeyValues::Keys(const std::string& key,
                                             const std::string& end) const {
  if (end.empty()) {
    return {key};
  }
  std::vector<std::string> keys;
  for (auto at = keys_.lower_bound(key); at != keys_.end(); ++at) {
    if (end != std::string(1, '\0') && at->first >= end) {
      break;
    }
    keys.push_back(at->first);
  }
  return keys;
}

absl::StatusOr<etcd::RangeResult> FakeKeyValues::Range(
    const etcd::RangeQuery& query, MonotonicTime /*deadline*/) {
  std::function<void()> before;
  {
    const MutexLock lock(mutex_);
    before = std::exchange(before_read_, {});
  }
  if (before) {
    before();
  }
  const MutexLock lock(mutex_);
  if (query.revision > revision_) {
    return absl::OutOfRangeError("a future revision");
  }
  if (query.revision != 0 && query.revision < compacted_) {
    return absl::OutOfRangeError("the revision was compacted");
  }
  const int64_t revision = query.revision == 0 ? revision_ : query.revision;
  etcd::RangeResult result{.revision = revision_};
  for (const std::string& key : Keys(query.key, query.end)) {
    const Version* at = At(key, revision);
    if (at == nullptr) {
      continue;
    }
    if (query.limit != 0 &&
        result.kvs.size() == static_cast<size_t>(query.limit)) {
      result.more = true;
      break;
    }
    result.kvs.push_back({.key = key,
                          .value = query.keys_only ? "" : at->value,
                          .create_revision = at->create_revision,
                          .mod_revision = at->mod_revision,
                          .lease = at->lease});
  }
  ApplyLate();
  return result;
}

absl::Status FakeKeyValues::Check(const Transaction& transaction) const {
  if (transaction.writes.size() > etcd::kMaxWrites ||
      transaction.conditions.size() > etcd::kMaxWrites) {
    return absl::InvalidArgumentError("too many operations in a transaction");
  }
  std::set<std::string> put_keys;
  size_t bytes = 0;
  for (const auto& write : transaction.writes) {
    const Put* put = std::get_if<Put>(&write);
    if (put == nullptr) {
      continue;
    }
    if (!put_keys.insert(put->key).second) {
      return absl::InvalidArgumentError("duplicate key in a transaction");
    }
    bytes += put->key.size() + put->value.size();
    if (put->lease != 0 && !leases_.contains(put->lease)) {
      return absl::NotFoundError("no such lease");
    }
  }
  for (const auto& write : transaction.writes) {
    if (const Delete* gone = std::get_if<Delete>(&write)) {
      for (const std::string& key : put_keys) {
        if (gone->end.empty() ? key == gone->key
                              : key >= gone->key && key < gone->end) {
          return absl::InvalidArgumentError("duplicate key in a transaction");
        }
      }
    }
  }
  return bytes > 1'500'000
             ? absl::InvalidArgumentError("the request is too large")
             : absl::OkStatus();
}

Outcome FakeKeyValues::Apply(const Transaction& transaction) {
  for (const Condition& condition : transaction.conditions) {
    const Version* at = At(condition.key, revision_);
    const int64_t found = at == nullptr ? 0
                          : condition.of == Condition::Of::kModRevision
                              ? at->mod_revision
                              : at->create_revision;
    if (found != condition.revision) {
      return {.done = false, .revision = revision_};
    }
  }
  const int64_t next = revision_ + 1;
  for (const auto& write : transaction.writes) {
    if (const Put* put = std::get_if<Put>(&write)) {
      const Version* at = At(put->key, revision_);
      keys_[put->key].push_back(
          {.create_revision = at == nullptr ? next : at->create_revision,
           .mod_revision = next,
           .lease = put->lease,
           .value = put->value});
      revision_ = next;
      continue;
    }
    const Delete& gone = std::get<Delete>(write);
    for (const std::string& key : Keys(gone.key, gone.end)) {
      if (At(key, next) != nullptr) {
        keys_[key].push_back({.mod_revision = next});
        revision_ = next;
      }
    }
  }
  changed_.NotifyAll();
  return {.done = true, .revision = revision_};
}

void FakeKeyValues::ApplyLate() {
  while (!late_.empty()) {
    Apply(late_.front());
    late_.pop_front();
  }
}

absl::StatusOr<Outcome> FakeKeyValues::Transact(const Transaction& transaction,
                                                MonotonicTime /*deadline*/) {
  std::function<void()> before;
  {
    const MutexLock lock(mutex_);
    before = std::exchange(before_, {});
  }
  if (before) {
    before();
    const MutexLock lock(mutex_);
    before_ = std::move(before);
  }
  const MutexLock lock(mutex_);
  ++transactions_;
  RETURN_IF_ERROR(Check(transaction));
  if (fates_.empty()) {
    const Outcome outcome = Apply(transaction);
    ApplyLate();
    return outcome;
  }
  const Fate fate = fates_.front();
  fates_.pop_front();
  switch (fate) {
    case Fate::kLost:
      break;
    case Fate::kUnheard:
      Apply(transaction);
      break;
    case Fate::kLate:
      late_.push_back(transaction);
      break;
    case Fate::kFills:
      Apply(transaction);
      [[fallthrough]];
    case Fate::kDiskFull:
      return absl::ResourceExhaustedError("database space exceeded");
  }
  return absl::UnavailableError("the connection broke");
}

absl::StatusOr<bool> FakeKeyValues::AwaitChange(const std::string& key,
                                                const std::string& end,
                                                int64_t revision,
                                                MonotonicTime deadline) {
  const MutexLock lock(mutex_);
  while (true) {
    if (revision < compacted_) {
      return true;
    }
    for (const std::string& each : Keys(key, end)) {
      const auto found = keys_.find(each);
      if (found != keys_.end() && !found->second.empty() &&
          found->second.back().mod_revision > revision) {
        return true;
      }
    }
    if (!changed_.WaitUntil(mutex_, deadline)) {
      return false;
    }
  }
}

absl::StatusOr<int64_t> FakeKeyValues::GrantLease(std::chrono::seconds /*ttl*/,
                                                  MonotonicTime /*deadline*/) {
  const MutexLock lock(mutex_);
  leases_.insert(next_lease_);
  return next_lease_++;
}

absl::Status FakeKeyValues::KeepAlive(int64_t lease,
                                      MonotonicTime /*deadline*/) {
  const MutexLock lock(mutex_);
  return leases_.contains(lease) ? absl::OkStatus()
                                 : absl::NotFoundError("the lease ran out");
}

absl::Status FakeKeyValues::RevokeLease(int64_t lease,
                                        MonotonicTime /*deadline*/) {
  const MutexLock lock(mutex_);
  leases_.erase(lease);
  std::vector<std::string> gone;
  for (const auto& [key, versions] : keys_) {
    const Version* at = At(key, revision_);
    if (at != nullptr && at->lease == lease) {
      gone.push_back(key);
    }
  }
  for (const std::string& key : gone) {
    keys_[key].push_back({.mod_revision = ++revision_});
  }
  changed_.NotifyAll();
  return absl::OkStatus();
}

void FakeKeyValues::NextTransactions(std::vector<Fate> fates) {
  const MutexLock lock(mutex_);
  fates_.assign(fates.begin(), fates.end());
}

void FakeKeyValues::BeforeTransactions(std::function<void()> action) {
  const MutexLock lock(mutex_);
  before_ = std::move(action);
}

void FakeKeyValues::BeforeNextRead(std::function<void()> action) {
  const MutexLock lock(mutex_);
  before_read_ = std::move(action);
}

void FakeKeyValues::Compact() {
  const MutexLock lock(mutex_);
  compacted_ = revision_;
  changed_.NotifyAll();
}

void FakeKeyValues::ExpireLeases() {
  int64_t next = 0;
  {
    const MutexLock lock(mutex_);
    next = next_lease_;
  }
  for (int64_t lease = 1; lease < next; ++lease) {
    RevokeLease(lease, {}).IgnoreError();
  }
}

size_t FakeKeyValues::transactions() const {
  const MutexLock lock(mutex_);
  return transactions_;
}

}  // namespace vmattest::testing
