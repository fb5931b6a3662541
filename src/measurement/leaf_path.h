#ifndef VMATTEST_MEASUREMENT_LEAF_PATH_H_
#define VMATTEST_MEASUREMENT_LEAF_PATH_H_

#include <string>
#include <string_view>
#include <vector>

#include "measurement/xml_element.h"

// How an element is named in leaf paths (docs/formats/config-measurement.md,
// "Paths"). Pure; any thread.
//
//   devices/disk[vda]/source      a key where the element has a natural one
//   os/boot, os/boot[#2]          else the number among siblings of its name
//   devices/disk[vda#2]           the second sibling with that key

namespace vmattest::measurement {

// Longer natural keys are not used: paths repeat them for every descendant.
inline constexpr size_t kMaxKeySize = 128;

// `text` with every byte that paths give a meaning to, or that is not printed
// as itself, as %HH.
std::string EscapeKey(std::string_view text);

// The name of an element in a path: "disk", "qemu:commandline" for libvirt's
// own namespaces, "{URI}name" for others.
std::string PathName(const XmlElement& element);

// A natural key, made of attributes of the element or of its children.
struct KeyRule {
  std::string_view element;  // "devices/disk"
  // "@name" or "child@name", joined by ":". The first must be there.
  std::string_view components;
};
const std::vector<KeyRule>& KeyRules();

// The escaped key by `components`; empty if there is none.
std::string NaturalKey(const XmlElement& element, std::string_view components);

// Names of siblings, in their order: "disk[vda]", "disk[vda#2]", "boot[#2]".
// `components[i]` is the key rule of `children[i]`, empty for none.
std::vector<std::string> SiblingNames(
    const std::vector<XmlElement>& children,
    const std::vector<std::string_view>& components);

// The paths of the children of the element at `path`, keys included.
std::vector<std::string> ChildPaths(const XmlElement& parent,
                                    const std::string& path);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_LEAF_PATH_H_
