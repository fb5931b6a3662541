#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "ledger/etcd/etcd_log_store.h"
#include "ledger/etcd/log_codec.h"

// The part of EtcdLogStore that is the leader's.

namespace vmattest::ledger {
namespace {

// Beside parts: head and tiles, which come last.
constexpr size_t kRoomForTiles = 300'000;
constexpr size_t kRoomForTileWrites = 40;

// Where the part that begins with record `at` ends: bundles are not crossed.
size_t PartEnd(const std::vector<Bytes>& records, size_t at, uint64_t start) {
  const uint64_t left = kBundle - (start + at) % kBundle;
  const size_t last = std::min<uint64_t>(records.size(), at + left);
  size_t bytes = 0;
  size_t end = at;
  while (end < last && bytes < kPartBytes) {
    bytes += records[end++].size();
  }
  return end;
}

size_t SizeOf(const etcd::Put& put) {
  return put.key.size() + put.value.size();
}

}  // namespace

EtcdLogStore::Seat EtcdLogStore::seat() const {
  const MutexLock lock(seat_mutex_);
  return seat_;
}

absl::StatusOr<bool> EtcdLogStore::Renew() {
  const Seat held = seat();
  if (held == Seat()) {
    return false;
  }
  const absl::Status kept = etcd_.KeepAlive(held.lease, Deadline());
  if (!kept.ok() && !absl::IsNotFound(kept)) {
    return kept;
  }
  ASSIGN_OR_RETURN(const etcd::KeyValue found, ReadOne(Key("seq/leader")));
  const bool mine = found.create_revision == held.create_revision;
  const MutexLock lock(seat_mutex_);
  if (!mine && seat_ == held) {
    seat_ = Seat();
  }
  return mine;
}

absl::StatusOr<Leadership> EtcdLogStore::Campaign(const std::string& self) {
  const std::string key = Key("seq/leader");
  ASSIGN_OR_RETURN(etcd::KeyValue leader, ReadOne(key));
  if (!leader.key.empty()) {
    return Leadership{.mine = false, .leader = leader.value};
  }
  ASSIGN_OR_RETURN(const int64_t lease,
                   etcd_.GrantLease(options_.lease, Deadline()));
  const absl::Status taken =
      etcd_
          .Transact({.conditions = {{.key = key,
                                     .of = etcd::Condition::Of::kCreateRevision,
                                     .revision = 0}},
                     .writes = {etcd::Put{key, self, lease}}},
                    Deadline())
          .status();
  if (!taken.ok() && !etcd::IsUnknownOutcome(taken)) {
    return taken;
  }
  // Who holds it says whether that was done: the lease is this node's alone.
  ASSIGN_OR_RETURN(leader, ReadOne(key));
  const bool mine = leader.lease == lease;
  if (!mine) {
    RETURN_IF_ERROR(etcd_.RevokeLease(lease, Deadline()));
    return Leadership{.mine = false, .leader = leader.value};
  }
  const MutexLock lock(seat_mutex_);
  seat_ = {.lease = lease, .create_revision = leader.create_revision};
  return Leadership{.mine = true, .leader = self};
}

absl::StatusOr<Leadership> EtcdLogStore::Lead(const std::string& self) {
  ASSIGN_OR_RETURN(const bool mine, Renew());
  return mine ? absl::StatusOr<Leadership>({.mine = true, .leader = self})
              : Campaign(self);
}

absl::Status EtcdLogStore::Resign() {
  Seat held;
  {
    const MutexLock lock(seat_mutex_);
    held = std::exchange(seat_, Seat());
  }
  return held == Seat() ? absl::OkStatus()
                        : etcd_.RevokeLease(held.lease, Deadline());
}

etcd::Condition EtcdLogStore::Fence(const Seat& seat) const {
  return {.key = Key("seq/leader"),
          .of = etcd::Condition::Of::kCreateRevision,
          .revision = seat.create_revision};
}

absl::StatusOr<EtcdLogStore::Known> EtcdLogStore::HeadToAppendTo(
    const LogBatch& batch) {
  Known known;
  {
    const MutexLock lock(known_mutex_);
    known = known_;
  }
  if (known.head != batch.before) {
    ASSIGN_OR_RETURN(known, ReadHead());
  }
  if (known.head != batch.before) {
    return absl::AbortedError(
        fmt::format("the ledger has {} records by now", known.head.size));
  }
  return known;
}

// Takes away what an append that was not finished left beyond the head. The
// head is written again, so that what is still under way comes too late.
absl::Status EtcdLogStore::Sweep(const Seat& seat, Known& known) {
  if (swept_ == seat) {
    return absl::OkStatus();
  }
  const CommitMark mark{.leader = seat.create_revision, .attempt = ++attempts_};
  ASSIGN_OR_RETURN(
      const etcd::Outcome done,
      etcd::Commit(
          etcd_,
          {.guard = Key("head"),
           .guard_revision = known.head_revision,
           .marker = Key("head"),
           .more = {Fence(seat)},
           .writes = {etcd::Put{Key("head"), EncodeLogHead(known.head, mark)},
                      etcd::Delete{PartKey(known.head.size),
                                   etcd::PrefixEnd(Key("b/"))}}},
          Deadline()));
  const int64_t before = std::exchange(known.head_revision, done.revision);
  swept_ = seat;
  return Remember(known, before);
}

// Fenced, and the same again if it comes twice: so it may be repeated.
absl::Status EtcdLogStore::WriteAhead(const etcd::Transaction& transaction) {
  const MonotonicTime deadline = Deadline();
  while (true) {
    const absl::StatusOr<etcd::Outcome> outcome =
        etcd_.Transact(transaction, deadline);
    if (outcome.ok()) {
      return outcome->done ? absl::OkStatus()
                           : absl::AbortedError("the ledger changed meanwhile");
    }
    if (!etcd::IsUnknownOutcome(outcome.status()) ||
        std::chrono::steady_clock::now() >= deadline) {
      return outcome.status();
    }
  }
}

absl::Status EtcdLogStore::Write(const LogBatch& batch, const Seat& seat,
                                 const Known& known) {
  const CommitMark mark{.leader = seat.create_revision, .attempt = ++attempts_};
  const etcd::Condition unchanged{.key = Key("head"),
                                  .of = etcd::Condition::Of::kModRevision,
                                  .revision = known.head_revision};
  etcd::Transaction ahead{.conditions = {unchanged, Fence(seat)}};
  std::string last;
  size_t bytes = 0;
  for (size_t at = 0; at < batch.records.size();) {
    const size_t end = PartEnd(batch.records, at, batch.before.size);
    last = PartKey(batch.before.size + at);
    etcd::Put part{last, EncodePart(batch.records, at, end, mark)};
    if (bytes + SizeOf(part) > etcd::kMaxTransactionBytes - kRoomForTiles ||
        ahead.writes.size() + kRoomForTileWrites > etcd::kMaxWrites) {
      swept_ = Seat();
      RETURN_IF_ERROR(WriteAhead(ahead));
      ahead.writes.clear();
      bytes = 0;
    }
    bytes += SizeOf(part);
    ahead.writes.emplace_back(std::move(part));
    at = end;
  }
  for (const HashTile& tile : batch.tiles) {
    ahead.writes.emplace_back(
        etcd::Put{Key(fmt::format("t/{:02x}/{:016x}", tile.level, tile.index)),
                  std::string(AsText(tile.hashes))});
  }
  ahead.writes.emplace_back(
      etcd::Put{Key("head"), EncodeLogHead(batch.after, mark)});
  ASSIGN_OR_RETURN(const etcd::Outcome done,
                   etcd::Commit(etcd_,
                                {.guard = Key("head"),
                                 .guard_revision = known.head_revision,
                                 .marker = last,
                                 .more = {Fence(seat)},
                                 .writes = std::move(ahead.writes)},
                                Deadline()));
  swept_ = seat;
  return Remember({.head = batch.after,
                   .head_revision = done.revision,
                   .first_record = known.first_record},
                  known.head_revision);
}

absl::Status EtcdLogStore::Append(const LogBatch& batch) {
  RETURN_IF_ERROR(CheckBatch(batch));
  const MutexLock lock(append_mutex_);
  const Seat mine = seat();
  if (mine == Seat()) {
    return absl::AbortedError("this node does not lead the ledger");
  }
  ASSIGN_OR_RETURN(Known known, HeadToAppendTo(batch));
  RETURN_IF_ERROR(Sweep(mine, known));
  return Write(batch, mine, known);
}

}  // namespace vmattest::ledger
