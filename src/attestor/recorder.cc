#include "attestor/recorder.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

namespace vmattest::attestor {
namespace {

using inventory::EventRecord;
using inventory::MeasurementRecord;
using inventory::VmRecord;

constexpr std::chrono::milliseconds kProgressPause{250};
// Observations that are compared with: an older one cannot be under way still.
constexpr uint64_t kRemembered = 16384;

bool SameResult(const std::optional<MeasurementRecord>& a,
                const std::optional<MeasurementRecord>& b) {
  if (!a || !b) {
    return !a && !b;
  }
  return a->algorithm == b->algorithm && a->root == b->root &&
         a->error == b->error;
}

bool NothingNew(const std::optional<VmRecord>& previous,
                const Observation& observation) {
  const VmRecord& vm = observation.vm;
  return previous && previous->name == vm.name && previous->state == vm.state &&
         previous->persistent == vm.persistent &&
         (!observation.measurement ||
          SameResult(previous->last_measurement, observation.measurement));
}

}  // namespace

uint64_t Recorder::Begin() {
  const MutexLock lock(mutex_);
  return ++last_begun_;
}

absl::StatusOr<Recorder::Outcome> Recorder::Record(Observation observation) {
  const MutexLock lock(mutex_);
  ASSIGN_OR_RETURN(const std::optional<VmRecord> previous,
                   store_.Find(observation.vm.uuid));
  uint64_t& newest = newest_[observation.vm.uuid];
  const bool outrun = newest > observation.begun;
  if (observation.only_if_changed &&
      (outrun || NothingNew(previous, observation))) {
    return Outcome{};
  }
  Outcome outcome{.recorded = true, .changed = false};
  VmRecord vm = std::move(observation.vm);
  EventRecord event{
      .sequence = 0,
      .time_unix_ms = clock_.Now().time_since_epoch().count(),
      .uuid = vm.uuid,
      .name = vm.name,
      .kind = std::move(observation.kind),
      .measurement = std::move(observation.measurement),
      .changed = false,
  };
  if (previous && outrun) {
    vm = *previous;
  } else {
    newest = observation.begun;
    vm.last_measurement = previous ? previous->last_measurement : std::nullopt;
    if (event.measurement) {
      event.changed = vm.last_measurement &&
                      vm.last_measurement->root != event.measurement->root;
      vm.last_measurement = event.measurement;
    }
    outcome.changed = event.changed;
  }
  if (newest_.size() > kRemembered) {
    std::erase_if(newest_, [this](const auto& entry) REQUIRES_LOCK(mutex_) {
      return entry.second + kRemembered < last_begun_;
    });
  }
  ASSIGN_OR_RETURN(event.sequence, store_.Record(vm, event));
  if (recorded_) {
    recorded_();
  }
  events_.Publish(
      {.record = std::move(event), .bytes_done = 0, .bytes_total = 0});
  return outcome;
}

std::function<void(uint64_t, uint64_t)> Recorder::Progress(
    const Uuid& uuid, const std::string& name) {
  auto last = std::make_shared<std::atomic<MonotonicTime>>(clock_.Monotonic());
  return [this, uuid, name, last](uint64_t done, uint64_t total) {
    const MonotonicTime now = clock_.Monotonic();
    MonotonicTime before = last->load();
    if (now - before < kProgressPause ||
        !last->compare_exchange_strong(before, now)) {
      return;
    }
    EventRecord event;
    event.time_unix_ms = clock_.Now().time_since_epoch().count();
    event.uuid = uuid;
    event.name = name;
    event.kind = "measuring";
    events_.Publish(
        {.record = std::move(event), .bytes_done = done, .bytes_total = total});
  };
}

}  // namespace vmattest::attestor
