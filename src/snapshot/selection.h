#ifndef VMATTEST_SNAPSHOT_SELECTION_H_
#define VMATTEST_SNAPSHOT_SELECTION_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "memory/guest_meaning.h"
#include "memory/guest_memory.h"
#include "snapshot/policy.h"

namespace vmattest::snapshot {

// One region of a policy in one guest. Either ranges of RAM, in the order in
// which they are measured, or the reason why there are none.
struct SelectedRegion {
  std::string name;
  Severity severity = Severity::kMedium;
  std::vector<memory::AddressRange> ranges;
  std::string unavailable;
  // Of a region with a meaning: whose runs are its ranges, one after the other.
  std::vector<memory::NamedPart> parts;
  bool meant = false;    // its selector is one by meaning
  bool records = false;  // it has no bytes, but records about tasks

  [[nodiscard]] uint64_t bytes() const;
};

// What `policy` wants to be found in a guest's kernel, an entry for each of its
// selectors of that kind, in their order. None: it has no such selector. Pure.
std::optional<memory::MeaningRequest> WantedMeaning(const Policy& policy);

// What `policy` selects in a guest with that RAM: sorted, disjoint ranges, or
// those of named parts. The same policy, RAM, nonce and meaning give the same
// regions. Bytes of a physical range that are no RAM make the region
// unavailable; of an exclusion they do not matter. `meaning`: what came of
// WantedMeaning(); null: nobody looked. `left_out`: what is missing in `ram`,
// and why; where it is not empty, no region is said to be of all RAM. Pure.
//   INVALID_ARGUMENT: a sample needs a nonce and there is none.
//   RESOURCE_EXHAUSTED: more than the policy's max_bytes.
absl::StatusOr<std::vector<SelectedRegion>> Select(
    const Policy& policy, const std::vector<memory::AddressRange>& ram,
    ByteView nonce, const memory::GuestMeaning* meaning,
    std::string_view left_out = {});

// `ranges` without what `cut` has; both sorted and disjoint. Pure.
std::vector<memory::AddressRange> Without(
    const std::vector<memory::AddressRange>& ranges,
    const std::vector<memory::AddressRange>& cut);

}  // namespace vmattest::snapshot

#endif  // VMATTEST_SNAPSHOT_SELECTION_H_
