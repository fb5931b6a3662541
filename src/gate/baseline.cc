#include "gate/baseline.h"

#include <algorithm>
#include <set>
#include <utility>

#include "measurement/domain_measurer.h"

namespace vmattest::gate {

absl::StatusOr<std::vector<ConfigLeaf>> BaselineOf(
    std::string_view xml, image::ContentDigester& digester,
    const image::HeaderParserFactory& make_parser) {
  measurement::DomainMeasurer measurer(digester, nullptr, nullptr, make_parser);
  measurement::MeasureOptions options;
  options.content = measurement::ContentPolicy::kNone;
  ASSIGN_OR_RETURN(measurement::DomainMeasurement measured,
                   measurer.Measure(xml, options));
  return std::move(measured.tree.leaves);
}

std::string FirstDifference(const std::vector<ConfigLeaf>& before,
                            const std::vector<ConfigLeaf>& now) {
  std::set<ConfigLeaf> left(before.begin(), before.end());
  for (const ConfigLeaf& leaf : now) {
    if (left.erase(leaf) == 0 && leaf.path != kHeaderLeafPath) {
      return leaf.path;
    }
  }
  const auto gone = std::find_if(
      left.begin(), left.end(),
      [](const ConfigLeaf& leaf) { return leaf.path != kHeaderLeafPath; });
  return gone == left.end() ? "" : gone->path;
}

}  // namespace vmattest::gate
