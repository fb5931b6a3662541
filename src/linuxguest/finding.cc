#include "linuxguest/finding.h"

#include <algorithm>
#include <utility>

namespace vmattest::linuxguest {

std::string_view SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kInfo:
      return "info";
    case Severity::kLow:
      return "low";
    case Severity::kMedium:
      return "medium";
    case Severity::kHigh:
      return "high";
    case Severity::kCritical:
      break;
  }
  return "critical";
}

Findings Persisting(const Findings& first, const Findings& second) {
  Findings out;
  for (const Finding& finding : second) {
    if (std::any_of(first.begin(), first.end(), [&](const Finding& earlier) {
          return earlier.code == finding.code &&
                 earlier.element == finding.element;
        })) {
      out.push_back(finding);
    }
  }
  return out;
}

Finding Inconsistent(std::string element, std::string problem) {
  return {"guest-structures-inconsistent", Severity::kHigh, std::move(element),
          "structures that agree", std::move(problem)};
}

}  // namespace vmattest::linuxguest
