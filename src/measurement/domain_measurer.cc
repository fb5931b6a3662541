#include "measurement/domain_measurer.h"

#include "evidence/config_tree.h"
#include "fmt/format.h"
#include "measurement/content_leaves.h"
#include "measurement/content_sources.h"
#include "measurement/domain_leaves.h"
#include "measurement/inside_leaves.h"
#include "measurement/normalise.h"
#include "measurement/xml_element.h"

namespace vmattest::measurement {

std::string_view ToString(ContentPolicy policy) {
  switch (policy) {
    case ContentPolicy::kFull:
      return "full";
    case ContentPolicy::kChain:
      return "chain";
    case ContentPolicy::kNone:
      return "none";
  }
  return "unknown";
}

absl::StatusOr<ContentPolicy> ParseContentPolicy(std::string_view name) {
  for (const ContentPolicy policy :
       {ContentPolicy::kFull, ContentPolicy::kChain, ContentPolicy::kNone}) {
    if (name == ToString(policy)) {
      return policy;
    }
  }
  return absl::InvalidArgumentError(
      fmt::format("'{}' is no content policy: full, chain or none", name));
}

const SecretBytes& MeasureOptions::Salt() const {
  static const SecretBytes& none = *new SecretBytes();
  return vm_salt ? *vm_salt : none;
}

absl::StatusOr<DomainMeasurement> DomainMeasurer::Measure(
    std::string_view xml, const MeasureOptions& options) {
  ASSIGN_OR_RETURN(XmlElement domain, ParseXml(xml));
  Normalise(domain);
  ASSIGN_OR_RETURN(DomainLeaves collected, CollectLeaves(domain));

  DomainMeasurement measurement;
  measurement.name = std::move(collected.name);
  measurement.uuid = std::move(collected.uuid);
  measurement.warnings = std::move(collected.warnings);
  std::vector<ConfigLeaf> leaves = std::move(collected.leaves);
  if (options.content != ContentPolicy::kNone) {
    ASSIGN_OR_RETURN(ContentPlan plan,
                     PlanContent(domain, options.content, *make_parser_()));
    ASSIGN_OR_RETURN(ContentLeaves content,
                     DigestContent(plan.files, digester_, work_, options));
    leaves.insert(leaves.end(), plan.leaves.begin(), plan.leaves.end());
    leaves.insert(leaves.end(), content.leaves.begin(), content.leaves.end());
    measurement.cached = std::move(content.cached);
  }
  std::vector<ConfigSubtree> subtrees;
  if (options.inside != inspection::InsidePolicy::kNone) {
    ASSIGN_OR_RETURN(InsideLeaves inside,
                     LookInside(domain, inspector_, make_parser_, options));
    leaves.insert(leaves.end(), inside.leaves.begin(), inside.leaves.end());
    subtrees = std::move(inside.subtrees);
  }
  ASSIGN_OR_RETURN(measurement.tree,
                   evidence::BuildConfigTree(
                       options.algorithm, std::move(leaves), options.Salt()));
  measurement.tree.subtrees = std::move(subtrees);
  return measurement;
}

}  // namespace vmattest::measurement
