#ifndef VMATTEST_MEASUREMENT_LIVE_XML_H_
#define VMATTEST_MEASUREMENT_LIVE_XML_H_

#include <span>
#include <string>
#include <string_view>

#include "measurement/xml_element.h"

// What libvirt fills in when it starts a domain, and would honour in a
// definition: it can only be told from the definition itself. Pure; any
// thread.

namespace vmattest::measurement {

// One thing that is taken back where the definition left it open, and only
// there. docs/formats/config-measurement.md shows this list.
struct FilledInRule {
  std::string_view name;
  std::string_view why;
  void (*take_back)(XmlElement& live, const XmlElement& defined);
};
std::span<const FilledInRule> FilledInRules();

// The XML of a running domain with what libvirt filled in at start taken back
// to `inactive_xml`, the same domain's stored definition (virsh dumpxml
// --inactive); with an empty one (a transient domain has none) as it is.
// Everything in which the running domain really differs from its definition
// stays as it is running.
// INVALID_ARGUMENT: either is not a well-formed <domain>, or they are of two
// domains.
absl::StatusOr<std::string> AsDefined(std::string_view live_xml,
                                      std::string_view inactive_xml);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_LIVE_XML_H_
