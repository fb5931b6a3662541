#include "support/guest_files.h"

#include <cstdlib>
#include <vector>

#include "fmt/format.h"
#include "support/run_command.h"

namespace vmattest::testing {
namespace {

absl::Status Make(std::vector<std::string> arguments) {
  std::vector<std::string> words = {VMATTEST_TESTBED "/make-guest"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const absl::Status made = RunCommand(words).status();
  return made.message().find("apt knows no") == std::string::npos
             ? made
             : absl::NotFoundError(std::string(made.message()));
}

}  // namespace

std::string GuestFolder() {
  const char* const named = std::getenv("VMATTEST_GUEST");
  return named != nullptr ? named : VMATTEST_GUEST_FOLDER;
}

absl::StatusOr<std::string> MakeGuest() {
  RETURN_IF_ERROR(Make({GuestFolder()}));
  return GuestFolder();
}

absl::StatusOr<std::string> MakeGuest(const GuestKernel& kernel) {
  std::string folder = fmt::format("{}-{}", GuestFolder(), kernel.name);
  RETURN_IF_ERROR(
      Make({folder, std::string(kernel.package), std::string(kernel.release)}));
  return folder;
}

}  // namespace vmattest::testing
