#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "evidence/config_tree.h"
#include "verifier/appraise.h"
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

// A salted tree without its leaves.
bool KeptBack(const Context& context) {
  return !context.disclosed && context.evidence.leaves.empty();
}

void AddKeptBack(const Context& context, std::string expected,
                 Reasons& reasons) {
  Add(reasons, reason::kLeavesKeptBack, "leaves", std::move(expected),
      "none, of " + context.statement.salt_id);
}

void CheckAvailable(const Context& context, Reasons& reasons) {
  if (KeptBack(context)) {
    AddKeptBack(context, "leaves, to see what could not be measured", reasons);
  }
  for (const ConfigLeaf& leaf : ShownLeaves(context)) {
    if (leaf.type == LeafType::kUnavailable) {
      Add(reasons, reason::kContentUnavailable, leaf.path, "measured content",
          leaf.value);
    }
  }
}

void CheckUnmanaged(const Context& context, Reasons& reasons) {
  const auto& host = context.statement.header.host;
  const uint64_t most = *context.policy.max_unmanaged_vms;
  if (!host || host->unmanaged_vms > most) {
    Add(reasons, reason::kUnmanagedVms, "statement.header.host.unmanaged_vms",
        fmt::format("at most {}", most),
        host ? fmt::format("{}", host->unmanaged_vms) : "not said");
  }
}

void AddDifferences(const std::vector<ConfigLeaf>& expected,
                    const std::vector<ConfigLeaf>& found, Reasons& reasons) {
  for (const evidence::LeafDifference& difference :
       evidence::CompareLeaves(expected, found)) {
    Add(reasons, CodeOf(difference.kind), difference.path, difference.expected,
        difference.found);
  }
}

// Each disclosed leaf with the one expected at its path. Where a leaf of a
// subtree is expected only through the tree leaf above it, that one counts.
void CheckDisclosed(const Context& context, Reasons& reasons) {
  std::map<std::string_view, const ConfigLeaf*> expected;
  for (const ConfigLeaf& leaf : *context.policy.expected_leaves) {
    expected.emplace(leaf.path, &leaf);
  }
  for (const evidence::DisclosedLeaf& disclosed : *context.disclosed) {
    if (disclosed.leaf.path == kHeaderLeafPath) {
      continue;
    }
    ConfigLeaf found = disclosed.leaf;
    found.path = evidence::FullPath(disclosed);
    auto wanted = expected.find(found.path);
    if (wanted == expected.end() && !disclosed.parent.empty()) {
      const ConfigLeaf& parent = disclosed.parent.front().leaf;
      if (wanted = expected.find(parent.path); wanted != expected.end()) {
        found = parent;
      }
    }
    AddDifferences(wanted == expected.end()
                       ? std::vector<ConfigLeaf>()
                       : std::vector<ConfigLeaf>{*wanted->second},
                   {found}, reasons);
  }
}

void CheckConfiguration(const Context& context, Reasons& reasons) {
  const Policy& policy = context.policy;
  if (policy.expected_root && *policy.expected_root != context.statement.root) {
    Add(reasons, reason::kConfigRoot, "statement.root",
        ToHex(*policy.expected_root), ToHex(context.statement.root));
  }
  if (!policy.expected_leaves) {
    return;
  }
  if (context.disclosed) {
    CheckDisclosed(context, reasons);
  } else if (!KeptBack(context)) {
    AddDifferences(*policy.expected_leaves, ShownLeaves(context), reasons);
  } else if (!policy.expected_root) {
    AddKeptBack(context,
                "the leaves of a salted tree, or a policy with its root",
                reasons);
  }
}

}  // namespace

std::vector<Reason> HostDemands(const Context& context) {
  const Policy& policy = context.policy;
  const std::string& uuid = context.statement.header.vm_uuid;
  Reasons reasons;
  CheckAllowedPcrs(context, reasons);
  if (policy.expected_vm_uuid && *policy.expected_vm_uuid != uuid) {
    Add(reasons, reason::kVmMismatch, "statement.header.vm_uuid",
        *policy.expected_vm_uuid, uuid);
  }
  if (policy.max_unmanaged_vms) {
    CheckUnmanaged(context, reasons);
  }
  return reasons;
}

CheckResult CheckPolicy(const Context& context) {
  const Policy& policy = context.policy;
  const evidence::ConfigStatement& statement = context.statement;
  Reasons reasons = HostDemands(context);
  if (policy.require_fresh_content) {
    for (const evidence::CachedContent& cached : statement.cached) {
      Add(reasons, reason::kContentCached, cached.path, "read for this request",
          fmt::format("cached since {}", cached.since_unix_ms));
    }
  }
  if (policy.refuse_unavailable) {
    CheckAvailable(context, reasons);
  }
  CheckConfiguration(context, reasons);
  return reasons.empty() ? CheckResult::Pass()
                         : CheckResult::Fail(std::move(reasons));
}

}  // namespace vmattest::verifier
