#include "linuxguest/finding.h"

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

Finding Inconsistent(std::string element, std::string problem) {
  return {"guest-structures-inconsistent", Severity::kHigh, std::move(element),
          "structures that agree", std::move(problem)};
}

}  // namespace vmattest::linuxguest
