#ifndef VMATTEST_MEASUREMENT_DISK_LAYERS_H_
#define VMATTEST_MEASUREMENT_DISK_LAYERS_H_

#include <string>
#include <variant>
#include <vector>

#include "image/header_parser.h"
#include "image/image_chain.h"
#include "measurement/xml_element.h"

namespace vmattest::measurement {

// Which images make up a disk, the top first. Where the XML spells a backing
// chain out that is what QEMU is told, and the images' headers are not asked.
struct DiskLayers {
  std::vector<image::ImageLayer> layers;
  // Not empty: why nothing of it can be bound to content ("network disk").
  std::string unbound;
  bool absent = false;       // optional medium that is not there
  bool writable_top = true;  // the guest writes into the first layer
};

// An empty drive has no layers. Opens local images for their headers only, and
// has those parsed by `parser`. Errors of ResolveChain (image/image_chain.h).
absl::StatusOr<DiskLayers> FindDiskLayers(const XmlElement& disk,
                                          image::HeaderParser& parser);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_DISK_LAYERS_H_
