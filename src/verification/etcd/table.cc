#include "verification/etcd/table.h"

#include <algorithm>
#include <charconv>
#include <thread>
#include <utility>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "verification/etcd/rows.h"

namespace vmattest::verification {
namespace {

constexpr size_t kInline = 32u << 10;
constexpr size_t kChunk = 512u << 10;
constexpr int64_t kChunksAtOnce = 16;
constexpr int64_t kPage = 200;
constexpr size_t kSweepAtOnce = 20;
constexpr std::chrono::hours kUploadLife{1};
constexpr std::chrono::hours kMarkerLife{7 * 24};

int64_t UnixMs(const Clock& clock) {
  return clock.Now().time_since_epoch().count();
}

std::string ChunkPrefix(const std::string& blob) { return "c/" + blob + "/"; }

// What lies under "gc/" and "w/" ends with its time.
int64_t TimeOf(const std::string& value) {
  int64_t time = 0;
  const size_t at = value.rfind(' ') + 1;
  std::from_chars(value.data() + at, value.data() + value.size(), time);
  return time;
}

// Others get a chance to be first, each at another moment.
void Pause() {
  std::this_thread::sleep_for(
      std::chrono::milliseconds(1 + RandomBytes(1)[0] % 16));
}

}  // namespace

EtcdTable::EtcdTable(etcd::KeyValues& etcd, const Options& options,
                     const Clock& clock)
    : etcd_(etcd),
      options_(options),
      clock_(clock),
      marker_("w/" + ToHex(RandomBytes(16))) {}

absl::StatusOr<EtcdTable::Change> EtcdTable::Begin(MonotonicTime deadline,
                                                   int64_t& counter_at) {
  ASSIGN_OR_RETURN(const etcd::RangeResult found,
                   etcd_.Range({.key = prefix() + "counter"}, deadline));
  Change change;
  change.revision = found.revision;
  change.deadline = deadline;
  change.counter.set_first_sequence(1);
  counter_at = 0;
  if (!found.kvs.empty()) {
    ASSIGN_OR_RETURN(change.counter, DecodeMessage<internal::StoredCounter>(
                                         found.kvs[0].key, found.kvs[0].value));
    counter_at = found.kvs[0].mod_revision;
  }
  return change;
}

absl::StatusOr<EtcdTable::Read> EtcdTable::Now() {
  int64_t ignored = 0;
  ASSIGN_OR_RETURN(Read read, Begin(Deadline(), ignored));
  return read;
}

absl::StatusOr<std::optional<std::string>> EtcdTable::Get(
    const Read& at, const std::string& key) {
  ASSIGN_OR_RETURN(etcd::RangeResult found,
                   etcd_.Range({.key = prefix() + key, .revision = at.revision},
                               at.deadline));
  return found.kvs.empty() ? std::optional<std::string>()
                           : std::move(found.kvs.front().value);
}

absl::Status EtcdTable::Scan(const Read& at, const std::string& prefix_in,
                             const std::string& from, const Each& each) {
  const std::string end = etcd::PrefixEnd(prefix() + prefix_in);
  std::string next = prefix() + from;
  while (true) {
    ASSIGN_OR_RETURN(
        const etcd::RangeResult page,
        etcd_.Range(
            {.key = next, .end = end, .limit = kPage, .revision = at.revision},
            at.deadline));
    for (const etcd::KeyValue& pair : page.kvs) {
      ASSIGN_OR_RETURN(const bool more,
                       each(pair.key.substr(prefix().size()), pair.value));
      if (!more) {
        return absl::OkStatus();
      }
    }
    if (!page.more || page.kvs.empty()) {
      return absl::OkStatus();
    }
    next = page.kvs.back().key + '\0';
  }
}

void EtcdTable::Qualify(Change& change) const {
  for (etcd::Condition& condition : change.conditions) {
    condition.key = prefix() + condition.key;
  }
  for (auto& write : change.writes) {
    if (auto* put = std::get_if<etcd::Put>(&write)) {
      put->key = prefix() + put->key;
      continue;
    }
    auto& gone = std::get<etcd::Delete>(write);
    gone.key = prefix() + gone.key;
    gone.end = gone.end.empty() ? "" : prefix() + gone.end;
  }
}

absl::Status EtcdTable::Apply(
    const std::function<absl::Status(Change&)>& fill) {
  const MutexLock lock(change_mutex_);
  const MonotonicTime deadline = Deadline();
  while (true) {
    int64_t counter_at = 0;
    ASSIGN_OR_RETURN(Change change, Begin(deadline, counter_at));
    RETURN_IF_ERROR(fill(change));
    change.Put("counter", change.counter.SerializeAsString());
    change.Put(marker_,
               fmt::format("{} {}", ToHex(RandomBytes(16)), UnixMs(clock_)));
    Qualify(change);
    const absl::Status done =
        etcd::Commit(etcd_,
                     {.guard = prefix() + "counter",
                      .guard_revision = counter_at,
                      .marker = prefix() + marker_,
                      .more = std::move(change.conditions),
                      .writes = std::move(change.writes)},
                     deadline)
            .status();
    if (!absl::IsAborted(done)) {
      return done;
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::UnavailableError("the store is too busy");
    }
    Pause();
  }
}

absl::Status EtcdTable::PutAhead(const std::vector<etcd::Put>& puts) {
  etcd::Transaction transaction;
  for (const etcd::Put& put : puts) {
    transaction.writes.emplace_back(etcd::Put{prefix() + put.key, put.value});
  }
  const MonotonicTime deadline = Deadline();
  while (true) {
    const absl::Status done = etcd_.Transact(transaction, deadline).status();
    // The same again changes nothing.
    if (!etcd::IsUnknownOutcome(done) ||
        std::chrono::steady_clock::now() >= deadline) {
      return done;
    }
    Pause();
  }
}

absl::StatusOr<internal::StoredBytes> EtcdTable::Upload(ByteView bytes) {
  internal::StoredBytes stored;
  stored.set_size(bytes.size());
  if (bytes.size() <= kInline) {
    stored.set_inline_(std::string(AsText(bytes)));
    return stored;
  }
  stored.set_blob(ToHex(RandomBytes(16)));
  RETURN_IF_ERROR(PutAhead(
      {{"gc/" + stored.blob(), fmt::format("upload {}", UnixMs(clock_))}}));
  for (size_t at = 0; at < bytes.size(); at += kChunk) {
    const ByteView chunk =
        bytes.subspan(at, std::min(kChunk, bytes.size() - at));
    RETURN_IF_ERROR(
        PutAhead({{ChunkPrefix(stored.blob()) + fmt::format("{:08x}", at),
                   std::string(AsText(chunk))}}));
  }
  return stored;
}

absl::Status EtcdTable::Keep(const internal::StoredBytes& stored,
                             Change& change) {
  if (stored.blob().empty()) {
    return absl::OkStatus();
  }
  const std::string note = "gc/" + stored.blob();
  ASSIGN_OR_RETURN(const std::optional<std::string> still, Get(change, note));
  if (!still) {
    return absl::UnavailableError("an upload took too long and was dropped");
  }
  change.Delete(note);
  return absl::OkStatus();
}

void EtcdTable::Drop(const internal::StoredBytes& stored, Change& change) {
  if (!stored.blob().empty()) {
    const std::string prefix = ChunkPrefix(stored.blob());
    change.DeleteRange(prefix, etcd::PrefixEnd(prefix));
  }
}

absl::StatusOr<Bytes> EtcdTable::Load(const Read& at,
                                      const internal::StoredBytes& stored) {
  if (stored.blob().empty()) {
    return ToBytes(stored.inline_());
  }
  Bytes bytes;
  const std::string chunks = prefix() + ChunkPrefix(stored.blob());
  std::string next = chunks;
  for (bool more = true; more && bytes.size() < stored.size();) {
    ASSIGN_OR_RETURN(const etcd::RangeResult page,
                     etcd_.Range({.key = next,
                                  .end = etcd::PrefixEnd(chunks),
                                  .limit = kChunksAtOnce,
                                  .revision = at.revision},
                                 at.deadline));
    for (const etcd::KeyValue& pair : page.kvs) {
      const ByteView chunk = AsBytes(pair.value);
      bytes.insert(bytes.end(), chunk.begin(), chunk.end());
      next = pair.key + '\0';
    }
    more = page.more;
  }
  if (bytes.size() != stored.size()) {
    return absl::DataLossError(fmt::format("{} has {} bytes, not {}",
                                           etcd::Printable(chunks),
                                           bytes.size(), stored.size()));
  }
  return bytes;
}

absl::Status EtcdTable::Sweep() {
  ASSIGN_OR_RETURN(const Read at, Now());
  std::vector<std::string> old;
  const auto collect = [&](std::chrono::hours life) {
    return
        [&old, life, this](const std::string& key,
                           const std::string& value) -> absl::StatusOr<bool> {
          const int64_t limit =
              UnixMs(clock_) - std::chrono::milliseconds(life).count();
          if (TimeOf(value) < limit && key != marker_) {
            old.push_back(key);
          }
          return old.size() < kSweepAtOnce;
        };
  };
  RETURN_IF_ERROR(Scan(at, "gc/", "gc/", collect(kUploadLife)));
  RETURN_IF_ERROR(Scan(at, "w/", "w/", collect(kMarkerLife)));
  if (old.empty()) {
    return absl::OkStatus();
  }
  return Apply([&](Change& change) -> absl::Status {
    for (const std::string& key : old) {
      ASSIGN_OR_RETURN(const std::optional<std::string> still,
                       Get(change, key));
      if (still && key.starts_with("gc/")) {
        internal::StoredBytes upload;
        upload.set_blob(key.substr(3));
        Drop(upload, change);
      }
      if (still) {
        change.Delete(key);
      }
    }
    return absl::OkStatus();
  });
}

}  // namespace vmattest::verification
