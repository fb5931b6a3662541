#ifndef VMATTEST_ATTESTOR_RECORDER_H_
#define VMATTEST_ATTESTOR_RECORDER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "attestor/event_hub.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "inventory/vm_store.h"

namespace vmattest::attestor {

// What was seen of one VM.
struct Observation {
  inventory::VmRecord vm;  // without its measurement
  std::string kind;        // the event's: "defined", "reconciled"...
  // Absent where nothing was measured: the last measurement then stays.
  std::optional<inventory::MeasurementRecord> measurement;
  // Of Recorder::Begin(), taken before the VM was looked at.
  uint64_t begun = 0;
  // Nothing is written unless state, root or error differ from the record.
  bool only_if_changed = false;
};

// Writes observations to the store and publishes them, one at a time: events
// reach the watchers in the order of their sequence, and an observation that
// began before the VM's newest one never replaces it. Shared by everything
// that measures. Callable from any thread; blocks on the disk.
class Recorder {
 public:
  // `recorded` (may be empty) is told of each event once it is stored, before
  // the watchers are; it must not block.
  Recorder(inventory::VmStore& store, EventHub& events, const Clock& clock,
           std::function<void()> recorded = {})
      : store_(store),
        events_(events),
        clock_(clock),
        recorded_(std::move(recorded)) {}

  // A number that grows; see Observation::begun.
  uint64_t Begin();

  // A progress callback for measuring that VM: publishes "measuring" events,
  // the first after a quarter of a second and then at most four a second, so
  // that what is quick says nothing. Callable from any thread.
  std::function<void(uint64_t done, uint64_t total)> Progress(
      const Uuid& uuid, const std::string& name);

  struct Outcome {
    bool recorded = false;  // false: nothing new, or outrun by a newer one
    bool changed = false;   // the root differs from the previous one
  };
  absl::StatusOr<Outcome> Record(Observation observation);

 private:
  inventory::VmStore& store_;
  EventHub& events_;
  const Clock& clock_;
  const std::function<void()> recorded_;
  Mutex mutex_;
  uint64_t last_begun_ GUARDED_BY(mutex_) = 0;
  // Of each VM, the `begun` of its newest observation.
  std::map<Uuid, uint64_t> newest_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::attestor

#endif  // VMATTEST_ATTESTOR_RECORDER_H_
