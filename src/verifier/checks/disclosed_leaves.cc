#include <fmt/format.h>

#include <set>

#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

constexpr size_t kLeafSaltSize = 32;

CheckResult CheckLeafSalt(const evidence::DisclosedLeaf& leaf, bool salted) {
  const size_t expected = salted ? kLeafSaltSize : 0;
  if (leaf.salt.size() != expected) {
    return CheckResult::Fail(reason::kDisclosureSalt, evidence::FullPath(leaf),
                             fmt::format("a salt of {} bytes", expected),
                             fmt::format("{} bytes", leaf.salt.size()));
  }
  for (const evidence::DisclosedLeaf& parent : leaf.parent) {
    if (CheckResult result = CheckLeafSalt(parent, salted); !result.passed()) {
      return result;
    }
  }
  return CheckResult::Pass();
}

CheckResult CheckLeafRoot(const evidence::DisclosedLeaf& leaf,
                          const evidence::ConfigStatement& statement) {
  const absl::StatusOr<DigestBytes> root =
      evidence::DisclosedRoot(statement.algorithm, statement.leaf_count, leaf);
  if (!root.ok() || *root != statement.root) {
    return CheckResult::Fail(
        reason::kDisclosureRoot, evidence::FullPath(leaf),
        ToHex(statement.root),
        root.ok() ? ToHex(*root) : std::string(root.status().message()));
  }
  return CheckResult::Pass();
}

}  // namespace

CheckResult CheckDisclosedLeaves(const Context& context) {
  const evidence::ConfigStatement& statement = context.statement;
  if (context.disclosed->empty()) {
    return CheckResult::Fail(reason::kDisclosureEmpty, "leaves",
                             "one leaf or more", "none");
  }
  std::set<std::string> seen;
  for (const evidence::DisclosedLeaf& leaf : *context.disclosed) {
    const std::string path = evidence::FullPath(leaf);
    if (!seen.insert(path).second) {
      return CheckResult::Fail(reason::kDisclosureDuplicate, path,
                               "each leaf once", "twice");
    }
    if (CheckResult result = CheckLeafSalt(leaf, !statement.salt_id.empty());
        !result.passed()) {
      return result;
    }
    if (CheckResult result = CheckLeafRoot(leaf, statement); !result.passed()) {
      return result;
    }
  }
  return CheckResult::Pass();
}

}  // namespace vmattest::verifier
