#ifndef VMATTEST_CAPTURE_REACTOR_H_
#define VMATTEST_CAPTURE_REACTOR_H_

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/status.h"
#include "capture/state_verifier.h"
#include "hypervisor/hypervisor.h"
#include "snapshot/policy.h"

namespace vmattest::capture {

// Does what a snapshot policy says is to be done about a snapshot whose score
// is below its `below_score` (docs/memory.md): alert, pause, isolate (all links
// down), destroy; nothing more than the policy says. What the verifier refused
// without a score is an alert alone. What is done counts against
// `at_most_per_hour` of that VM and policy before it is done, in a file, so
// that neither a restart nor a crash gives another one. Any thread; blocks on
// the hypervisor and the disk.
class Reactor {
 public:
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    const Clock& clock;
    std::filesystem::path file;  // of what was done
    // An event of the host event log.
    std::function<void(std::string kind,
                       std::map<std::string, std::string> facts)>
        note;
    // The interfaces of a live domain, each with its link down.
    std::function<absl::StatusOr<std::vector<std::string>>(
        const std::string& live_xml)>
        links_down;
    // Called before links go down: that this is no one else's doing. May be
    // empty.
    std::function<void(const Uuid& vm)> isolating;
    // Which of its runs a VM is in, as StateStatement.run; empty: unknown.
    std::function<std::string(const Uuid& vm, const std::string& name)> run_of;
  };
  // DATA_LOSS: the file is there and is none: then nothing is done but alerts,
  // until it is moved away.
  explicit Reactor(Parts parts);

  struct Subject {
    std::string vm_uuid;
    std::string vm_name;
    std::string run;       // what was measured; empty: unknown
    std::string snapshot;  // its id
  };
  // What was done, as the event says it: "" (nothing to do), "alert", "paused",
  // "links down", "destroyed", "would pause" (dry run), "not paused: ..." (the
  // rate, the hypervisor, the VM was started anew since).
  std::string React(const Subject& subject, const snapshot::Policy& policy,
                    const SnapshotVerdict& verdict) EXCLUDES_LOCK(mutex_);

  struct Counters {
    uint64_t alerts = 0;  // all that were to be told
    uint64_t done = 0;
    uint64_t dry_runs = 0;
    uint64_t held_back = 0;  // by the rate
    uint64_t failed = 0;
  };
  [[nodiscard]] Counters counters() const EXCLUDES_LOCK(mutex_);

 private:
  using Key = std::pair<std::string, std::string>;  // VM and policy
  std::string Act(const Subject& subject, const snapshot::Policy& policy)
      EXCLUDES_LOCK(mutex_);
  absl::Status CheckRun(const Subject& subject, const Uuid& vm) const;
  absl::Status Do(const std::string& action, const Uuid& vm);
  absl::Status TakeDown(const Uuid& vm);
  absl::Status Count(const Key& key, uint32_t most) EXCLUDES_LOCK(mutex_);
  absl::Status Load();
  absl::Status Save() REQUIRES_LOCK(mutex_);

  const Parts parts_;
  mutable Mutex mutex_;
  absl::Status readable_ GUARDED_BY(mutex_);
  // When, in milliseconds of the wall clock: within the last hour.
  std::map<Key, std::vector<int64_t>> done_ GUARDED_BY(mutex_);
  Counters counters_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_REACTOR_H_
