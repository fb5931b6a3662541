#ifndef VMATTEST_GATE_BASELINE_H_
#define VMATTEST_GATE_BASELINE_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "image/content_digest.h"
#include "image/header_parser.h"
#include "vmattest/types/config_leaf.h"

// The configuration alone, without content: quick enough to compare at every
// tick. Any thread.

namespace vmattest::gate {

// Errors as DomainMeasurer::Measure; no file is read.
absl::StatusOr<std::vector<ConfigLeaf>> BaselineOf(
    std::string_view xml, image::ContentDigester& digester,
    const image::HeaderParserFactory& make_parser);

// The path of a leaf in which they differ, the header apart; empty if none.
std::string FirstDifference(const std::vector<ConfigLeaf>& before,
                            const std::vector<ConfigLeaf>& now);

// `now`, each of whose links that is down is as `approved` has it: of a VM
// whose links this daemon took down.
std::vector<ConfigLeaf> WithLinksAsApproved(
    std::vector<ConfigLeaf> now, const std::vector<ConfigLeaf>& approved);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_BASELINE_H_
