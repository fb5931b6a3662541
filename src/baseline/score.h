#ifndef VMATTEST_BASELINE_SCORE_H_
#define VMATTEST_BASELINE_SCORE_H_

#include <cstdint>
#include <span>

#include "baseline/difference.h"

namespace vmattest::baseline {

// The snapshot trust score, 0 to 100, in whole points (docs/memory.md):
//
//   score = max(0, 100 - sum over groups, over severities s of
//                        (weight(s) - weight(s - 1)) * steps(extent(s)))
//
// extent(s) is the sum of the extents of a group's differences that are at
// least as grave as s; a group is what has one Difference::group. steps(n) is 0
// for 0, else 1 + floor(log2(n)): one page counts once, a thousand ten times.
// For a group of one severity that is weight * steps. A further difference
// never raises the score, and neither does a larger or a graver one. Pure.
uint32_t Score(std::span<const Difference> differences);

uint32_t Weight(snapshot::Severity severity);  // 50, 20, 8, 2, 0
uint32_t Steps(uint64_t extent);

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_SCORE_H_
