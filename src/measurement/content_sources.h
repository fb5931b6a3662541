#ifndef VMATTEST_MEASUREMENT_CONTENT_SOURCES_H_
#define VMATTEST_MEASUREMENT_CONTENT_SOURCES_H_

#include <string>
#include <vector>

#include "image/header_parser.h"
#include "measurement/domain_measurer.h"
#include "measurement/xml_element.h"

namespace vmattest::measurement {

// A file whose content is a leaf.
struct ContentSource {
  std::string leaf;  // "os/kernel/content"
  std::string file;  // absolute
  bool may_be_absent = false;
};

struct ContentPlan {
  std::vector<ContentSource> files;
  // What is known without reading content: layers of disks with their formats,
  // and why some content cannot be bound.
  std::vector<ConfigLeaf> leaves;
};

// Finds every file that a normalised <domain> makes the host use: rule S18.
// Has headers of disk images parsed by `parser` to follow their chains, reads
// nothing else. Callable from any thread; blocks on those reads. Not for kNone.
// NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT: a layer of a disk; the
// message names the disk's leaf and the file.
absl::StatusOr<ContentPlan> PlanContent(const XmlElement& domain,
                                        ContentPolicy policy,
                                        image::HeaderParser& parser);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_CONTENT_SOURCES_H_
