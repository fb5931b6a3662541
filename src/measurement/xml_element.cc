#include "measurement/xml_element.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace vmattest::measurement {
namespace {

void AppendEscaped(std::string_view text, bool in_attribute, std::string& out) {
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\r':
        out += "&#xD;";
        break;
      case '\'':
        out += in_attribute ? "&apos;" : "'";
        break;
      case '\t':
        out += in_attribute ? "&#x9;" : "\t";
        break;
      case '\n':
        out += in_attribute ? "&#xA;" : "\n";
        break;
      default:
        out += c;
    }
  }
}

void AppendXml(const XmlElement& element, std::string_view parent_ns,
               std::string& out) {
  std::vector<const XmlAttribute*> attributes;
  for (const XmlAttribute& attribute : element.attributes) {
    attributes.push_back(&attribute);
  }
  AppendOpenTag(element, attributes, parent_ns, out);
  if (element.children.empty() && element.texts.empty()) {
    out += "/>";
    return;
  }
  out += '>';
  size_t text = 0;
  for (size_t i = 0; i <= element.children.size(); ++i) {
    for (; text < element.texts.size() && element.texts[text].before_child == i;
         ++text) {
      AppendEscapedText(element.texts[text].text, out);
    }
    if (i < element.children.size()) {
      AppendXml(element.children[i], element.ns, out);
    }
  }
  out += "</";
  out += element.name;
  out += '>';
}

}  // namespace

const XmlElement* XmlElement::Child(std::string_view child) const {
  const auto found =
      std::find_if(children.begin(), children.end(),
                   [child](const XmlElement& e) { return e.Is(child); });
  return found == children.end() ? nullptr : &*found;
}

XmlElement* XmlElement::Child(std::string_view child) {
  return const_cast<XmlElement*>(std::as_const(*this).Child(child));
}

const std::string* XmlElement::Attribute(std::string_view attribute) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(),
                                  [attribute](const XmlAttribute& a) {
                                    return a.name == attribute && a.ns.empty();
                                  });
  return found == attributes.end() ? nullptr : &found->value;
}

std::string_view XmlElement::Get(std::string_view attribute) const {
  const std::string* value = Attribute(attribute);
  return value == nullptr ? std::string_view() : std::string_view(*value);
}

std::string_view XmlElement::Text() const {
  return children.empty() && texts.size() == 1
             ? std::string_view(texts.front().text)
             : std::string_view();
}

bool XmlElement::IsBare() const {
  return attributes.empty() && children.empty() && texts.empty();
}

void XmlElement::Set(std::string_view attribute, std::string_view value) {
  Erase(attribute);
  XmlAttribute added{"", std::string(attribute), std::string(value)};
  const auto less = [](const XmlAttribute& a, const XmlAttribute& b) {
    return std::tie(a.ns, a.name) < std::tie(b.ns, b.name);
  };
  attributes.insert(
      std::upper_bound(attributes.begin(), attributes.end(), added, less),
      added);
}

void XmlElement::Erase(std::string_view attribute) {
  std::erase_if(attributes, [attribute](const XmlAttribute& a) {
    return a.name == attribute && a.ns.empty();
  });
}

void XmlElement::EraseChild(const XmlElement* child) {
  const auto position = static_cast<size_t>(child - children.data());
  children.erase(children.begin() + static_cast<ptrdiff_t>(position));
  for (XmlText& text : texts) {
    if (text.before_child > position) {
      --text.before_child;
    }
  }
}

bool operator==(const XmlElement& a, const XmlElement& b) {
  return a.ns == b.ns && a.name == b.name && a.attributes == b.attributes &&
         a.texts == b.texts && a.children == b.children;
}

void AppendEscapedText(std::string_view text, std::string& out) {
  AppendEscaped(text, false, out);
}

void AppendOpenTag(const XmlElement& element,
                   const std::vector<const XmlAttribute*>& attributes,
                   std::string_view parent_ns, std::string& out) {
  out += '<';
  out += element.name;
  if (element.ns != parent_ns) {
    out += " xmlns='";
    AppendEscaped(element.ns, true, out);
    out += '\'';
  }
  int prefixes = 0;
  for (const XmlAttribute* attribute : attributes) {
    out += ' ';
    if (attribute->ns == "http://www.w3.org/XML/1998/namespace") {
      out += "xml:";
    } else if (!attribute->ns.empty()) {
      const std::string prefix = fmt::format("n{}", ++prefixes);
      out += fmt::format("xmlns:{}='", prefix);
      AppendEscaped(attribute->ns, true, out);
      out += fmt::format("' {}:", prefix);
    }
    out += attribute->name;
    out += "='";
    AppendEscaped(attribute->value, true, out);
    out += '\'';
  }
}

std::string WriteXml(const XmlElement& element) {
  std::string out;
  AppendXml(element, "", out);
  return out;
}

}  // namespace vmattest::measurement
