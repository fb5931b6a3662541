#include <algorithm>
#include <utility>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "ledger/etcd/etcd_log_store.h"
#include "ledger/etcd/log_codec.h"

// The part of EtcdLogStore that is about derived state, archives and trimming.

namespace vmattest::ledger {
namespace {

constexpr size_t kItemsAtOnce = 100;
constexpr size_t kItemBytesAtOnce = 1'000'000;
constexpr int64_t kStatePage = 500;
constexpr uint64_t kTrimAtOnce = 65'536;

}  // namespace

absl::StatusOr<EtcdLogStore::StateMark> EtcdLogStore::ReadStateMark() {
  ASSIGN_OR_RETURN(const etcd::KeyValue found, ReadOne(Key("state")));
  if (found.key.empty()) {
    return StateMark();
  }
  ASSIGN_OR_RETURN_WITH(const uint64_t size, DecodeNumber(found.value),
                        found.key);
  return StateMark{.size = size, .revision = found.mod_revision};
}

absl::StatusOr<EtcdLogStore::StateMark> EtcdLogStore::PutMark(
    const StateMark& before, uint64_t size,
    std::vector<std::variant<etcd::Put, etcd::Delete>> writes) {
  const Bytes own = RandomBytes(16);
  writes.emplace_back(etcd::Put{Key("state"), EncodeNumber(size, AsText(own))});
  ASSIGN_OR_RETURN(const etcd::Outcome done,
                   etcd::Commit(etcd_,
                                {.guard = Key("state"),
                                 .guard_revision = before.revision,
                                 .marker = Key("state"),
                                 .writes = std::move(writes)},
                                Deadline()));
  return StateMark{.size = size, .revision = done.revision};
}

absl::Status EtcdLogStore::PutState(uint64_t seen_size, uint64_t size,
                                    const std::vector<StateItem>& items) {
  ASSIGN_OR_RETURN(StateMark mark, ReadStateMark());
  ASSIGN_OR_RETURN(const Known known, ReadHead());
  if (mark.size != seen_size || size < seen_size || size > known.head.size) {
    return absl::AbortedError(
        fmt::format("the state is of {} records by now", mark.size));
  }
  if (seen_size == 0 && mark.revision != 0) {
    // What a writer left that was not finished.
    ASSIGN_OR_RETURN(
        mark, PutMark(mark, 0,
                      {etcd::Delete{Key("st/"), etcd::PrefixEnd(Key("st/"))}}));
  }
  std::vector<std::variant<etcd::Put, etcd::Delete>> writes;
  size_t bytes = 0;
  for (const StateItem& item : items) {
    const size_t own = item.key.size() + item.value.size();
    if (writes.size() >= kItemsAtOnce || bytes + own > kItemBytesAtOnce) {
      ASSIGN_OR_RETURN(mark, PutMark(mark, 0, std::exchange(writes, {})));
      bytes = 0;
    }
    bytes += own;
    if (item.value.empty()) {
      writes.emplace_back(etcd::Delete{Key("st/") + item.key, ""});
    } else {
      writes.emplace_back(
          etcd::Put{Key("st/") + item.key, std::string(AsText(item.value))});
    }
  }
  return PutMark(mark, size, std::move(writes)).status();
}

absl::StatusOr<uint64_t> EtcdLogStore::StateSize() {
  ASSIGN_OR_RETURN(const StateMark mark, ReadStateMark());
  return mark.size;
}

absl::StatusOr<std::vector<StateItem>> EtcdLogStore::State(
    const std::string& after, size_t limit) {
  std::vector<StateItem> items;
  const std::string prefix = Key("st/");
  std::string from = prefix + (after.empty() ? "" : after + '\0');
  while (items.size() < limit) {
    ASSIGN_OR_RETURN(
        etcd::RangeResult page,
        etcd_.Range(
            {.key = from,
             .end = etcd::PrefixEnd(prefix),
             .limit = std::min<int64_t>(
                 kStatePage, static_cast<int64_t>(limit - items.size()))},
            Deadline()));
    for (etcd::KeyValue& pair : page.kvs) {
      items.push_back({.key = pair.key.substr(prefix.size()),
                       .value = ToBytes(pair.value)});
    }
    if (!page.more) {
      break;
    }
    from = page.kvs.back().key + '\0';
  }
  return items;
}

absl::Status EtcdLogStore::MarkArchived(const std::string& node,
                                        uint64_t size) {
  const std::string key = Key("arch/") + node;
  const MonotonicTime deadline = Deadline();
  while (true) {
    ASSIGN_OR_RETURN(const etcd::KeyValue found, ReadOne(key));
    if (!found.key.empty()) {
      ASSIGN_OR_RETURN_WITH(const uint64_t marked, DecodeNumber(found.value),
                            etcd::Printable(key));
      if (marked >= size) {
        return absl::OkStatus();
      }
    }
    const absl::Status put =
        etcd::Commit(etcd_,
                     {.guard = key,
                      .guard_revision = found.mod_revision,
                      .marker = key,
                      .writes = {etcd::Put{key, EncodeNumber(size)}}},
                     deadline)
            .status();
    if (!absl::IsAborted(put)) {
      return put;
    }
  }
}

absl::StatusOr<uint64_t> EtcdLogStore::FirstRecord() {
  ASSIGN_OR_RETURN(const Known known, ReadHead());
  return known.first_record;
}

absl::Status EtcdLogStore::CheckArchives(
    uint64_t before, const std::vector<std::string>& archives,
    etcd::Transaction& transaction) {
  ASSIGN_OR_RETURN(const StateMark state, ReadStateMark());
  if (archives.empty() || before > state.size) {
    return absl::FailedPreconditionError(fmt::format(
        "records before {} are needed: {} archives, state of {} records",
        before, archives.size(), state.size));
  }
  transaction.conditions.push_back({.key = Key("state"),
                                    .of = etcd::Condition::Of::kModRevision,
                                    .revision = state.revision});
  for (const std::string& node : archives) {
    const std::string key = Key("arch/") + node;
    ASSIGN_OR_RETURN(const etcd::KeyValue found, ReadOne(key));
    uint64_t marked = 0;
    if (!found.key.empty()) {
      ASSIGN_OR_RETURN_WITH(marked, DecodeNumber(found.value),
                            etcd::Printable(key));
    }
    if (marked < before) {
      return absl::FailedPreconditionError(fmt::format(
          "{} has not archived the records before {}", node, before));
    }
    transaction.conditions.push_back({.key = key,
                                      .of = etcd::Condition::Of::kModRevision,
                                      .revision = found.mod_revision});
  }
  return absl::OkStatus();
}

// In steps, since etcd does nothing else while it deletes. Whole bundles: what
// is left of one is refused, and goes with the next trim.
absl::Status EtcdLogStore::Trim(uint64_t before,
                                const std::vector<std::string>& archives) {
  ASSIGN_OR_RETURN(const Known known, ReadHead());
  for (uint64_t first = known.first_record; first < before;) {
    first = std::min(before, first + kTrimAtOnce);
    etcd::Transaction step;
    RETURN_IF_ERROR(CheckArchives(before, archives, step));
    ASSIGN_OR_RETURN(const etcd::KeyValue at, ReadOne(Key("first")));
    if (!at.key.empty()) {
      ASSIGN_OR_RETURN_WITH(const uint64_t now, DecodeNumber(at.value), at.key);
      first = std::max(first, now);
    }
    RETURN_IF_ERROR(
        etcd::Commit(
            etcd_,
            {.guard = Key("first"),
             .guard_revision = at.mod_revision,
             .marker = Key("first"),
             .more = std::move(step.conditions),
             .writes = {etcd::Put{Key("first"),
                                  EncodeNumber(first, AsText(RandomBytes(16)))},
                        etcd::Delete{BundleKey(0),
                                     BundleKey(first / kBundle)}}},
            Deadline())
            .status());
  }
  return absl::OkStatus();
}

}  // namespace vmattest::ledger
