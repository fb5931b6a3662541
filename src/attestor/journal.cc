#include "attestor/journal.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "eventlog/cel.h"

namespace vmattest::attestor {
namespace {

using inventory::EventRecord;

// The signer waits for a TPM that is away; the deadline only bounds memory.
constexpr std::chrono::hours kPatience{1};
constexpr size_t kMaxText = 512;
constexpr char kSequence[] = "sequence";

std::string Cut(const std::string& text) { return text.substr(0, kMaxText); }

}  // namespace

// Shared with the signer's callbacks, which may outlive the journal.
struct Journal::State : public std::enable_shared_from_this<Journal::State> {
  State(Parts parts_in, uint64_t logged_in)
      : parts(parts_in), logged(logged_in), next(logged_in + 1) {}

  void Kick() EXCLUDES_LOCK(mutex) {
    {
      const MutexLock lock(mutex);
      if (stopped || scheduled) {
        again = again || scheduled;
        return;
      }
      scheduled = true;
    }
    const absl::Status queued =
        parts.work.Submit([self = shared_from_this()] { self->Pump(); });
    if (!queued.ok()) {
      const MutexLock lock(mutex);
      scheduled = false;
      problem = queued;
    }
  }

  // One at a time: `scheduled` is held.
  void Pump() EXCLUDES_LOCK(mutex) {
    while (HandOver() || TakeAgain()) {
    }
  }

  bool TakeAgain() EXCLUDES_LOCK(mutex) {
    const MutexLock lock(mutex);
    scheduled = std::exchange(again, false) && !stopped;
    return scheduled;
  }

  // True while there is more to hand over.
  bool HandOver() EXCLUDES_LOCK(mutex) {
    uint64_t from = 0;
    size_t room = 0;
    {
      const MutexLock lock(mutex);
      if (stopped || failed) {
        return false;
      }
      from = next;
      room = kInFlight - in_flight;
    }
    if (room == 0) {
      return false;
    }
    const absl::StatusOr<std::vector<EventRecord>> events =
        parts.store.Events(from - 1, room);
    if (!events.ok()) {
      const MutexLock lock(mutex);
      problem = events.status();
      return false;
    }
    for (const EventRecord& event : *events) {
      if (!Append(event)) {
        return false;
      }
    }
    return !events->empty();
  }

  bool Append(const EventRecord& event) EXCLUDES_LOCK(mutex) {
    {
      const MutexLock lock(mutex);
      // What was trimmed before it could be logged is not waited for.
      if (in_flight == 0 && ahead.empty() && event.sequence > logged + 1) {
        logged = event.sequence - 1;
      }
      next = event.sequence + 1;
      if (ahead.contains(event.sequence)) {
        return true;
      }
      ++in_flight;
    }
    const absl::Status queued = parts.signer.Append(
        ToHostEvent(event), parts.clock.Monotonic() + kPatience,
        [self = shared_from_this(), sequence = event.sequence](
            const absl::StatusOr<eventlog::LogHead>& head) {
          self->Answered(sequence, head.status());
        });
    if (!queued.ok()) {
      Answered(event.sequence, queued);
    }
    return queued.ok();
  }

  void Answered(uint64_t sequence, const absl::Status& status)
      EXCLUDES_LOCK(mutex) {
    bool kick = false;
    {
      const MutexLock lock(mutex);
      --in_flight;
      if (status.ok()) {
        ahead.insert(sequence);
        while (!ahead.empty() && *ahead.begin() == logged + 1) {
          ++logged;
          ahead.erase(ahead.begin());
        }
        problem = failed ? problem : absl::OkStatus();
      } else {
        failed = true;
        problem = status;
      }
      if (in_flight == 0) {
        // Whatever failed is handed over again, at the next kick.
        kick = !std::exchange(failed, false);
        next = logged + 1;
      }
    }
    if (kick) {
      Kick();
    }
  }

  const Parts parts;
  Mutex mutex;
  uint64_t logged GUARDED_BY(mutex);
  uint64_t next GUARDED_BY(mutex);             // to be handed over
  std::set<uint64_t> ahead GUARDED_BY(mutex);  // in the log, after a gap
  size_t in_flight GUARDED_BY(mutex) = 0;
  bool failed GUARDED_BY(mutex) = false;
  bool scheduled GUARDED_BY(mutex) = false;
  bool again GUARDED_BY(mutex) = false;
  bool stopped GUARDED_BY(mutex) = false;
  absl::Status problem GUARDED_BY(mutex);
};

Journal::Journal(Parts parts, uint64_t logged)
    : state_(std::make_shared<State>(parts, logged)) {}

Journal::~Journal() {
  const MutexLock lock(state_->mutex);
  state_->stopped = true;
}

void Journal::Kick() { state_->Kick(); }

void Journal::Note(std::string kind, std::map<std::string, std::string> facts) {
  if (state_->parts.noted) {
    state_->parts.noted(kind, facts);
  }
  eventlog::HostEvent event{
      .kind = std::move(kind),
      .facts = std::move(facts),
      .time_unix_ms = state_->parts.clock.Now().time_since_epoch().count()};
  const std::string what = event.kind;
  const auto complain = [what](const absl::Status& status) {
    if (!status.ok()) {
      log::Error("an event did not get into the host event log",
                 {{"event", what}, {"error", status.ToString()}});
    }
  };
  complain(state_->parts.signer.Append(
      std::move(event), state_->parts.clock.Monotonic() + kPatience,
      [complain](const absl::StatusOr<eventlog::LogHead>& head) {
        complain(head.status());
      }));
}

uint64_t Journal::logged() const {
  const MutexLock lock(state_->mutex);
  return state_->logged;
}

absl::Status Journal::problem() const {
  const MutexLock lock(state_->mutex);
  return state_->problem;
}

eventlog::HostEvent ToHostEvent(const EventRecord& event) {
  eventlog::HostEvent to{.kind = "vm-" + event.kind,
                         .facts = {{kSequence, std::to_string(event.sequence)},
                                   {"vm_uuid", ToString(event.uuid)},
                                   {"vm_name", Cut(event.name)}},
                         .time_unix_ms = event.time_unix_ms};
  if (event.measurement) {
    to.facts["algorithm"] = ToString(event.measurement->algorithm);
    if (event.measurement->error.empty()) {
      to.facts["root"] = ToHex(event.measurement->root);
      to.facts["leaf_count"] = std::to_string(event.measurement->leaf_count);
      to.facts["changed"] = event.changed ? "true" : "false";
    } else {
      to.facts["error"] = Cut(event.measurement->error);
    }
  }
  return to;
}

uint64_t LastJournaled(ByteView records) {
  uint64_t last = 0;
  eventlog::CelReader reader(records);
  while (true) {
    const absl::StatusOr<std::optional<eventlog::CelRecord>> record =
        reader.Next();
    if (!record.ok() || !*record) {
      return last;
    }
    if ((*record)->content_type != eventlog::kCelContentHostEvent) {
      continue;
    }
    const absl::StatusOr<eventlog::HostEvent> event =
        eventlog::ParseHostEvent(AsText((*record)->content));
    if (!event.ok()) {
      continue;
    }
    const auto fact = event->facts.find(kSequence);
    uint64_t sequence = 0;
    if (fact != event->facts.end() &&
        std::from_chars(fact->second.data(),
                        fact->second.data() + fact->second.size(), sequence)
                .ec == std::errc()) {
      last = std::max(last, sequence);
    }
  }
}

}  // namespace vmattest::attestor
