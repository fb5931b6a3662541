#ifndef VMATTEST_MEASUREMENT_XML_ELEMENT_H_
#define VMATTEST_MEASUREMENT_XML_ELEMENT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

// XML as values: what has meaning in a domain definition and nothing else. No
// comments, processing instructions, prefixes or indentation. The only place
// that knows libxml2 is the source of this header. Pure; any thread.

namespace vmattest::measurement {

inline constexpr size_t kMaxXmlSize = 8U << 20;
inline constexpr int kMaxXmlDepth = 256;
inline constexpr size_t kMaxXmlElements = 100'000;
// Longer names, or URIs of namespaces, are in no real definition, and leaf
// paths repeat them for every descendant.
inline constexpr size_t kMaxXmlNameSize = 256;

struct XmlAttribute {
  std::string ns;  // URI, mostly empty
  std::string name;
  std::string value;
  friend bool operator==(const XmlAttribute&, const XmlAttribute&) = default;
};

struct XmlText {
  size_t before_child = 0;  // how many children precede it
  std::string text;
  friend bool operator==(const XmlText&, const XmlText&) = default;
};

struct XmlElement {
  std::string ns;
  std::string name;  // "prefix:name" if the prefix is bound to nothing
  std::vector<XmlAttribute> attributes;  // sorted by (ns, name)
  std::vector<XmlElement> children;
  std::vector<XmlText> texts;  // runs that are not only white space
  int line = 0;

  // The first child, the attribute, of that name in no namespace; or null.
  [[nodiscard]] const XmlElement* Child(std::string_view child) const;
  [[nodiscard]] XmlElement* Child(std::string_view child);
  [[nodiscard]] const std::string* Attribute(std::string_view attribute) const;
  // The attribute's value, or empty: for comparing where both mean the same.
  [[nodiscard]] std::string_view Get(std::string_view attribute) const;
  // Text of an element without children; empty if there is none.
  [[nodiscard]] std::string_view Text() const;
  // Neither attribute, nor child, nor text.
  [[nodiscard]] bool IsBare() const;

  void Set(std::string_view attribute, std::string_view value);
  void Erase(std::string_view attribute);
  void EraseChild(const XmlElement* child);
  [[nodiscard]] bool Is(std::string_view plain_name) const {
    return name == plain_name && ns.empty();
  }
};

// Same meaning: everything but line numbers.
bool operator==(const XmlElement& a, const XmlElement& b);

// Parses hostile text: no network, no entities but the five predefined ones
// and character references, no document type at all.
//   INVALID_ARGUMENT: not well-formed, has a DOCTYPE, or is past a limit; the
//   message starts with "line N: ".
absl::StatusOr<XmlElement> ParseXml(std::string_view xml);

// A well-formed document that parses to an equal element.
std::string WriteXml(const XmlElement& element);

// "<driver cache='none'" without its end: name, namespaces by URI, then those
// of `attributes` in their order. `parent_ns` is what is in force without a
// declaration of its own.
void AppendOpenTag(const XmlElement& element,
                   const std::vector<const XmlAttribute*>& attributes,
                   std::string_view parent_ns, std::string& out);
void AppendEscapedText(std::string_view text, std::string& out);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_XML_ELEMENT_H_
