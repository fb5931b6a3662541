#ifndef VMATTEST_CAPTURE_MEASURE_STATE_H_
#define VMATTEST_CAPTURE_MEASURE_STATE_H_

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capture/pause_guard.h"
#include "evidence/statement.h"
#include "hypervisor/guest_control.h"
#include "hypervisor/hypervisor.h"
#include "memory/guest_measurer.h"
#include "snapshot/policy.h"
#include "snapshot/selection.h"

namespace vmattest::capture {

// What a capture tells while it runs; from any thread.
struct CaptureProgress {
  std::string_view phase;  // "reading", "sealing"
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
};

struct StateParts {
  hypervisor::Hypervisor& hypervisor;
  hypervisor::GuestControl& control;
  memory::GuestMeasurer& measurer;
  PauseGuardMaker make_guard;  // empty: nobody else resumes the guest
  // StateStatement.boot at this moment; empty: nobody counts resets.
  std::function<evidence::Boot(const Uuid& vm)> boot_of = {};
};

struct StateRequest {
  hypervisor::Domain domain;
  Bytes nonce;
  std::string cause;
  memory::MeasureCall call;  // its progress is not used
  std::function<void(const CaptureProgress&)> progress;  // may be empty
};

struct MeasuredState {
  evidence::StateStatement statement;  // all but what its header needs
  evidence::SnapshotPages pages;
};

// Measures a running guest's memory by `policy`. However it goes, a guest that
// ran before runs afterwards, unless somebody else stopped it meanwhile. Blocks
// for seconds; any thread.
//   FAILED_PRECONDITION: it does not run, or its memory cannot be read, by a
//   named reason. Else as GuestMeasurer and Select().
absl::StatusOr<MeasuredState> MeasureState(const StateParts& parts,
                                           const snapshot::Policy& policy,
                                           const StateRequest& request);

// What a policy would select of a guest now.
struct StateEstimate {
  std::string reader;
  std::string semantics;  // as StateStatement's
  std::string kernel_release;
  std::vector<snapshot::SelectedRegion> regions;
};

// Finds what MeasureState() would measure, and measures nothing. Errors are
// the same.
absl::StatusOr<StateEstimate> EstimateState(const StateParts& parts,
                                            const snapshot::Policy& policy,
                                            const StateRequest& request);

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_MEASURE_STATE_H_
