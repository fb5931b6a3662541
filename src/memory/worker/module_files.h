#ifndef VMATTEST_MEMORY_WORKER_MODULE_FILES_H_
#define VMATTEST_MEMORY_WORKER_MODULE_FILES_H_

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/handles.h"
#include "base/status.h"

namespace vmattest::memory {

// Files of a kernel's modules, for a worker that reads them.
struct ModuleFiles {
  struct File {
    std::string name;     // as the guest has it
    uint64_t bytes = 0;   // 0: there is none
    std::string problem;  // why
  };
  std::vector<File> files;
  uint64_t system_map = 0;  // bytes of RELEASE/System.map, after them; 0: none
  UniqueFd content;  // read-only: one after the other; invalid: there is none
};

inline constexpr uint64_t kMaxModuleFiles = uint64_t{128} << 20;  // all of them

// Those of `names` in `folder`, which is as /lib/modules:
// RELEASE/.../NAME.ko, NAME.ko.xz or NAME.ko.zst, which the worker unpacks, and
// RELEASE/System.map; '-' in a file's name is '_' in a module's. Release and
// names come from a guest: they are compared with what lies there, and no path
// is made of them. What is missing is said with its name. Errors: the host's.
// Any thread; blocks on the disk.
absl::StatusOr<ModuleFiles> CollectModuleFiles(
    const std::filesystem::path& folder, const std::string& release,
    const std::vector<std::string>& names);

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_WORKER_MODULE_FILES_H_
