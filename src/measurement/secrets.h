#ifndef VMATTEST_MEASUREMENT_SECRETS_H_
#define VMATTEST_MEASUREMENT_SECRETS_H_

#include <string>
#include <string_view>

#include "measurement/xml_element.h"

// Which parts of a definition are secrets (rule S17): they become leaves that
// say "present", and their values are stored, printed and hashed nowhere.
// Pure; any thread.

namespace vmattest::measurement {

// VNC and SPICE passwords with their end, and whatever is named like one.
bool IsSecretAttribute(const XmlElement& element,
                       const XmlAttribute& attribute);

// Disk secrets given inline, HTTP cookies, and whatever is named like one.
bool IsSecretText(const XmlElement& element);

// The value of a <qemu:arg>.
bool IsQemuArgument(const XmlElement& element, const XmlAttribute& attribute);

// `argument` of QEMU's command line with the values of secret options out:
//   "secret,id=s0,data=letmein"  ->  "secret,id=s0,data="
// In JSON, or where it cannot be told what belongs to the value, everything is
// taken out. `redacted` says whether anything was.
struct RedactedArgument {
  std::string text;
  bool redacted = false;
};
RedactedArgument RedactArgument(std::string_view argument);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_SECRETS_H_
