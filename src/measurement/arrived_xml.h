#ifndef VMATTEST_MEASUREMENT_ARRIVED_XML_H_
#define VMATTEST_MEASUREMENT_ARRIVED_XML_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "image/header_parser.h"

namespace vmattest::measurement {

// The XML of a domain that comes from another host by migration, without what
// libvirt filled in there: no definition is at hand to tell that from
// (live_xml.h). The image layers that it spells out, <backingStore>, are taken
// out of each disk of which the images' headers say the very same here; where
// they say something else, or cannot be read, the XML stays as it is. Opens
// local images for their headers, which are parsed by a parser of
// `make_parser`; callable from any thread.
// INVALID_ARGUMENT: no well-formed <domain>.
absl::StatusOr<std::string> AsBeforeMigration(
    std::string_view xml, const image::HeaderParserFactory& make_parser);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_ARRIVED_XML_H_
