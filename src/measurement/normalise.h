#ifndef VMATTEST_MEASUREMENT_NORMALISE_H_
#define VMATTEST_MEASUREMENT_NORMALISE_H_

#include <span>
#include <string_view>

#include "measurement/xml_element.h"

namespace vmattest::measurement {

// One thing that libvirt writes into XML but does not read from a definition,
// or that says what the default says: taking it out loses no meaning, whoever
// wrote the file. docs/formats/config-measurement.md shows this list.
struct VolatileRule {
  std::string_view name;
  std::string_view why;
  void (*apply)(XmlElement& domain);
};
std::span<const VolatileRule> VolatileRules();

// Applies them all. Pure; any thread. What libvirt fills in at start and would
// honour in a definition stays: see live_xml.h.
void Normalise(XmlElement& domain);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_NORMALISE_H_
