#include "measurement/leaf_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <unordered_map>

#include "measurement/typed_leaves.h"

namespace vmattest::measurement {
namespace {

constexpr std::string_view kLibvirtNamespaces =
    "http://libvirt.org/schemas/domain/";

std::string Escape(std::string_view text, std::string_view also_plain) {
  std::string out;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0 ||
        also_plain.find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// One key for what means the same.
std::string Canonical(std::string_view attribute, const std::string& value) {
  const ValueKind kind = attribute == "mac@address" ? ValueKind::kMac
                         : attribute == "source/address@uuid"
                             ? ValueKind::kUuid
                             : ValueKind::kText;
  const std::optional<TypedValue> typed = ParseTyped(kind, value);
  return typed ? typed->value : value;
}

const std::string* Find(const XmlElement& element, std::string_view where) {
  const size_t at = where.find('@');
  const XmlElement* found = &element;
  for (std::string_view rest = where.substr(0, at); !rest.empty();) {
    const size_t slash = rest.find('/');
    found = found->Child(rest.substr(0, slash));
    if (found == nullptr) {
      return nullptr;
    }
    rest = slash == std::string_view::npos ? "" : rest.substr(slash + 1);
  }
  return found->Attribute(where.substr(at + 1));
}

}  // namespace

std::string EscapeKey(std::string_view text) {
  return Escape(text, "._-+/@=,");
}

std::string PathName(const XmlElement& element) {
  const std::string name = Escape(element.name, "._-");
  if (element.ns.empty()) {
    return name;
  }
  const std::string_view ns = element.ns;
  if (ns.substr(0, kLibvirtNamespaces.size()) == kLibvirtNamespaces) {
    const std::string_view rest = ns.substr(kLibvirtNamespaces.size());
    const std::string_view driver = rest.substr(0, rest.find('/'));
    if (rest == fmt::format("{}/1.0", driver) && !driver.empty() &&
        Escape(driver, "") == driver) {
      return fmt::format("{}:{}", driver, name);
    }
  }
  return fmt::format("{{{}}}{}", Escape(ns, "._-:"), name);
}

const std::vector<KeyRule>& KeyRules() {
  static const std::vector<KeyRule> rules = {
      {"clock/timer", "@name"},
      {"cpu/cache", "@level"},
      {"cpu/feature", "@name"},
      {"cpu/numa/cell", "@id"},
      {"cputune/iothreadpin", "@iothread"},
      {"cputune/vcpupin", "@vcpu"},
      {"cputune/vcpusched", "@vcpus"},
      {"devices/audio", "@id"},
      {"devices/channel", "target@type:target@name"},
      {"devices/console", "target@type:target@port"},
      {"devices/controller", "@type:@index"},
      {"devices/disk", "target@dev"},
      {"devices/filesystem", "target@dir"},
      {"devices/graphics", "@type"},
      {"devices/hostdev",
       "@type:source/address@uuid:source/address@domain:source/address@bus:"
       "source/address@slot:source/address@function:source/address@device:"
       "source/vendor@id:source/product@id"},
      {"devices/input", "@type:@bus"},
      {"devices/interface", "mac@address"},
      {"devices/parallel", "target@port"},
      {"devices/serial", "target@type:target@port"},
      {"devices/shmem", "@name"},
      {"iothreadids/iothread", "@id"},
      {"numatune/memnode", "@cellid"},
      {"sysinfo", "@type"},
      {"sysinfo/entry", "@name"},
      {"vcpus/vcpu", "@id"},
  };
  return rules;
}

std::string NaturalKey(const XmlElement& element, std::string_view components) {
  std::string key;
  bool first = true;
  while (!components.empty()) {
    const size_t colon = components.find(':');
    const std::string_view where = components.substr(0, colon);
    const std::string* value = Find(element, where);
    if (first && (value == nullptr || value->empty())) {
      return "";
    }
    if (value != nullptr && value->size() > kMaxKeySize) {
      return "";
    }
    if (!first) {
      key += ':';
    }
    if (value != nullptr) {
      // A MAC address stands alone, so its colons separate nothing.
      key += where == "mac@address" ? Escape(Canonical(where, *value), "._-:")
                                    : EscapeKey(Canonical(where, *value));
    }
    first = false;
    components = colon == std::string_view::npos ? std::string_view()
                                                 : components.substr(colon + 1);
  }
  key.erase(key.find_last_not_of(':') + 1);
  return key.size() > kMaxKeySize ? "" : key;
}

std::vector<std::string> SiblingNames(
    const std::vector<XmlElement>& children,
    const std::vector<std::string_view>& components) {
  std::vector<std::string> names;
  names.reserve(children.size());
  std::unordered_map<std::string, int> seen;
  for (size_t i = 0; i < children.size(); ++i) {
    std::string name = PathName(children[i]);
    const std::string key = components[i].empty()
                                ? std::string()
                                : NaturalKey(children[i], components[i]);
    const int number = ++seen[fmt::format("{}[{}", name, key)];
    if (!key.empty()) {
      name += number == 1 ? fmt::format("[{}]", key)
                          : fmt::format("[{}#{}]", key, number);
    } else if (number > 1) {
      name += fmt::format("[#{}]", number);
    }
    names.push_back(std::move(name));
  }
  return names;
}

std::vector<std::string> ChildPaths(const XmlElement& parent,
                                    const std::string& path) {
  const std::string place = path.substr(0, path.find('['));
  std::vector<std::string_view> components;
  for (const XmlElement& child : parent.children) {
    const std::string element =
        place.empty() ? child.name : fmt::format("{}/{}", place, child.name);
    const auto rule = std::find_if(
        KeyRules().begin(), KeyRules().end(),
        [&element](const KeyRule& r) { return r.element == element; });
    components.push_back(rule == KeyRules().end() || !child.ns.empty()
                             ? std::string_view()
                             : rule->components);
  }
  std::vector<std::string> paths = SiblingNames(parent.children, components);
  if (!path.empty()) {
    for (std::string& name : paths) {
      name = fmt::format("{}/{}", path, name);
    }
  }
  return paths;
}

}  // namespace vmattest::measurement
