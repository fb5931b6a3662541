#include "measurement/domain_leaves.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>

#include "measurement/leaf_path.h"
#include "measurement/residual_leaves.h"
#include "measurement/secrets.h"
#include "measurement/typed_leaves.h"

namespace vmattest::measurement {
namespace {

// The rule tables as a tree, walked along with the XML.
struct RuleNode {
  std::map<std::string, std::unique_ptr<RuleNode>, std::less<>> children;
  std::vector<TypedRule> rules;
  std::string_view key;  // components of its natural key
  bool nests = false;    // a child of its own name has the same rules

  [[nodiscard]] const RuleNode* Child(const XmlElement& element) const {
    const auto found = children.find(element.name);
    if (found == children.end() || !element.ns.empty()) {
      return nullptr;
    }
    return found->second.get();
  }
};

RuleNode& NodeAt(RuleNode& root, std::string_view path) {
  RuleNode* node = &root;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    std::unique_ptr<RuleNode>& child =
        node->children[std::string(path.substr(0, slash))];
    if (child == nullptr) {
      child = std::make_unique<RuleNode>();
    }
    node = child.get();
    path = slash == std::string_view::npos ? "" : path.substr(slash + 1);
  }
  return *node;
}

const RuleNode& Rules() {
  static const std::unique_ptr<const RuleNode> root = [] {
    auto tree = std::make_unique<RuleNode>();
    for (const TypedRule& rule : TypedRules()) {
      NodeAt(*tree, rule.element).rules.push_back(rule);
    }
    for (const KeyRule& rule : KeyRules()) {
      NodeAt(*tree, rule.element).key = rule.components;
    }
    NodeAt(*tree, "devices/disk/backingStore").nests = true;
    return tree;
  }();
  return *root;
}

std::string Join(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) {
    return std::string(a.empty() ? b : a);
  }
  std::string joined;
  joined.reserve(a.size() + b.size() + 1);
  joined.append(a).append("/").append(b);
  return joined;
}

class LeafCollector {
 public:
  absl::Status Walk(const XmlElement& element, const RuleNode* node,
                    const std::string& path, bool first_of_kind) {
    Place place{element, node, path, first_of_kind};
    Residue residue;
    const size_t before = out_.leaves.size();
    AddAttributes(place, residue);
    AddText(place, residue);
    // An element stays visible: without a leaf of its own it is "<name/>".
    if (out_.leaves.size() == before || !residue.attributes.empty() ||
        residue.text) {
      Add(Join("xml", path), LeafType::kElement,
          ResidualValue(element, residue));
    }
    if (bytes_ > kMaxLeafBytes) {
      return absl::InvalidArgumentError(
          fmt::format("line {}: the leaves of this definition exceed {} bytes",
                      element.line, kMaxLeafBytes));
    }
    return WalkChildren(place);
  }

  void Warn(std::string warning) {
    if (out_.warnings.size() < kMaxWarnings) {
      out_.warnings.push_back(std::move(warning));
    } else if (out_.warnings.size() == kMaxWarnings) {
      out_.warnings.emplace_back("there are more warnings than are kept");
    }
  }

  DomainLeaves Take() && { return std::move(out_); }

 private:
  struct Place {
    const XmlElement& element;
    const RuleNode* node;  // null where no table reaches
    const std::string& path;
    bool first_of_kind;  // so are all its ancestors
  };

  void Add(std::string path, LeafType type, std::string value) {
    bytes_ += path.size() + value.size();
    out_.leaves.push_back({std::move(path), type, std::move(value)});
  }

  void AddPresence(const Place& place, std::string_view part) {
    Add(fmt::format("{}/@{}", Join("xml", place.path), part),
        LeafType::kPresence, "present");
  }

  static const TypedRule* FindRule(const Place& place,
                                   std::string_view attribute) {
    if (place.node == nullptr) {
      return nullptr;
    }
    for (const TypedRule& rule : place.node->rules) {
      if (rule.attribute == attribute) {
        return &rule;
      }
    }
    return nullptr;
  }

  // Size attributes and texts take the attribute "unit" with them.
  static bool TakesUnit(const Place& place, const TypedRule& rule) {
    if (rule.kind != ValueKind::kSize) {
      return false;
    }
    const std::string_view text = rule.attribute.empty()
                                      ? place.element.Text()
                                      : place.element.Get(rule.attribute);
    return ParseTyped(rule.kind, text, place.element.Get("unit")).has_value();
  }

  static bool UnitIsTaken(const Place& place) {
    return place.node != nullptr &&
           place.element.Attribute("unit") != nullptr &&
           std::any_of(place.node->rules.begin(), place.node->rules.end(),
                       [&place](const TypedRule& rule) {
                         return TakesUnit(place, rule);
                       });
  }

  static std::string LeafPath(const Place& place, const TypedRule& rule) {
    if (!rule.path.empty() && place.first_of_kind) {
      return std::string(rule.path);
    }
    return Join(TypedPath(place.path), rule.attribute);
  }

  void AddTyped(const Place& place, const TypedRule& rule,
                std::string_view text) {
    std::string path = LeafPath(place, rule);
    const std::string* unit = place.element.Attribute("unit");
    std::optional<TypedValue> value =
        ParseTyped(rule.kind, text, unit == nullptr ? "KiB" : *unit);
    if (!value) {
      Warn(fmt::format("{}: '{}' is no {}; measured as written", path,
                       text.substr(0, 64), ToString(rule.kind)));
      value = TypedValue{LeafType::kText, std::string(text)};
    }
    Add(std::move(path), value->type, std::move(value->value));
  }

  // The key in the path says it already.
  static bool IsInKey(const Place& place, const XmlAttribute& attribute) {
    if (place.node == nullptr || place.node->key.empty() ||
        place.node->key.front() != '@' ||
        place.node->key.substr(1) != attribute.name) {
      return false;
    }
    return !NaturalKey(place.element, place.node->key).empty();
  }

  static std::string SecretName(const XmlAttribute& attribute) {
    const std::string name = EscapeKey(attribute.name);
    return attribute.ns.empty()
               ? name
               : fmt::format("{{{}}}{}", EscapeKey(attribute.ns), name);
  }

  void AddArgument(const Place& place, const XmlAttribute& attribute,
                   Residue& residue) {
    RedactedArgument argument = RedactArgument(attribute.value);
    if (argument.redacted) {
      AddPresence(place, SecretName(attribute));
      redacted_.push_back({"", attribute.name, std::move(argument.text)});
      residue.attributes.push_back(&redacted_.back());
    } else {
      residue.attributes.push_back(&attribute);
    }
  }

  void AddAttributes(const Place& place, Residue& residue) {
    const bool unit_is_taken = UnitIsTaken(place);
    for (const XmlAttribute& attribute : place.element.attributes) {
      const TypedRule* rule =
          attribute.ns.empty() ? FindRule(place, attribute.name) : nullptr;
      const bool said_elsewhere =
          attribute.ns.empty() &&
          ((attribute.name == "unit" && unit_is_taken) ||
           IsInKey(place, attribute));
      if (IsSecretAttribute(place.element, attribute)) {
        AddPresence(place, SecretName(attribute));
      } else if (IsQemuArgument(place.element, attribute)) {
        AddArgument(place, attribute, residue);
      } else if (rule != nullptr) {
        AddTyped(place, *rule, attribute.value);
      } else if (!said_elsewhere) {
        residue.attributes.push_back(&attribute);
      }
    }
  }

  void AddText(const Place& place, Residue& residue) {
    if (place.element.texts.empty()) {
      return;
    }
    const TypedRule* rule = FindRule(place, "");
    if (IsSecretText(place.element)) {
      AddPresence(place, "text");
    } else if (rule != nullptr && place.element.children.empty()) {
      AddTyped(place, *rule, place.element.Text());
    } else {
      residue.text = true;
    }
  }

  void AddOrder(const Place& place, const std::vector<std::string>& names) {
    const std::vector<XmlElement>& devices = place.element.children;
    std::map<std::string, std::vector<std::string>> kinds;
    for (size_t i = 0; i < devices.size(); ++i) {
      const std::string kind = PathName(devices[i]);
      const std::string key = names[i].substr(kind.size());
      kinds[kind].push_back(key.empty() ? "[]" : key);
    }
    const std::string parent =
        place.first_of_kind ? "order" : Join("order", place.path);
    // libvirt itself reorders controllers, and their index says which is which.
    kinds.erase("controller");
    for (const auto& [kind, keys] : kinds) {
      if (keys.size() > 1) {
        Add(Join(parent, kind), LeafType::kText,
            fmt::format("{}", fmt::join(keys, "")));
      }
    }
  }

  absl::Status WalkChildren(const Place& place) {
    const std::vector<XmlElement>& children = place.element.children;
    std::vector<const RuleNode*> nodes;
    std::vector<std::string_view> keys;
    for (const XmlElement& child : children) {
      const RuleNode* node =
          place.node == nullptr ? nullptr : place.node->Child(child);
      if (node == nullptr && place.node != nullptr && place.node->nests &&
          child.Is(place.element.name)) {
        node = place.node;
      }
      nodes.push_back(node);
      keys.push_back(node == nullptr ? std::string_view() : node->key);
    }
    const std::vector<std::string> names = SiblingNames(children, keys);
    if (place.node == Rules().Child(place.element) &&
        place.element.Is("devices")) {
      AddOrder(place, names);
    }
    for (size_t i = 0; i < children.size(); ++i) {
      RETURN_IF_ERROR(
          Walk(children[i], nodes[i], Join(place.path, names[i]),
               place.first_of_kind && names[i].find('[') == std::string::npos));
    }
    return absl::OkStatus();
  }

  DomainLeaves out_;
  std::deque<XmlAttribute> redacted_;  // residues point into it
  size_t bytes_ = 0;
};

void CheckSingle(const XmlElement& domain, std::string_view name, bool required,
                 LeafCollector& collector) {
  const auto count =
      std::count_if(domain.children.begin(), domain.children.end(),
                    [name](const XmlElement& child) { return child.Is(name); });
  if (count > 1) {
    collector.Warn(fmt::format("{}: the element occurs {} times", name, count));
  } else if (required && count == 0) {
    collector.Warn(fmt::format("{}: the element is missing", name));
  }
}

void CheckDevices(const XmlElement& domain, LeafCollector& collector) {
  const XmlElement* devices = domain.Child("devices");
  if (devices == nullptr) {
    return;
  }
  std::set<std::string_view> targets;
  for (const XmlElement& device : devices->children) {
    const XmlElement* target = device.Child("target");
    if (!device.Is("disk") || target == nullptr) {
      continue;
    }
    const std::string_view dev = target->Get("dev");
    if (!targets.insert(dev).second) {
      collector.Warn(fmt::format("disk[{}]: two disks have this target",
                                 EscapeKey(dev.substr(0, kMaxKeySize))));
    }
  }
}

void CheckPlausible(const XmlElement& domain, LeafCollector& collector) {
  if (domain.Get("type").empty()) {
    collector.Warn("domain/type: the attribute is missing");
  }
  CheckSingle(domain, "name", true, collector);
  CheckSingle(domain, "os", true, collector);
  for (const std::string_view name : {"uuid", "memory", "currentMemory", "vcpu",
                                      "cpu", "devices", "features"}) {
    CheckSingle(domain, name, false, collector);
  }
  const XmlElement* name = domain.Child("name");
  if (name != nullptr && name->Text().empty()) {
    collector.Warn("name: is empty");
  }
  CheckDevices(domain, collector);
}

}  // namespace

std::string TypedPath(const std::string& element_path) {
  constexpr std::string_view kDevices = "devices/";
  if (element_path.compare(0, kDevices.size(), kDevices) != 0) {
    return element_path;
  }
  std::string path = element_path.substr(kDevices.size());
  const size_t end = path.find_first_of("/[");
  if (path.substr(0, end) == "memory") {
    path.insert(6, "-device");
  }
  return path;
}

absl::StatusOr<DomainLeaves> CollectLeaves(const XmlElement& domain) {
  if (!domain.Is("domain")) {
    return absl::InvalidArgumentError(fmt::format(
        "line {}: the root element is <{}>{}, not <domain>", domain.line,
        domain.name, domain.ns.empty() ? "" : " of another namespace"));
  }
  LeafCollector collector;
  RETURN_IF_ERROR(collector.Walk(domain, &Rules(), "", true));
  CheckPlausible(domain, collector);
  DomainLeaves collected = std::move(collector).Take();
  if (const XmlElement* name = domain.Child("name"); name != nullptr) {
    collected.name = name->Text();
  }
  if (const XmlElement* uuid = domain.Child("uuid"); uuid != nullptr) {
    if (const auto value = ParseTyped(ValueKind::kUuid, uuid->Text())) {
      collected.uuid = value->value;
    }
  }
  return collected;
}

}  // namespace vmattest::measurement
