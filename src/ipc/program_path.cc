#include "ipc/program_path.h"

#include <unistd.h>

#include "fmt/format.h"

namespace vmattest::ipc {

namespace fs = std::filesystem;

absl::StatusOr<fs::path> FindProgram(const fs::path& configured,
                                     const std::string& name) {
  if (!configured.empty()) {
    return configured;
  }
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path libexec = here.parent_path() / "libexec" / "vmattest";
  for (const fs::path& folder : {here, libexec}) {
    if (access((folder / name).c_str(), X_OK) == 0) {
      return folder / name;
    }
  }
  return absl::NotFoundError(fmt::format("{} is neither in {} nor in {}", name,
                                         here.string(), libexec.string()));
}

}  // namespace vmattest::ipc
