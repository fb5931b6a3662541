#include "inspection/worker/launcher_setup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "inspection/worker/file_confinement.h"

namespace vmattest::inspection {
namespace {

constexpr char kKvm[] = "/dev/kvm";
// With a kernel elsewhere than in /boot (supermin(1)).
constexpr const char* kSuperminVariables[] = {
    "SUPERMIN_KERNEL", "SUPERMIN_KERNEL_VERSION", "SUPERMIN_MODULES"};

// What supermin copies out of the host's packages.
const std::vector<std::string>& FoldersOfPackages() {
  static const auto& folders = *new std::vector<std::string>{
      "/bin", "/boot", "/etc", "/lib32", "/opt", "/sbin", "/var/lib"};
  return folders;
}

std::vector<std::string> Environment(const LauncherOptions& options,
                                     const std::string& folder) {
  std::vector<std::string> variables = {"LC_ALL=C",
                                        "PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  for (const char* const name :
       {"HOME", "TMPDIR", "LIBGUESTFS_CACHEDIR", "XDG_RUNTIME_DIR"}) {
    variables.push_back(fmt::format("{}={}", name, folder));
  }
  if (!options.appliance.empty()) {
    variables.push_back("LIBGUESTFS_PATH=" + options.appliance);
    return variables;
  }
  for (const char* const name : kSuperminVariables) {
    if (const char* const value = getenv(name); value != nullptr) {
      variables.push_back(fmt::format("{}={}", name, value));
    }
  }
  return variables;
}

std::vector<std::string> Readable(const LauncherOptions& options,
                                  const std::string& program) {
  if (!options.appliance.empty()) {
    return {program, options.appliance};
  }
  std::vector<std::string> paths = FoldersOfPackages();
  paths.push_back(program);
  for (const char* const name : kSuperminVariables) {
    const char* const value = getenv(name);
    if (value != nullptr && value[0] == '/') {
      paths.emplace_back(value);
    }
  }
  return paths;
}

}  // namespace

absl::StatusOr<LauncherSetup> PrepareLauncher(const LauncherOptions& options,
                                              ipc::ChildOptions& child) {
  LauncherSetup setup;
  ASSIGN_OR_RETURN(
      setup.folder,
      PrivateFolder::Make(options.scratch_dir,
                          child.run_as ? child.run_as->uid : geteuid()));
  const std::string& folder = setup.folder->path();
  ASSIGN_OR_RETURN(setup.landlock,
                   ConfineLauncherTo(folder, Readable(options, child.program)));
  child.landlock = setup.landlock.get();
  child.environment = Environment(options, folder);
  child.own_group = true;
  child.no_files = false;
  child.file_size = options.file_bytes;
  struct stat info = {};
  if (child.run_as && stat(kKvm, &info) == 0) {
    child.extra_group = info.st_gid;
  }
  return setup;
}

}  // namespace vmattest::inspection
