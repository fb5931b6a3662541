#ifndef VMATTEST_BASELINE_SELECTION_H_
#define VMATTEST_BASELINE_SELECTION_H_

#include <vector>

#include "evidence/statement.h"
#include "snapshot/page_tree.h"

namespace vmattest::baseline {

// snapshot::SelectionDigest of a snapshot's own ranges. Pure.
inline DigestBytes SelectionOf(
    HashAlgorithm algorithm,
    const std::vector<evidence::PhysicalRange>& ranges) {
  std::vector<memory::AddressRange> selected;
  selected.reserve(ranges.size());
  for (const evidence::PhysicalRange& range : ranges) {
    selected.push_back({range.begin, range.end});
  }
  return snapshot::SelectionDigest(algorithm, selected);
}

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_SELECTION_H_
