#include "inspection/worker/file_confinement.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace vmattest::inspection {
namespace {

constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t kReadFolder =
    kRead | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE;
// All that Landlock's first version knows.
constexpr uint64_t kAll = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
constexpr uint64_t kSockets =
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;

absl::Status Allow(int ruleset, const std::string& path, uint64_t access) {
  const UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd.valid()) {
    return ErrnoStatus(errno, path);
  }
  const landlock_path_beneath_attr rule{access, fd.get()};
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule,
              0) != 0) {
    return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> ConfineTo(const std::vector<std::string>& files,
                                   const std::string& folder) {
  landlock_ruleset_attr attributes = {};
  attributes.handled_access_fs = kAll;
  UniqueFd ruleset(static_cast<int>(
      syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!ruleset.valid()) {
    if (errno == ENOSYS || errno == EOPNOTSUPP) {
      return ruleset;
    }
    return ErrnoStatus(errno, "a Landlock ruleset");
  }
  for (const std::string& file : files) {
    RETURN_IF_ERROR(Allow(ruleset.get(), file, kRead));
  }
  RETURN_IF_ERROR(Allow(ruleset.get(), folder, kSockets));
  for (const char* const system :
       {"/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null",
        "/dev/urandom", "/proc", "/sys/devices/system"}) {
    const bool is_file = std::string_view(system).substr(0, 4) == "/dev" ||
                         std::string_view(system).substr(0, 4) == "/etc";
    const absl::Status status =
        Allow(ruleset.get(), system, is_file ? kRead : kReadFolder);
    if (!status.ok() && !absl::IsNotFound(status)) {
      return status;
    }
  }
  return ruleset;
}

}  // namespace vmattest::inspection
