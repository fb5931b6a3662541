#ifndef VMATTEST_INSPECTION_WORKER_FILE_CONFINEMENT_H_
#define VMATTEST_INSPECTION_WORKER_FILE_CONFINEMENT_H_

#include <string>
#include <vector>

#include "base/handles.h"
#include "base/status.h"

namespace vmattest::inspection {

// A Landlock ruleset (Linux 5.13, Documentation/userspace-api/landlock.rst) for
// a program that reads `files`, itself and the system's libraries, and makes
// sockets in `folder`; no other file, whatever its rights. An invalid
// descriptor where the kernel has no Landlock.
absl::StatusOr<UniqueFd> ConfineTo(const std::vector<std::string>& files,
                                   const std::string& folder);

// The same for a program that starts others: it may do anything in `folder`,
// use KVM, and read the system's programs and what `readable` has, files or
// folders; those that are not there are left out.
absl::StatusOr<UniqueFd> ConfineLauncherTo(
    const std::string& folder, const std::vector<std::string>& readable);

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_FILE_CONFINEMENT_H_
