#ifndef VMATTEST_MEASUREMENT_RESIDUAL_LEAVES_H_
#define VMATTEST_MEASUREMENT_RESIDUAL_LEAVES_H_

#include <string>
#include <vector>

#include "measurement/xml_element.h"

namespace vmattest::measurement {

// What of an element no typed leaf covers.
struct Residue {
  std::vector<const XmlAttribute*> attributes;  // in the element's order
  bool text = false;
};

// Canonical XML of the residue: "<driver cache='none'/>", "<path>/a</path>".
// Children have leaves of their own; between runs of text they stand as
// "<name/>", so that mixed content keeps its positions.
std::string ResidualValue(const XmlElement& element, const Residue& residue);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_RESIDUAL_LEAVES_H_
