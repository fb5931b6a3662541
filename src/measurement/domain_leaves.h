#ifndef VMATTEST_MEASUREMENT_DOMAIN_LEAVES_H_
#define VMATTEST_MEASUREMENT_DOMAIN_LEAVES_H_

#include <string>
#include <vector>

#include "measurement/xml_element.h"
#include "vmattest/types/config_leaf.h"

namespace vmattest::measurement {

// All leaves of one definition together. Ten times the largest real one.
inline constexpr size_t kMaxLeafBytes = 64U << 20;
inline constexpr size_t kMaxWarnings = 100;

struct DomainLeaves {
  std::string name;
  std::string uuid;  // canonical; empty if there is none, or none that is one
  std::vector<ConfigLeaf> leaves;
  std::vector<std::string> warnings;
};

// Turns a normalised <domain> into leaves: typed ones, one residual leaf per
// element for what they do not cover, presence leaves for secrets, the order
// of devices. Two definitions that differ in any attribute, text or element
// differ in their leaves. Pure; any thread.
// INVALID_ARGUMENT: not a <domain>, or larger than kMaxLeafBytes.
absl::StatusOr<DomainLeaves> CollectLeaves(const XmlElement& domain);

// Where leaves of the element at `element_path` live: devices without their
// "devices/", but memory modules as "memory-device".
std::string TypedPath(const std::string& element_path);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_DOMAIN_LEAVES_H_
