#include <algorithm>

#include "token/ear.h"

namespace vmattest::token {

Tier TierOf(TrustClaim claim) {
  if (claim >= -1 && claim <= 1) {
    return Tier::kNone;
  }
  if (claim >= -32 && claim <= 31) {
    return Tier::kAffirming;
  }
  if (claim >= -96 && claim <= 95) {
    return Tier::kWarning;
  }
  return Tier::kContraindicated;
}

std::string_view ToString(Tier tier) {
  switch (tier) {
    case Tier::kNone:
      return "none";
    case Tier::kAffirming:
      return "affirming";
    case Tier::kWarning:
      return "warning";
    case Tier::kContraindicated:
      return "contraindicated";
  }
  return "unknown";
}

Tier WorstOf(const std::map<std::string, TrustClaim>& trust_vector) {
  Tier worst = Tier::kNone;
  for (const auto& [name, claim] : trust_vector) {
    worst = std::max(worst, TierOf(claim));
  }
  return worst;
}

}  // namespace vmattest::token
