#ifndef VMATTEST_MEASUREMENT_INSIDE_LEAVES_H_
#define VMATTEST_MEASUREMENT_INSIDE_LEAVES_H_

#include <vector>

#include "image/header_parser.h"
#include "inspection/disk_inspector.h"
#include "measurement/domain_measurer.h"
#include "measurement/xml_element.h"

namespace vmattest::measurement {

struct InsideLeaves {
  // Of each disk "disk[vda]/inside", and with InsidePolicy::kFull
  // "disk[vda]/guest/content".
  std::vector<ConfigLeaf> leaves;
  // In the order of the "inside" leaves' paths.
  std::vector<ConfigSubtree> subtrees;
};

// Looks into every disk of a normalised <domain> but CD-ROMs and floppies, one
// after the other. Blocks; any thread. What cannot be looked into and is the
// disk's own fault becomes an "unavailable" leaf; a file that is missing or
// that changed is an error, which names the leaf.
// FAILED_PRECONDITION: no inspector.
absl::StatusOr<InsideLeaves> LookInside(
    const XmlElement& domain, inspection::DiskInspector* inspector,
    const image::HeaderParserFactory& make_parser,
    const MeasureOptions& options);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_INSIDE_LEAVES_H_
