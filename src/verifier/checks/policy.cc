#include <fmt/format.h>

#include <algorithm>

#include "evidence/config_tree.h"
#include "verifier/checks/checks.h"
#include "verifier/reason_codes.h"

namespace vmattest::verifier {
namespace {

using Reasons = std::vector<Reason>;

void Add(Reasons& reasons, std::string_view code, std::string element,
         std::string expected, std::string found) {
  reasons.push_back({std::string(code), std::move(element), std::move(expected),
                     std::move(found)});
}

void CheckAllowedPcrs(const Context& context, Reasons& reasons) {
  const auto& values = context.quote->pcr_banks.front().values;
  for (const auto& [index, allowed] : context.policy.allowed_pcr_values) {
    const auto value = values.find(index);
    if (value != values.end() && std::find(allowed.begin(), allowed.end(),
                                           value->second) != allowed.end()) {
      continue;
    }
    std::vector<std::string> expected;
    for (const Bytes& one : allowed) {
      expected.push_back(ToHex(one));
    }
    Add(reasons, reason::kPcrNotAllowed, fmt::format("PCR {}", index),
        fmt::format("{}", fmt::join(expected, " or ")),
        value == values.end() ? "not quoted" : ToHex(value->second));
  }
}

std::string_view CodeOf(evidence::LeafDifference::Kind kind) {
  switch (kind) {
    case evidence::LeafDifference::Kind::kAdded:
      return reason::kConfigLeafAdded;
    case evidence::LeafDifference::Kind::kRemoved:
      return reason::kConfigLeafRemoved;
    case evidence::LeafDifference::Kind::kChanged:
      return reason::kConfigLeafChanged;
  }
  return reason::kCheckIncomplete;
}

void CheckConfiguration(const Context& context, Reasons& reasons) {
  const Policy& policy = context.policy;
  if (policy.expected_root && *policy.expected_root != context.statement.root) {
    Add(reasons, reason::kConfigRoot, "statement.root",
        ToHex(*policy.expected_root), ToHex(context.statement.root));
  }
  if (policy.expected_leaves) {
    for (const evidence::LeafDifference& difference : evidence::CompareLeaves(
             *policy.expected_leaves, context.evidence.leaves)) {
      Add(reasons, CodeOf(difference.kind), difference.path,
          difference.expected, difference.found);
    }
  }
}

}  // namespace

CheckResult CheckPolicy(const Context& context) {
  const Policy& policy = context.policy;
  const evidence::ConfigStatement& statement = context.statement;
  Reasons reasons;
  CheckAllowedPcrs(context, reasons);
  if (policy.expected_vm_uuid &&
      *policy.expected_vm_uuid != statement.header.vm_uuid) {
    Add(reasons, reason::kVmMismatch, "statement.header.vm_uuid",
        *policy.expected_vm_uuid, statement.header.vm_uuid);
  }
  if (policy.require_fresh_content) {
    for (const evidence::CachedContent& cached : statement.cached) {
      Add(reasons, reason::kContentCached, cached.path, "read for this request",
          fmt::format("cached since {}", cached.since_unix_ms));
    }
  }
  CheckConfiguration(context, reasons);
  return reasons.empty() ? CheckResult::Pass()
                         : CheckResult::Fail(std::move(reasons));
}

}  // namespace vmattest::verifier
