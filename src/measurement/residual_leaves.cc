#include "measurement/residual_leaves.h"

namespace vmattest::measurement {

std::string ResidualValue(const XmlElement& element, const Residue& residue) {
  std::string value;
  AppendOpenTag(element, residue.attributes, "", value);
  if (!residue.text || element.texts.empty()) {
    return value + "/>";
  }
  value += '>';
  size_t child = 0;
  const auto append_children_before = [&](size_t end) {
    for (; child < end; ++child) {
      AppendOpenTag(element.children[child], {}, element.ns, value);
      value += "/>";
    }
  };
  for (const XmlText& run : element.texts) {
    append_children_before(run.before_child);
    AppendEscapedText(run.text, value);
  }
  append_children_before(element.children.size());
  value += "</" + element.name + ">";
  return value;
}

}  // namespace vmattest::measurement
