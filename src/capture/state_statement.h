#ifndef VMATTEST_CAPTURE_STATE_STATEMENT_H_
#define VMATTEST_CAPTURE_STATE_STATEMENT_H_

#include <vector>

#include "capture/measure_state.h"
#include "memory/guest_meaning.h"
#include "memory/guest_measurer.h"
#include "snapshot/policy.h"
#include "snapshot/selection.h"

// How what was measured becomes a statement and the pages beside it. Pure; any
// thread.

namespace vmattest::capture {

memory::MeasurePlan PlanOf(
    const snapshot::Policy& policy,
    const std::vector<snapshot::SelectedRegion>& regions);

evidence::StateStatement BeginStatement(const snapshot::Policy& policy,
                                        const StateRequest& request);

// Kernel, findings and records. `meaning`: null, if the policy asks for none.
void AddMeaning(const snapshot::Policy& policy,
                const memory::GuestMeaning* meaning, MeasuredState& state);

// After AddMeaning(). `measured` has an entry for each region that is there.
void AddRegions(const snapshot::Policy& policy,
                const std::vector<snapshot::SelectedRegion>& selected,
                std::vector<memory::MeasuredRegion> measured,
                MeasuredState& state);

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_STATE_STATEMENT_H_
