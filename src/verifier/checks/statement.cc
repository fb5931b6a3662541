#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <set>

#include "base/uuid.h"
#include "evidence/config_tree.h"
#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

CheckResult CheckOneOf(std::string_view field, const std::string& found,
                       std::initializer_list<std::string_view> allowed) {
  if (std::find(allowed.begin(), allowed.end(), found) == allowed.end()) {
    return CheckResult::Fail(
        reason::kStatementField, fmt::format("statement.{}", field),
        fmt::format("{}", fmt::join(allowed, ", ")), found);
  }
  return CheckResult::Pass();
}

CheckResult CheckFields(const evidence::ConfigStatement& statement) {
  const std::string& uuid = statement.header.vm_uuid;
  const auto parsed = ParseUuid(uuid);
  if (!parsed.ok() || ToString(*parsed) != uuid) {
    return CheckResult::Fail(reason::kStatementField,
                             "statement.header.vm_uuid", "a UUID in lower case",
                             uuid);
  }
  if (CheckResult result =
          CheckOneOf("content", statement.content, {"full", "chain", "none"});
      !result.passed()) {
    return result;
  }
  if (CheckResult result =
          CheckOneOf("xml_kind", statement.xml_kind, {"live", "inactive"});
      !result.passed()) {
    return result;
  }
  if (CheckResult result =
          CheckOneOf("inside", statement.inside, {"none", "inventory", "full"});
      !result.passed()) {
    return result;
  }
  if (statement.schema_version != kConfigSchemaVersion) {
    return CheckResult::Fail(reason::kSchemaUnsupported,
                             "statement.schema_version",
                             std::to_string(kConfigSchemaVersion),
                             std::to_string(statement.schema_version));
  }
  if (!statement.salt_id.empty() &&
      statement.salt_id.size() != 2 * DigestSize(HashAlgorithm::kSha256)) {
    return CheckResult::Fail(reason::kStatementField, "statement.salt_id",
                             "empty, or SHA-256 in hex", statement.salt_id);
  }
  return CheckResult::Pass();
}

// Leaves of a salted tree may be kept back, but then all of them.
bool KeptBack(const Context& context) {
  const evidence::Evidence& evidence = context.evidence;
  return !context.statement.salt_id.empty() && evidence.vm_salt.empty() &&
         evidence.leaves.empty() && evidence.subtrees.empty();
}

CheckResult CheckOrder(const std::vector<ConfigLeaf>& leaves) {
  for (size_t i = 0; i < leaves.size(); ++i) {
    const bool header = leaves[i].path == kHeaderLeafPath;
    if (header != (i == 0)) {
      return CheckResult::Fail(reason::kLeafOrder, fmt::format("leaves[{}]", i),
                               "the header leaf first, and once",
                               leaves[i].path);
    }
    if (i >= 2 && leaves[i - 1].path >= leaves[i].path) {
      return CheckResult::Fail(
          reason::kLeafOrder, fmt::format("leaves[{}]", i),
          fmt::format("a path after '{}'", leaves[i - 1].path), leaves[i].path);
    }
  }
  return CheckResult::Pass();
}

CheckResult CheckLeaves(const Context& context) {
  const evidence::ConfigStatement& statement = context.statement;
  const SecretBytes salt(Bytes(context.evidence.vm_salt));
  if (evidence::SaltId(salt) != statement.salt_id) {
    return CheckResult::Fail(reason::kSalt, "vm_salt", statement.salt_id,
                             evidence::SaltId(salt));
  }
  const std::vector<ConfigLeaf>& leaves = context.evidence.leaves;
  if (leaves.empty() || leaves.size() != statement.leaf_count) {
    return CheckResult::Fail(reason::kLeafCount, "leaves",
                             std::to_string(statement.leaf_count),
                             std::to_string(leaves.size()));
  }
  if (CheckResult result = CheckOrder(leaves); !result.passed()) {
    return result;
  }
  const absl::StatusOr<ConfigTree> tree =
      evidence::RebuildConfigTree(statement.algorithm, leaves, salt);
  if (!tree.ok()) {
    return CheckResult::Fail(reason::kLeavesMalformed, "leaves",
                             "a configuration tree",
                             std::string(tree.status().message()));
  }
  if (tree->root != statement.root) {
    return CheckResult::Fail(reason::kLeavesRoot, "leaves",
                             ToHex(statement.root), ToHex(tree->root));
  }
  const absl::Status subtrees = evidence::CheckSubtrees(
      statement.algorithm, leaves, context.evidence.subtrees, salt);
  if (!subtrees.ok()) {
    return CheckResult::Fail(reason::kSubtrees, "subtrees",
                             "the leaves below every tree leaf",
                             std::string(subtrees.message()));
  }
  return CheckResult::Pass();
}

CheckResult CheckCached(const Context& context) {
  std::set<std::string_view> paths;
  for (const ConfigLeaf& leaf : context.evidence.leaves) {
    paths.insert(leaf.path);
  }
  for (const evidence::CachedContent& cached : context.statement.cached) {
    if (!paths.contains(cached.path)) {
      return CheckResult::Fail(reason::kCachedPath, "statement.cached",
                               "the path of a leaf", cached.path);
    }
  }
  return CheckResult::Pass();
}

}  // namespace

CheckResult CheckStatement(const Context& context) {
  if (context.host_log) {
    return CheckHostLogStatement(context);
  }
  if (context.state) {
    return CheckStateStatement(context);
  }
  if (context.ledger_key) {
    return CheckLedgerKeyStatement(context);
  }
  if (CheckResult result = CheckFields(context.statement); !result.passed()) {
    return result;
  }
  if (context.disclosed) {
    return CheckDisclosedLeaves(context);
  }
  if (KeptBack(context)) {
    return CheckResult::Pass();
  }
  if (CheckResult result = CheckLeaves(context); !result.passed()) {
    return result;
  }
  return CheckCached(context);
}

}  // namespace vmattest::verifier
