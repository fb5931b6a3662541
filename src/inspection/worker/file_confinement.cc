#include "inspection/worker/file_confinement.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace vmattest::inspection {
namespace {

constexpr uint64_t kRead = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr uint64_t kReadWrite = kRead | LANDLOCK_ACCESS_FS_WRITE_FILE;
constexpr uint64_t kReadProgram = kRead | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr uint64_t kReadFolder = kReadProgram | LANDLOCK_ACCESS_FS_READ_DIR;
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

// Invalid where the kernel has no Landlock.
absl::StatusOr<UniqueFd> MakeRuleset() {
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
  return ruleset;
}

absl::Status AllowIfThere(int ruleset, const std::string& path,
                          uint64_t access) {
  const absl::Status status = Allow(ruleset, path, access);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

// Programs, libraries, and what says how many processors there are.
absl::Status AllowSystem(int ruleset) {
  for (const char* const folder :
       {"/usr", "/lib", "/lib64", "/proc", "/sys/devices/system"}) {
    RETURN_IF_ERROR(AllowIfThere(ruleset, folder, kReadFolder));
  }
  for (const char* const file :
       {"/etc/ld.so.cache", "/dev/null", "/dev/urandom"}) {
    RETURN_IF_ERROR(AllowIfThere(ruleset, file, kRead));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UniqueFd> ConfineTo(const std::vector<std::string>& files,
                                   const std::string& folder) {
  ASSIGN_OR_RETURN(UniqueFd ruleset, MakeRuleset());
  if (!ruleset.valid()) {
    return ruleset;
  }
  for (const std::string& file : files) {
    RETURN_IF_ERROR(Allow(ruleset.get(), file, kRead));
  }
  RETURN_IF_ERROR(Allow(ruleset.get(), folder, kSockets));
  RETURN_IF_ERROR(AllowSystem(ruleset.get()));
  return ruleset;
}

absl::StatusOr<UniqueFd> ConfineLauncherTo(
    const std::string& folder, const std::vector<std::string>& readable) {
  ASSIGN_OR_RETURN(UniqueFd ruleset, MakeRuleset());
  if (!ruleset.valid()) {
    return ruleset;
  }
  RETURN_IF_ERROR(AllowSystem(ruleset.get()));
  RETURN_IF_ERROR(Allow(ruleset.get(), folder, kAll));
  for (const char* const device :
       {"/dev/kvm", "/dev/null", "/dev/zero", "/dev/full"}) {
    RETURN_IF_ERROR(AllowIfThere(ruleset.get(), device, kReadWrite));
  }
  for (const std::string& path : readable) {
    struct stat info = {};
    const bool is_file =
        stat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
    RETURN_IF_ERROR(AllowIfThere(ruleset.get(), path,
                                 is_file ? kReadProgram : kReadFolder));
  }
  return ruleset;
}

}  // namespace vmattest::inspection
