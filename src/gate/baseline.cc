#include "gate/baseline.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "measurement/domain_measurer.h"

namespace vmattest::gate {
namespace {

constexpr std::string_view kInterface = "interface";
constexpr std::string_view kLinkState = "/link/state";

bool IsLinkDown(const ConfigLeaf& leaf) {
  const std::string_view path = leaf.path;
  return path.size() >= kInterface.size() + kLinkState.size() &&
         path.substr(0, kInterface.size()) == kInterface &&
         path.substr(path.size() - kLinkState.size()) == kLinkState &&
         leaf.value == "down";
}

}  // namespace

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

std::vector<ConfigLeaf> WithLinksAsApproved(
    std::vector<ConfigLeaf> now, const std::vector<ConfigLeaf>& approved) {
  std::vector<ConfigLeaf> out;
  for (ConfigLeaf& leaf : now) {
    if (!IsLinkDown(leaf)) {
      out.push_back(std::move(leaf));
      continue;
    }
    std::copy_if(
        approved.begin(), approved.end(), std::back_inserter(out),
        [&leaf](const ConfigLeaf& one) { return one.path == leaf.path; });
  }
  return out;
}

}  // namespace vmattest::gate
