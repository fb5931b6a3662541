#include "ledger/node.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace vmattest::ledger {
namespace {

int64_t UnixMs(const Clock& clock) {
  return clock.Now().time_since_epoch().count();
}

}  // namespace

class LedgerNode::Subscription final : public Watch {
 public:
  Subscription(LedgerNode& node, std::function<void()> told_in)
      : told(std::move(told_in)), node_(node) {}
  ~Subscription() override {
    const MutexLock lock(node_.watch_mutex_);
    std::erase(node_.watches_, this);
  }
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  const std::function<void()> told;

 private:
  LedgerNode& node_;
};

LedgerNode::LedgerNode(Parts parts, const Clock& clock, Options options)
    : parts_(std::move(parts)),
      clock_(clock),
      options_(std::move(options)),
      reading_clock_(clock) {}

absl::StatusOr<std::unique_ptr<LedgerNode>> LedgerNode::Open(Parts parts,
                                                             Executor& checkers,
                                                             const Clock& clock,
                                                             Options options) {
  const LogPolicy policy = parts.policy;
  std::vector<std::unique_ptr<tlog::NoteSigner>> cosigners =
      std::move(parts.cosigners);
  std::unique_ptr<LedgerNode> node(
      new LedgerNode(std::move(parts), clock, std::move(options)));
  ASSIGN_OR_RETURN(
      Log::Trusted trusted,
      Checkpointer::LastSigned(*node->parts_.memory, policy.origin));
  ASSIGN_OR_RETURN(
      node->log_, Log::Open(*node->parts_.store, policy, std::move(trusted), {},
                            node->parts_.archive));
  node->witness_ = std::make_unique<TimedWitness>(
      node->parts_.witnesses, std::move(cosigners), *node->parts_.witness,
      clock, policy.max_skew_ms);
  node->checkpointer_ = std::make_unique<Checkpointer>(
      Checkpointer::Parts{.log = *node->log_,
                          .policy = node->parts_.witnesses,
                          .signers = node->parts_.signers,
                          .witnesses = node->parts_.remote,
                          .memory = *node->parts_.memory,
                          .clock = clock,
                          .fork = node->parts_.fork,
                          .ahead = node->parts_.ahead});
  // Time begins here, whenever somebody reads first.
  node->reading_clock_.Read(node->log_->head().time_unix_ms);
  node->sequencer_ = std::make_unique<Sequencer>(*node->log_, checkers, clock,
                                                 node->options_.sequencer);
  node->signer_ = std::thread([raw = node.get()] { raw->SignForEver(); });
  pthread_setname_np(node->signer_.native_handle(), "ledger-sign");
  return node;
}

LedgerNode::~LedgerNode() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.NotifyAll();
  if (signer_.joinable()) {
    signer_.join();  // it asks the sequencer who leads
  }
  // So that an export of a stopped node has all of it. Witnesses elsewhere
  // would have to be waited for.
  if (sequencer_ != nullptr && parts_.remote.empty() && leadership().mine) {
    Round().IgnoreError();
  }
  sequencer_.reset();
}

absl::Status LedgerNode::Round() {
  RETURN_IF_ERROR(Checkpoint());
  return CheckClocks();
}

// Who does not lead signs nothing: of each size there is one note, the
// leader's.
absl::Status LedgerNode::Checkpoint() {
  {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(distrust_);
  }
  if (leadership().mine) {
    ClockGuard& guard = sequencer_->clock_guard();
    const ClockGuard::Moment asked = guard.Look();
    const int64_t before = checkpointer_->witnessed_unix_s();
    RETURN_IF_ERROR(checkpointer_->Round());
    if (const int64_t now = checkpointer_->witnessed_unix_s(); now != before) {
      guard.Heard(asked, now * 1'000);
    }
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(log_->CatchUp());
  return checkpointer_->Adopt();
}

absl::Status LedgerNode::CheckClocks() {
  RETURN_IF_ERROR(sequencer_->clock_guard().Check());
  const int64_t most = parts_.policy.max_skew_ms;
  const int64_t ahead = log_->head().time_unix_ms - UnixMs(clock_);
  if (ahead > most) {
    return absl::UnavailableError(fmt::format(
        "the newest record is {} s ahead of this node's clock: either this "
        "clock is wrong, or that of the node which dated it was",
        ahead / 1'000));
  }
  if (const int64_t late = reading_clock_.AheadMs(); late > most) {
    return absl::UnavailableError(fmt::format(
        "scores are read {} s ahead of this node's clock, which is behind or "
        "was set back: they may be too low until it is there, or the node is "
        "restarted",
        late / 1'000));
  }
  return absl::OkStatus();
}

void LedgerNode::SignForEver() {
  std::optional<News> told;
  MonotonicTime told_at;
  while (true) {
    // What was committed is signed soon: whoever waits for a proof waits for
    // this. A log that stands still is signed anew so that it stays fresh.
    absl::Status round = Round();
    {
      const MutexLock lock(mutex_);
      health_ = std::move(round);
    }
    const News news = Newest();
    const MonotonicTime now = clock_.Monotonic();
    if (told != news || now - told_at >= TellInterval()) {
      told = news;
      told_at = now;
      TellWatchers();
    }
    const auto until =
        std::chrono::steady_clock::now() + options_.checkpoint_interval;
    const MutexLock lock(mutex_);
    while (!stopping_ && changed_.WaitUntil(mutex_, until)) {
    }
    if (stopping_) {
      return;
    }
  }
}

LedgerNode::News LedgerNode::Newest() const {
  return {.size = log_->head().size,
          .witnessed = checkpointer_->state().witnessed,
          .trusted = CheckTrusted().code(),
          .health = health().code()};
}

// A silence is told a fourth of the grace late at most.
std::chrono::milliseconds LedgerNode::TellInterval() const {
  return log_->With([](const LogState& state) {
    return std::chrono::milliseconds(state.fold().rules().grace_ms / 4);
  });
}

absl::Status LedgerNode::health() const {
  const MutexLock lock(mutex_);
  return distrust_.ok() ? health_ : distrust_;
}

void LedgerNode::Distrust(absl::Status why) {
  {
    const MutexLock lock(mutex_);
    distrust_ = std::move(why);
  }
  TellWatchers();
}

absl::Status LedgerNode::CheckBelievable() const {
  RETURN_IF_ERROR(checkpointer_->CheckFork());
  const MutexLock lock(mutex_);
  return distrust_;
}

absl::Status LedgerNode::CheckTrusted() const {
  RETURN_IF_ERROR(CheckBelievable());
  return checkpointer_->CheckTrusted();
}

absl::StatusOr<tlog::WitnessReply> LedgerNode::AddCheckpoint(
    const WitnessRequest& request) {
  return witness_->Add(request);
}

absl::StatusOr<std::unique_ptr<LedgerNode::Watch>> LedgerNode::Subscribe(
    std::function<void()> told) {
  auto watch = std::make_unique<Subscription>(*this, std::move(told));
  {
    const MutexLock lock(watch_mutex_);
    if (watches_.size() < options_.max_watchers) {
      watches_.push_back(watch.get());
      return watch;
    }
  }
  return absl::ResourceExhaustedError("too many watch the ledger");
}

void LedgerNode::TellWatchers() {
  const MutexLock lock(watch_mutex_);
  for (const Subscription* watch : watches_) {
    watch->told();
  }
}

absl::StatusOr<LedgerNode::Trust> LedgerNode::GetScore(const Uuid& vm) const {
  RETURN_IF_ERROR(CheckTrusted());
  const int64_t quorum_ms = checkpointer_->witnessed_unix_s() * 1'000;
  return log_->With([&](const LogState& state) -> absl::StatusOr<Trust> {
    const int64_t now =
        reading_clock_.Read(std::max(state.time_ms(), quorum_ms));
    std::optional<trust::Reading> reading = state.Read(vm, now);
    if (!reading) {
      return absl::NotFoundError(
          fmt::format("VM {} is not on the ledger", vmattest::ToString(vm)));
    }
    return Trust{.reading = *std::move(reading),
                 .time_unix_ms = now,
                 .size = state.size(),
                 .witnessed = state.fold().witnessed(),
                 .newest_hash = state.NewestOf(vm)};
  });
}

absl::StatusOr<LedgerNode::Trust> LedgerNode::GetTrust(const Uuid& vm) {
  ASSIGN_OR_RETURN(Trust trust, GetScore(vm));
  const Checkpointer::State checkpoint = checkpointer_->state();
  const std::vector<uint64_t> newest = log_->With([&](const LogState& state) {
    return state.History(vm, checkpoint.witnessed, 1);
  });
  if (!newest.empty()) {
    ASSIGN_OR_RETURN(Log::Included included,
                     log_->ReadIncluded(newest[0], checkpoint.witnessed));
    trust.newest = Proven{.index = newest[0],
                          .record = std::move(included.record_bytes),
                          .path = std::move(included.path),
                          .checkpoint = checkpoint.note};
  }
  return trust;
}

absl::StatusOr<std::vector<LedgerNode::HistoryItem>> LedgerNode::History(
    const Uuid& vm, uint64_t before, size_t limit) {
  RETURN_IF_ERROR(GetScore(vm).status());
  const std::vector<uint64_t> indexes = log_->With([&](const LogState& state) {
    return state.History(vm, before == 0 ? UINT64_MAX : before, limit);
  });
  std::vector<HistoryItem> items;
  for (const uint64_t index : indexes) {
    ASSIGN_OR_RETURN(std::vector<Bytes> records,
                     parts_.store->Records(index, 1));
    if (records.empty()) {
      return absl::DataLossError(fmt::format("record {} is missing", index));
    }
    items.push_back({.index = index, .record = std::move(records[0])});
  }
  return items;
}

}  // namespace vmattest::ledger
