#include "ledger/etcd/etcd_log_store.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "ledger/etcd/log_codec.h"

namespace vmattest::ledger {
namespace {

// So many parts, each of kPartBytes and a record at most, fit one answer.
constexpr int64_t kPartsAtOnce = 128;
constexpr std::chrono::milliseconds kResignLimit{1'000};

std::string Hex(uint64_t number) { return fmt::format("{:016x}", number); }

// The record that a part's key begins with.
absl::StatusOr<uint64_t> PartStart(const std::string& key) {
  uint64_t start = 0;
  const size_t slash = key.rfind('/');
  for (const char c : std::string_view(key).substr(slash + 1)) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) {
      return absl::DataLossError(
          fmt::format("{} is no key of the ledger", etcd::Printable(key)));
    }
    start =
        (start << 4) | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return start;
}

absl::Status Archived(uint64_t first_record) {
  return absl::OutOfRangeError(
      fmt::format("records before {} are archived", first_record));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EtcdLogStore>> EtcdLogStore::Open(
    etcd::KeyValues& etcd, const Options& options) {
  std::unique_ptr<EtcdLogStore> store(new EtcdLogStore(etcd, options));
  RETURN_IF_ERROR(store->ReadHead().status());
  return store;
}

EtcdLogStore::~EtcdLogStore() {
  if (const Seat mine = seat(); mine != Seat()) {
    etcd_
        .RevokeLease(mine.lease,
                     std::chrono::steady_clock::now() + kResignLimit)
        .IgnoreError();
  }
}

std::string EtcdLogStore::BundleKey(uint64_t bundle) const {
  return Key("b/") + Hex(bundle) + "/";
}

std::string EtcdLogStore::PartKey(uint64_t start) const {
  return BundleKey(start / kBundle) + Hex(start);
}

absl::StatusOr<etcd::KeyValue> EtcdLogStore::ReadOne(const std::string& key) {
  ASSIGN_OR_RETURN(etcd::RangeResult found,
                   etcd_.Range({.key = key}, Deadline()));
  return found.kvs.empty() ? etcd::KeyValue() : std::move(found.kvs.front());
}

// "first" and "head" are neighbours: one read, at one moment.
absl::StatusOr<EtcdLogStore::Known> EtcdLogStore::ReadHead() {
  int64_t before = 0;
  {
    const MutexLock lock(known_mutex_);
    before = known_.head_revision;
  }
  ASSIGN_OR_RETURN(const etcd::RangeResult found,
                   etcd_.Range({.key = Key("first"),
                                .end = Key("head") + std::string(1, '\0')},
                               Deadline()));
  Known known{.head = EmptyHead()};
  for (const etcd::KeyValue& pair : found.kvs) {
    if (pair.key == Key("head")) {
      ASSIGN_OR_RETURN_WITH(known.head, DecodeLogHead(pair.value), pair.key);
      known.head_revision = pair.mod_revision;
    } else if (pair.key == Key("first")) {
      ASSIGN_OR_RETURN_WITH(known.first_record, DecodeNumber(pair.value),
                            pair.key);
    }
  }
  RETURN_IF_ERROR(Remember(known, before));
  return known;
}

// Another thread may have read a newer one in between, so being older than
// that is no fault.
absl::Status EtcdLogStore::Remember(const Known& known, int64_t before) {
  const MutexLock lock(known_mutex_);
  const bool newer = known.head_revision > known_.head_revision;
  if (known.head_revision < before ||
      (newer && known.head.size < known_.head.size) ||
      (known.head.size == known_.head.size && known.head != known_.head)) {
    return absl::DataLossError(fmt::format(
        "the ledger was rolled back: it had {} records with the root {}, and "
        "has {} with {}",
        known_.head.size, ToHex(known_.head.root), known.head.size,
        ToHex(known.head.root)));
  }
  const uint64_t first = std::max(known.first_record, known_.first_record);
  if (newer) {
    known_ = known;
  }
  known_.first_record = first;
  return absl::OkStatus();
}

absl::StatusOr<LogHead> EtcdLogStore::Head() {
  ASSIGN_OR_RETURN(Known known, ReadHead());
  return std::move(known.head);
}

absl::StatusOr<LogHead> EtcdLogStore::WaitForHead(
    uint64_t seen_size, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    ASSIGN_OR_RETURN(Known known, ReadHead());
    if (known.head.size != seen_size ||
        std::chrono::steady_clock::now() >= deadline) {
      return std::move(known.head);
    }
    RETURN_IF_ERROR(
        etcd_.AwaitChange(Key("head"), "", known.head_revision, deadline)
            .status());
  }
}

absl::StatusOr<HashTile> EtcdLogStore::Tile(uint32_t level, uint64_t index) {
  ASSIGN_OR_RETURN(const etcd::KeyValue found,
                   ReadOne(Key(fmt::format("t/{:02x}/{}", level, Hex(index)))));
  if (found.key.empty()) {
    return absl::NotFoundError(fmt::format("no tile {}/{}", level, index));
  }
  return HashTile{
      .level = level, .index = index, .hashes = ToBytes(found.value)};
}

absl::StatusOr<std::vector<Bytes>> EtcdLogStore::Records(uint64_t begin,
                                                         size_t limit) {
  ASSIGN_OR_RETURN(const Known known, ReadHead());
  if (begin < known.first_record) {
    return Archived(known.first_record);
  }
  std::vector<Bytes> records;
  const uint64_t end =
      begin >= known.head.size
          ? begin
          : begin + std::min<uint64_t>(limit, known.head.size - begin);
  std::string from = BundleKey(begin / kBundle);
  while (records.empty() && begin < end) {
    ASSIGN_OR_RETURN(const etcd::RangeResult parts,
                     etcd_.Range({.key = from,
                                  .end = BundleKey((end - 1) / kBundle + 1),
                                  .limit = kPartsAtOnce},
                                 Deadline()));
    for (const etcd::KeyValue& pair : parts.kvs) {
      ASSIGN_OR_RETURN(const uint64_t start, PartStart(pair.key));
      ASSIGN_OR_RETURN_WITH(std::vector<Bytes> part, DecodePart(pair.value),
                            etcd::Printable(pair.key));
      const uint64_t next = begin + records.size();
      if (start > next) {
        break;  // what is missing is noticed below
      }
      for (uint64_t i = next - start; i < part.size() && start + i < end; ++i) {
        records.push_back(std::move(part[i]));
      }
    }
    if (records.empty() && !parts.more) {
      // Perhaps they were trimmed since the head was read.
      ASSIGN_OR_RETURN(const Known now, ReadHead());
      return begin < now.first_record
                 ? Archived(now.first_record)
                 : absl::DataLossError(
                       fmt::format("the ledger has no record {}", begin));
    }
    from = parts.kvs.empty() ? from : parts.kvs.back().key + '\0';
  }
  return records;
}

absl::StatusOr<std::optional<StoredCheckpoint>> EtcdLogStore::Checkpoint() {
  ASSIGN_OR_RETURN(const etcd::KeyValue found, ReadOne(Key("cp")));
  if (found.key.empty()) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN_WITH(StoredCheckpoint checkpoint,
                        DecodeCheckpoint(found.value), found.key);
  return checkpoint;
}

absl::Status EtcdLogStore::PutCheckpoint(const StoredCheckpoint& checkpoint) {
  const MonotonicTime deadline = Deadline();
  const std::string value = EncodeCheckpoint(checkpoint);
  while (true) {
    ASSIGN_OR_RETURN(const etcd::KeyValue found, ReadOne(Key("cp")));
    if (found.value == value) {
      return absl::OkStatus();
    }
    if (!found.key.empty()) {
      ASSIGN_OR_RETURN_WITH(const StoredCheckpoint stored,
                            DecodeCheckpoint(found.value), found.key);
      if (stored.size > checkpoint.size) {
        return absl::AbortedError(
            fmt::format("there is a checkpoint of {} records", stored.size));
      }
    }
    const absl::Status put =
        etcd::Commit(etcd_,
                     {.guard = Key("cp"),
                      .guard_revision = found.mod_revision,
                      .marker = Key("cp"),
                      .writes = {etcd::Put{Key("cp"), value}}},
                     deadline)
            .status();
    if (!absl::IsAborted(put)) {
      return put;
    }
  }
}

}  // namespace vmattest::ledger
