#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/bytes.h"
#include "reference/decimal.h"
#include "reference/path_pattern.h"
#include "reference/reason_codes.h"
#include "reference/reference.h"

namespace vmattest::reference {
namespace {

using Kind = LeafRule::Kind;

std::string Describe(const ConfigLeaf& leaf) {
  return fmt::format("{} '{}'", ToString(leaf.type), leaf.value);
}

std::string_view RuleType(const LeafRule& rule) {
  return rule.type ? ToString(*rule.type) : "";
}

// "integer at least 4", "one of 'a', 'b'".
std::string DescribeRule(const LeafRule& rule) {
  const std::string type =
      rule.type ? fmt::format("{} ", RuleType(rule)) : std::string();
  switch (rule.kind) {
    case Kind::kEqual:
      return fmt::format("{}'{}'", type, rule.values.front());
    case Kind::kOneOf:
      return fmt::format("{}one of '{}'", type, fmt::join(rule.values, "', '"));
    case Kind::kAtLeast:
      return fmt::format("{}at least {}", type, rule.values.front());
    case Kind::kAtMost:
      return fmt::format("{}at most {}", type, rule.values.front());
    case Kind::kAbsent:
      return "no such leaf";
    case Kind::kAny:
      return fmt::format("{}of any value", type);
  }
  return "";
}

bool IsNumeric(LeafType type) {
  return type == LeafType::kInteger || type == LeafType::kSize;
}

// What is there already stays as near as it can.
ConfigLeaf Wanted(const LeafRule& rule, std::string_view path,
                  const ConfigLeaf* found) {
  const bool range = rule.kind == Kind::kAtLeast || rule.kind == Kind::kAtMost;
  LeafType type = range ? LeafType::kInteger : LeafType::kText;
  if (rule.type) {
    type = *rule.type;
  } else if (found != nullptr && found->type != LeafType::kUnavailable &&
             (!range || IsNumeric(found->type))) {
    type = found->type;
  }
  ConfigLeaf leaf{std::string(path), type, ""};
  if (rule.kind == Kind::kAny) {
    leaf.value = found != nullptr ? found->value : "";
  } else if (!rule.values.empty()) {
    leaf.value = rule.values.front();
  }
  return leaf;
}

class Evaluation {
 public:
  explicit Evaluation(const Reference& reference) : reference_(reference) {
    for (const LeafRule& rule : reference.rules) {
      if (IsPattern(rule.path)) {
        patterns_.push_back({PathPattern(rule.path), &rule});
      } else {
        exact_.emplace(rule.path, &rule);
      }
    }
  }

  std::vector<Finding> Run(const std::vector<ConfigLeaf>& leaves) {
    for (const ConfigLeaf& leaf : leaves) {
      if (leaf.path != kHeaderLeafPath) {
        Judge(leaf);
      }
    }
    for (const auto& [path, rule] : exact_) {
      if (!seen_.contains(path) && rule->kind != Kind::kAbsent &&
          rule->kind != Kind::kAny) {
        Missing(*rule);
      }
    }
    std::stable_sort(findings_.begin(), findings_.end(),
                     [](const Finding& a, const Finding& b) {
                       return a.reason.element < b.reason.element;
                     });
    return std::move(findings_);
  }

 private:
  struct Pattern {
    PathPattern pattern;
    const LeafRule* rule;
  };

  const LeafRule* RuleFor(const std::string& path) {
    if (const auto found = exact_.find(path); found != exact_.end()) {
      seen_.insert(path);
      return found->second;
    }
    for (const Pattern& pattern : patterns_) {
      if (pattern.pattern.Matches(path)) {
        return pattern.rule;
      }
    }
    return nullptr;
  }

  void Add(std::string_view code, const std::string& path, std::string expected,
           std::string found, std::string fix, Change change) {
    findings_.push_back(
        {{std::string(code), path, std::move(expected), std::move(found)},
         std::move(fix),
         std::move(change)});
  }

  void Remove(std::string_view code, const ConfigLeaf& leaf,
              std::string_view expected) {
    Add(code, leaf.path, std::string(expected), Describe(leaf),
        fmt::format("remove {}", leaf.path),
        {Change::Kind::kRemove, {leaf.path, leaf.type, ""}});
  }

  void Set(std::string_view code, const LeafRule& rule, const ConfigLeaf& leaf,
           std::string_view verb) {
    Add(code, leaf.path, DescribeRule(rule), Describe(leaf),
        fmt::format("{} {} to {}", verb, leaf.path, DescribeRule(rule)),
        {Change::Kind::kSet, Wanted(rule, leaf.path, &leaf)});
  }

  void Missing(const LeafRule& rule) {
    Add(reason::kLeafMissing, rule.path, DescribeRule(rule), "no such leaf",
        fmt::format("set {} to {}", rule.path, DescribeRule(rule)),
        {Change::Kind::kSet, Wanted(rule, rule.path, nullptr)});
  }

  void Judge(const ConfigLeaf& leaf) {
    const LeafRule* rule = RuleFor(leaf.path);
    if (rule == nullptr) {
      JudgeUnlisted(leaf);
    } else if (rule->kind == Kind::kAbsent) {
      Remove(reason::kLeafForbidden, leaf, "no such leaf");
    } else if (leaf.type == LeafType::kUnavailable &&
               rule->type != LeafType::kUnavailable) {
      if (rule->kind != Kind::kAny || rule->type ||
          !reference_.accept_unavailable) {
        Set(reason::kLeafUnavailable, *rule, leaf, "make measurable and set");
      }
    } else if (!Holds(*rule, leaf)) {
      const bool range =
          rule->kind == Kind::kAtLeast || rule->kind == Kind::kAtMost;
      Set(range ? reason::kLeafRange : reason::kLeafChanged, *rule, leaf,
          "set");
    }
  }

  void JudgeUnlisted(const ConfigLeaf& leaf) {
    if (!reference_.accept_other_leaves) {
      Remove(reason::kLeafAdded, leaf, "only leaves that the reference names");
    } else if (leaf.type == LeafType::kUnavailable &&
               !reference_.accept_unavailable) {
      Remove(reason::kLeafUnavailable, leaf, "measured content");
    }
  }

  static bool Holds(const LeafRule& rule, const ConfigLeaf& leaf) {
    if (rule.type && *rule.type != leaf.type) {
      return false;
    }
    switch (rule.kind) {
      case Kind::kEqual:
      case Kind::kOneOf:
        return std::find(rule.values.begin(), rule.values.end(), leaf.value) !=
               rule.values.end();
      case Kind::kAtLeast:
        return IsNumber(leaf) &&
               CompareDecimals(leaf.value, rule.values.front()) >= 0;
      case Kind::kAtMost:
        return IsNumber(leaf) &&
               CompareDecimals(leaf.value, rule.values.front()) <= 0;
      case Kind::kAbsent:
        return false;
      case Kind::kAny:
        return true;
    }
    return false;
  }

  static bool IsNumber(const ConfigLeaf& leaf) {
    return IsNumeric(leaf.type) && IsDecimal(leaf.value);
  }

  const Reference& reference_;
  std::unordered_map<std::string_view, const LeafRule*> exact_;
  std::vector<Pattern> patterns_;
  std::unordered_set<std::string_view> seen_;
  std::vector<Finding> findings_;
};

bool AcceptsEverything(const Reference& reference) {
  return reference.rules.empty() && reference.accept_other_leaves;
}

Finding RootFinding(const Reference& reference, const DigestBytes& root) {
  std::vector<std::string> known;
  for (const DigestBytes& one : reference.roots) {
    known.push_back(ToHex(one));
  }
  return {{std::string(reason::kRoot), "root",
           fmt::format("{}", fmt::join(known, " or ")), ToHex(root)},
          "restore an approved configuration, or have this one approved",
          {}};
}

}  // namespace

std::vector<Finding> Evaluate(const Reference& reference,
                              const std::vector<ConfigLeaf>& leaves,
                              const DigestBytes& root) {
  const bool listed = std::find(reference.roots.begin(), reference.roots.end(),
                                root) != reference.roots.end();
  if (listed) {
    return {};
  }
  std::vector<Finding> findings;
  if (!leaves.empty() &&
      !(reference.rules.empty() && !reference.roots.empty())) {
    findings = Evaluation(reference).Run(leaves);
  } else if (leaves.empty() && reference.roots.empty() &&
             !AcceptsEverything(reference)) {
    findings.push_back(
        {{std::string(reason::kNeedsLeaves), "leaves",
          "leaves, or a reference with roots", "a salted tree without leaves"},
         "hand over the evidence with its leaves, or approve its root",
         {}});
  }
  if (!reference.roots.empty()) {
    findings.push_back(RootFinding(reference, root));
  }
  return findings;
}

}  // namespace vmattest::reference
