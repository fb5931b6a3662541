#include "reference/reference.h"

#include <algorithm>

namespace vmattest::reference {

std::string_view ToString(GateMode mode) {
  switch (mode) {
    case GateMode::kEnforce:
      return "enforce";
    case GateMode::kWarn:
      return "warn";
    case GateMode::kLearn:
      return "learn";
  }
  return "unknown";
}

Reference Learn(std::string name, std::string vm_uuid, HashAlgorithm algorithm,
                const std::vector<ConfigLeaf>& leaves,
                const DigestBytes& root) {
  Reference reference;
  reference.name = std::move(name);
  reference.revision = 1;
  reference.vm_uuids = {std::move(vm_uuid)};
  reference.algorithm = algorithm;
  reference.roots = {root};
  for (const ConfigLeaf& leaf : leaves) {
    if (leaf.path != kHeaderLeafPath) {
      reference.rules.push_back({.path = leaf.path,
                                 .kind = LeafRule::Kind::kEqual,
                                 .type = leaf.type,
                                 .values = {leaf.value}});
    }
  }
  return reference;
}

namespace {

bool IsValidAt(const Header& header, int64_t now_unix_ms) {
  return header.not_before_unix_ms <= now_unix_ms &&
         now_unix_ms < header.not_after_unix_ms;
}

// 0: not for this VM; 1: for every VM; 2: names it.
int Closeness(const Reference& reference, std::string_view vm_uuid) {
  int closeness = 0;
  for (const std::string& uuid : reference.vm_uuids) {
    closeness = std::max(closeness, uuid == vm_uuid ? 2 : uuid == "*" ? 1 : 0);
  }
  return closeness;
}

}  // namespace

const Reference* Select(const std::vector<Reference>& references,
                        std::string_view vm_uuid, WallTime now) {
  const int64_t now_unix_ms = now.time_since_epoch().count();
  const Reference* best = nullptr;
  int best_closeness = 0;
  for (const Reference& reference : references) {
    const int closeness = Closeness(reference, vm_uuid);
    if (closeness == 0 || !IsValidAt(reference.header, now_unix_ms)) {
      continue;
    }
    const bool better =
        best == nullptr || closeness > best_closeness ||
        (closeness == best_closeness && reference.name == best->name &&
         reference.revision > best->revision) ||
        (closeness == best_closeness && reference.name < best->name);
    if (better) {
      best = &reference;
      best_closeness = closeness;
    }
  }
  return best;
}

}  // namespace vmattest::reference
