#include "capture/state_verifier.h"

#include "baseline/reason_codes.h"
#include "fmt/format.h"

namespace vmattest::capture {

namespace reason = baseline::reason;

bool SnapshotVerdict::lacks_baseline() const {
  if (!genuine || compared || failures.size() != 1) {
    return false;
  }
  const std::string& code = failures.front().code;
  return code == reason::kNone || code == reason::kSubset ||
         code == reason::kOtherRun;
}

std::string DifferenceText(std::string_view severity, std::string_view element,
                           std::string_view kind, std::string_view found) {
  return fmt::format("{} {} ({}): {}", severity, element, kind, found);
}

}  // namespace vmattest::capture
