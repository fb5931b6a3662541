#include "inspection/disk_inspector.h"

#include "fmt/format.h"

namespace vmattest::inspection {

std::string_view ToString(InsidePolicy policy) {
  switch (policy) {
    case InsidePolicy::kNone:
      return "none";
    case InsidePolicy::kInventory:
      return "inventory";
    case InsidePolicy::kFull:
      return "full";
  }
  return "unknown";
}

absl::StatusOr<InsidePolicy> ParseInsidePolicy(std::string_view name) {
  for (const InsidePolicy policy :
       {InsidePolicy::kNone, InsidePolicy::kInventory, InsidePolicy::kFull}) {
    if (name == ToString(policy)) {
      return policy;
    }
  }
  return absl::InvalidArgumentError(fmt::format(
      "'{}' is no policy for disks' insides: none, inventory or full", name));
}

std::string GuestDigestName(HashAlgorithm algorithm) {
  return std::string(vmattest::ToString(algorithm)) + "-tree";
}

}  // namespace vmattest::inspection
