#include "ledger/log.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "merkle/tree.h"

namespace vmattest::ledger {
namespace {

constexpr size_t kReplayPage = 1'024;
constexpr auto kSha256 = HashAlgorithm::kSha256;

absl::Status Damaged(uint64_t index, std::string_view problem) {
  return absl::DataLossError(
      fmt::format("record {} of the ledger: {}", index, problem));
}

std::string Told(const Reason& reason) {
  return fmt::format("{} at {}: expected '{}', found '{}'", reason.code,
                     reason.element, reason.expected, reason.found);
}

absl::Status NotSignedFor(uint64_t size) {
  return absl::DataLossError(
      fmt::format("the first {} records are not those that were signed for: "
                  "the ledger was rolled back and grew again, or is another "
                  "one",
                  size));
}

absl::Status RolledBack(uint64_t has, uint64_t had) {
  return absl::DataLossError(fmt::format(
      "the ledger has {} records, and had {}: it was rolled back", has, had));
}

absl::StatusOr<std::vector<LogState::Item>> ReadState(LogStore& store) {
  std::vector<LogState::Item> items;
  while (true) {
    ASSIGN_OR_RETURN(
        std::vector<StateItem> page,
        store.State(items.empty() ? "" : items.back().first, kReplayPage));
    for (StateItem& item : page) {
      items.emplace_back(std::move(item.key), std::move(item.value));
    }
    if (page.size() < kReplayPage) {
      return items;
    }
  }
}

bool IsUnknownOutcome(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         status.code() == absl::StatusCode::kUnknown ||
         status.code() == absl::StatusCode::kCancelled;
}

}  // namespace

Log::Log(LogStore& store, LogPolicy policy, ReadRecords archive)
    : store_(store),
      archive_(std::move(archive)),
      policy_(policy),
      state_(std::move(policy)),
      head_(EmptyHead()) {}

tlog::ReadTile Log::Reader() {
  return
      [this](uint32_t level, uint64_t index, size_t) -> absl::StatusOr<Bytes> {
        ASSIGN_OR_RETURN(HashTile tile, store_.Tile(level, index));
        return std::move(tile.hashes);
      };
}

absl::StatusOr<std::unique_ptr<Log>> Log::Open(LogStore& store,
                                               LogPolicy policy,
                                               Trusted trusted,
                                               Progress progress,
                                               ReadRecords archive) {
  std::unique_ptr<Log> log(
      new Log(store, std::move(policy), std::move(archive)));
  const MutexLock opening(log->mutex_);
  ASSIGN_OR_RETURN(const LogHead head, store.Head());
  ASSIGN_OR_RETURN(const uint64_t first, store.FirstRecord());
  if (trusted.size > head.size) {
    return absl::DataLossError(fmt::format(
        "the ledger has {} records, but {} were signed for: it was rolled back",
        head.size, trusted.size));
  }
  ASSIGN_OR_RETURN(const uint64_t state_size, store.StateSize());
  if (first > 0 && state_size >= first && state_size < head.size) {
    RETURN_IF_ERROR(log->BeginAt(state_size, head, trusted));
  }
  RETURN_IF_ERROR(log->Replay(head, trusted, progress));
  return log;
}

// At the state that was kept when records below it went. It is what the record
// after it, a state-root entry of the authority's, says it is; and that record
// is in the tree whose root this node signed for.
absl::Status Log::BeginAt(uint64_t size, const LogHead& head,
                          const Trusted& trusted) {
  ASSIGN_OR_RETURN(const std::vector<LogState::Item> items, ReadState(store_));
  absl::Status restored = state_.Restore(size, items);
  // Nothing but what the root below is over.
  if (restored.ok() && state_.Items() != items) {
    restored = absl::DataLossError("the stored state is not in its one form");
  }
  if (!restored.ok()) {
    return absl::DataLossError(restored.message());
  }
  ASSIGN_OR_RETURN(edge_, tlog::TreeEdge::Load(Reader(), size));
  ASSIGN_OR_RETURN(const std::vector<Bytes> confirming,
                   store_.Records(size, 1));
  const absl::StatusOr<Record> record =
      confirming.empty() ? absl::NotFoundError("") : ParseRecord(confirming[0]);
  const absl::StatusOr<Entry> entry =
      record.ok() ? ParseEntry(record->entry) : record.status();
  if (!entry.ok() || !entry->body.has_state_root()) {
    return Damaged(size, "confirms no state, and those before it were trimmed");
  }
  RETURN_IF_ERROR(TakeRecord(confirming[0], true));
  if (trusted.size == 0 || trusted.size > size + 1) {
    return absl::OkStatus();  // Replay() meets it
  }
  ASSIGN_OR_RETURN(
      const std::vector<Bytes> path,
      tlog::TileTree(Reader(), head.size).ConsistencyProof(trusted.size));
  return merkle::VerifyConsistency(kSha256, trusted.size, head.size,
                                   trusted.root, head.root, path)
             ? absl::OkStatus()
             : NotSignedFor(trusted.size);
}

absl::Status Log::CatchUp() {
  const MutexLock appending(append_mutex_);
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const LogHead head, store_.Head());
  if (head.size < head_.size) {
    return RolledBack(head.size, head_.size);
  }
  return Replay(head, {}, {});
}

// From what the state has to `head`.
absl::Status Log::Replay(const LogHead& head, const Trusted& trusted,
                         const Progress& progress) {
  while (state_.size() < head.size) {
    ASSIGN_OR_RETURN(const std::vector<Bytes> page, NextRecords(head.size));
    for (const Bytes& record : page) {
      RETURN_IF_ERROR(TakeRecord(record, state_.size() >= trusted.size));
      if (state_.size() == trusted.size && edge_.Root() != trusted.root) {
        return NotSignedFor(trusted.size);
      }
    }
    RETURN_IF_ERROR(CheckTiles());
    if (progress) {
      progress(state_.size(), head.size);
    }
  }
  if (edge_.Root() != head.root) {
    return absl::DataLossError(fmt::format(
        "the root of the ledger's {} records is not its head's", head.size));
  }
  if (head.size > 0 && state_.time_ms() != head.time_unix_ms) {
    return absl::DataLossError("the head's ledger time is not its record's");
  }
  head_ = head;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Bytes>> Log::NextRecords(uint64_t end) {
  const uint64_t at = state_.size();
  const size_t most = std::min<uint64_t>(kReplayPage, end - at);
  absl::StatusOr<std::vector<Bytes>> page = store_.Records(at, most);
  if (absl::IsOutOfRange(page.status()) && archive_) {
    page = archive_(at, most);
  }
  if (absl::IsOutOfRange(page.status())) {
    return Damaged(at, std::string(page.status().message()));
  }
  return page.ok() && page->empty() ? Damaged(at, "is missing")
                                    : std::move(page);
}

absl::Status Log::TakeRecord(const Bytes& bytes, bool check_signature) {
  const uint64_t index = state_.size();
  absl::StatusOr<Record> record = ParseRecord(bytes);
  if (!record.ok()) {
    return Damaged(index, std::string(record.status().message()));
  }
  const absl::StatusOr<Entry> entry = ParseEntry(std::move(record->entry));
  if (!entry.ok()) {
    return Damaged(index, std::string(entry.status().message()));
  }
  const WriterKey key = state_.KeyFor(*entry);
  std::optional<Reason> refusal =
      state_.Check(*entry, key, record->time_unix_ms);
  if (!refusal && check_signature) {
    refusal = CheckSignature(state_.policy(), *entry, key);
  }
  if (refusal) {
    return Damaged(index, Told(*refusal));
  }
  state_.Apply(*entry, record->time_unix_ms);
  edge_.Append(merkle::LeafHash(kSha256, bytes));
  return absl::OkStatus();
}

// What the records give against what the store has.
absl::Status Log::CheckTiles() {
  for (const tlog::TreeEdge::Changed& changed : edge_.TakeChanged()) {
    ASSIGN_OR_RETURN(const HashTile tile,
                     store_.Tile(changed.level, changed.index));
    if (tile.hashes.size() < changed.hashes.size() ||
        !std::equal(changed.hashes.begin(), changed.hashes.end(),
                    tile.hashes.begin())) {
      size_t at = 0;
      while (at < changed.hashes.size() && at < tile.hashes.size() &&
             changed.hashes[at] == tile.hashes[at]) {
        ++at;
      }
      return absl::DataLossError(fmt::format(
          "hash {} of tile {}/{} is not that of the records: one of them was "
          "changed",
          at / tlog::kHashSize, changed.level, changed.index));
    }
  }
  return absl::OkStatus();
}

LogHead Log::head() const {
  const MutexLock lock(mutex_);
  return head_;
}

void Log::Witnessed(uint64_t size) {
  const MutexLock lock(mutex_);
  state_.Witnessed(std::min(size, state_.size()));
}

absl::StatusOr<std::vector<Outcome>> Log::Append(
    const std::vector<CheckedEntry>& entries, WallTime now) {
  std::vector<const CheckedEntry*> all;
  all.reserve(entries.size());
  for (const CheckedEntry& entry : entries) {
    all.push_back(&entry);
  }
  return Append(all, now);
}

// What of `entries` can be appended now, in one batch.
Log::Plan Log::MakePlan(const std::vector<const CheckedEntry*>& entries,
                        WallTime now) const {
  const MutexLock lock(mutex_);
  const int64_t time = std::max(
      static_cast<int64_t>(now.time_since_epoch().count()), state_.time_ms());
  Plan plan{.outcomes = std::vector<Outcome>(entries.size()),
            .batch = {.before = head_, .after = head_},
            .edge = edge_};
  std::unordered_set<std::string> touched;
  bool all_touched = false;
  for (size_t i = 0; i < entries.size() && plan.taken.size() < kMaxBatch; ++i) {
    const Entry& entry = entries[i]->entry;
    Outcome& outcome = plan.outcomes[i];
    if ((outcome.index = state_.FindRetry(entry))) {
      continue;
    }
    std::vector<std::string> touches = LogState::Touches(entry);
    const bool alone = touches.front() == "*";
    const bool shared = std::any_of(
        touches.begin(), touches.end(),
        [&touched](const std::string& t) { return touched.contains(t); });
    const bool waits = all_touched || shared || (alone && !plan.taken.empty());
    if (!waits) {
      outcome.refusal = state_.Check(entry, entries[i]->key, time);
      if (outcome.refusal) {
        continue;
      }
      plan.taken.push_back(i);
      plan.batch.records.push_back(EncodeRecord(time, entry.bytes));
      plan.edge.Append(merkle::LeafHash(kSha256, plan.batch.records.back()));
    }
    // One that waits comes after those that it waits for; so does what waits
    // for it.
    all_touched = all_touched || alone;
    touched.insert(std::make_move_iterator(touches.begin()),
                   std::make_move_iterator(touches.end()));
  }
  plan.batch.after = {.size = head_.size + plan.taken.size(),
                      .root = plan.edge.Root(),
                      .time_unix_ms = time};
  for (tlog::TreeEdge::Changed& tile : plan.edge.TakeChanged()) {
    plan.batch.tiles.push_back({.level = tile.level,
                                .index = tile.index,
                                .hashes = std::move(tile.hashes)});
  }
  return plan;
}

absl::StatusOr<std::vector<Outcome>> Log::Append(
    const std::vector<const CheckedEntry*>& entries, WallTime now) {
  // Readers are not kept waiting for the store.
  const MutexLock appending(append_mutex_);
  Plan plan = MakePlan(entries, now);
  if (plan.taken.empty()) {
    RETURN_IF_ERROR(CheckCurrent(plan.outcomes));
    return std::move(plan.outcomes);
  }
  RETURN_IF_ERROR(Commit(plan.batch));
  const MutexLock lock(mutex_);
  edge_ = std::move(plan.edge);
  head_ = plan.batch.after;
  for (const size_t i : plan.taken) {
    plan.outcomes[i].index = state_.size();
    plan.outcomes[i].time_ms = head_.time_unix_ms;
    state_.Apply(entries[i]->entry, head_.time_unix_ms);
  }
  return std::move(plan.outcomes);
}

// A refusal is for good, and a retry's answer says that the entry is there, so
// neither must rest on a state that the store is not in any more. What is
// appended proves that by itself.
absl::Status Log::CheckCurrent(const std::vector<Outcome>& outcomes) {
  const bool settles = std::any_of(
      outcomes.begin(), outcomes.end(),
      [](const Outcome& outcome) { return outcome.refusal || outcome.index; });
  if (!settles) {
    return absl::OkStatus();
  }
  const LogHead had = this->head();
  ASSIGN_OR_RETURN(const LogHead head, store_.Head());
  if (head.size < had.size) {
    return RolledBack(head.size, had.size);
  }
  return head == had ? absl::OkStatus()
                     : absl::AbortedError("another node appended meanwhile");
}

// Never retries blindly: after an error that says nothing, the head does.
absl::Status Log::Commit(const LogBatch& batch) {
  const absl::Status status = store_.Append(batch);
  if (!IsUnknownOutcome(status)) {
    return status;
  }
  ASSIGN_OR_RETURN(const LogHead head, store_.Head());
  if (head == batch.after) {
    return absl::OkStatus();
  }
  return head == batch.before
             ? absl::UnavailableError(status.message())
             : absl::AbortedError("another node appended meanwhile");
}

absl::StatusOr<Record> Log::Read(uint64_t index) {
  ASSIGN_OR_RETURN(const std::vector<Bytes> records, store_.Records(index, 1));
  if (records.empty()) {
    return absl::OutOfRangeError(fmt::format("there is no record {}", index));
  }
  return ParseRecord(records[0]);
}

absl::StatusOr<Log::Included> Log::ReadIncluded(uint64_t index, uint64_t size) {
  Included included;
  ASSIGN_OR_RETURN(included.path, InclusionProof(index, size));
  ASSIGN_OR_RETURN(std::vector<Bytes> records, store_.Records(index, 1));
  if (records.empty()) {
    return Damaged(index, "is missing");
  }
  ASSIGN_OR_RETURN(included.record, ParseRecord(records[0]));
  included.record_bytes = std::move(records[0]);
  return included;
}

absl::StatusOr<std::vector<Bytes>> Log::InclusionProof(uint64_t index,
                                                       uint64_t size) {
  if (size > head().size) {
    return absl::OutOfRangeError(fmt::format("no tree of {} yet", size));
  }
  return tlog::TileTree(Reader(), size).InclusionProof(index);
}

absl::StatusOr<std::vector<Bytes>> Log::ConsistencyProof(uint64_t old_size,
                                                         uint64_t size) {
  if (size > head().size) {
    return absl::OutOfRangeError(fmt::format("no tree of {} yet", size));
  }
  return tlog::TileTree(Reader(), size).ConsistencyProof(old_size);
}

absl::StatusOr<Bytes> Log::RootAt(uint64_t size) {
  if (size > head().size) {
    return absl::OutOfRangeError(fmt::format("no tree of {} yet", size));
  }
  return tlog::TileTree(Reader(), size).Root();
}

}  // namespace vmattest::ledger
