#ifndef VMATTEST_SNAPSHOT_SELECTION_H_
#define VMATTEST_SNAPSHOT_SELECTION_H_

#include <string>
#include <vector>

#include "base/status.h"
#include "memory/guest_memory.h"
#include "snapshot/policy.h"

namespace vmattest::snapshot {

// Finds what selectors mean in a guest: its kernel's sections, symbols,
// modules, tasks, processes. One thread.
class RegionResolver {
 public:
  virtual ~RegionResolver() = default;
  // Guest-physical bytes, in the order in which the guest has them; they need
  // not be sorted, may overlap and are not to be believed.
  //   FAILED_PRECONDITION: this guest has no such thing, or contradicts itself;
  //   the message says why, for the snapshot.
  virtual absl::StatusOr<std::vector<memory::AddressRange>> Resolve(
      const GuestSelector& selector) = 0;
};

// One region of a policy in one guest. Either ranges of RAM, in the order in
// which they are measured, or the reason why there are none.
struct SelectedRegion {
  std::string name;
  Severity severity = Severity::kMedium;
  std::vector<memory::AddressRange> ranges;
  std::string unavailable;

  [[nodiscard]] uint64_t bytes() const;
};

// What `policy` selects in a guest with that RAM: sorted, disjoint ranges. The
// same policy, RAM, nonce and resolver give the same regions. Bytes of a
// physical range that are no RAM make the region unavailable; of an exclusion
// they do not matter. `resolver` may be null. Blocks as the resolver does.
//   INVALID_ARGUMENT: a sample needs a nonce and there is none.
//   RESOURCE_EXHAUSTED: more than the policy's max_bytes.
absl::StatusOr<std::vector<SelectedRegion>> Select(
    const Policy& policy, const std::vector<memory::AddressRange>& ram,
    ByteView nonce, RegionResolver* resolver);

// `ranges` without what `cut` has; both sorted and disjoint. Pure.
std::vector<memory::AddressRange> Without(
    const std::vector<memory::AddressRange>& ranges,
    const std::vector<memory::AddressRange>& cut);

}  // namespace vmattest::snapshot

#endif  // VMATTEST_SNAPSHOT_SELECTION_H_
