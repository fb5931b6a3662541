#include "ledger/log.h"

#include <algorithm>
#include <set>
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

bool IsUnknownOutcome(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         status.code() == absl::StatusCode::kUnknown ||
         status.code() == absl::StatusCode::kCancelled;
}

}  // namespace

Log::Log(LogStore& store, LogPolicy policy)
    : store_(store), state_(std::move(policy)), head_(EmptyHead()) {}

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
                                               Progress progress) {
  std::unique_ptr<Log> log(new Log(store, std::move(policy)));
  const MutexLock opening(log->mutex_);
  ASSIGN_OR_RETURN(const LogHead head, store.Head());
  ASSIGN_OR_RETURN(const uint64_t first, store.FirstRecord());
  if (first > 0) {
    return absl::FailedPreconditionError(fmt::format(
        "records before {} were trimmed: read them from an archive", first));
  }
  if (trusted.size > head.size) {
    return absl::DataLossError(fmt::format(
        "the ledger has {} records, but {} were signed for: it was rolled back",
        head.size, trusted.size));
  }
  RETURN_IF_ERROR(log->Replay(head, trusted, progress));
  return log;
}

absl::Status Log::CatchUp() {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const LogHead head, store_.Head());
  if (head.size < head_.size) {
    return absl::DataLossError(
        fmt::format("the ledger has {} records, and had {}: it was rolled back",
                    head.size, head_.size));
  }
  return Replay(head, {}, {});
}

// From what the state has to `head`.
absl::Status Log::Replay(const LogHead& head, const Trusted& trusted,
                         const Progress& progress) {
  while (state_.size() < head.size) {
    ASSIGN_OR_RETURN(
        const std::vector<Bytes> page,
        store_.Records(
            state_.size(),
            std::min<uint64_t>(kReplayPage, head.size - state_.size())));
    if (page.empty()) {
      return Damaged(state_.size(), "is missing");
    }
    for (const Bytes& record : page) {
      RETURN_IF_ERROR(TakeRecord(record, state_.size() >= trusted.size));
      if (state_.size() == trusted.size && edge_.Root() != trusted.root) {
        return absl::DataLossError(fmt::format(
            "the first {} records are not those that were signed for: the "
            "ledger was rolled back and grew again, or is another one",
            trusted.size));
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

absl::Status Log::TakeRecord(const Bytes& bytes, bool check_signature) {
  const uint64_t index = state_.size();
  const absl::StatusOr<Record> record = ParseRecord(bytes);
  if (!record.ok()) {
    return Damaged(index, std::string(record.status().message()));
  }
  const absl::StatusOr<Entry> entry = ParseEntry(record->entry);
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
  const MutexLock lock(mutex_);
  const int64_t time = std::max(
      static_cast<int64_t>(now.time_since_epoch().count()), state_.time_ms());
  std::vector<Outcome> outcomes(entries.size());
  std::vector<size_t> taken;
  std::set<std::string> touched;
  LogBatch batch{.before = head_, .after = head_};
  tlog::TreeEdge edge = edge_;
  for (size_t i = 0; i < entries.size() && taken.size() < kMaxBatch; ++i) {
    const Entry& entry = entries[i].entry;
    if ((outcomes[i].index = state_.FindRetry(entry))) {
      continue;
    }
    const std::vector<std::string> touches = LogState::Touches(entry);
    const bool alone = std::count(touches.begin(), touches.end(), "*") > 0;
    const bool shared = std::any_of(
        touches.begin(), touches.end(),
        [&touched](const std::string& t) { return touched.count(t) > 0; });
    if (shared || (alone && !taken.empty()) || touched.count("*") > 0) {
      // Its turn comes after those that it waits for; so does that of what
      // waits for it.
      touched.insert(touches.begin(), touches.end());
      continue;
    }
    outcomes[i].refusal = state_.Check(entry, entries[i].key, time);
    if (outcomes[i].refusal) {
      continue;
    }
    touched.insert(touches.begin(), touches.end());
    taken.push_back(i);
    batch.records.push_back(EncodeRecord(time, entry.bytes));
    edge.Append(merkle::LeafHash(kSha256, batch.records.back()));
  }
  if (taken.empty()) {
    return outcomes;
  }
  batch.after = {.size = head_.size + taken.size(),
                 .root = edge.Root(),
                 .time_unix_ms = time};
  for (tlog::TreeEdge::Changed& tile : edge.TakeChanged()) {
    batch.tiles.push_back({.level = tile.level,
                           .index = tile.index,
                           .hashes = std::move(tile.hashes)});
  }
  RETURN_IF_ERROR(Commit(batch));
  edge_ = std::move(edge);
  head_ = batch.after;
  for (const size_t i : taken) {
    outcomes[i].index = state_.size();
    outcomes[i].time_ms = time;
    state_.Apply(entries[i].entry, time);
  }
  return outcomes;
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
