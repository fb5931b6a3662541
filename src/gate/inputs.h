#ifndef VMATTEST_GATE_INPUTS_H_
#define VMATTEST_GATE_INPUTS_H_

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

// What a VM is made of and only reads (rule S13). Any thread.

namespace vmattest::gate {

struct Inputs {
  std::vector<std::string> boot;   // kernel, initrd, device tree, loader
  std::vector<std::string> disks;  // read-only disks and media, as files
};
// Of a domain as it will run. INVALID_ARGUMENT: no domain.
absl::StatusOr<Inputs> ReadOnlyInputs(std::string_view xml);

// Whether nobody but root can change which file `path` leads to, or that file,
// and it lies below one of `stores`: each folder and symbolic link on the way
// and the file itself belong to root, and only root may write to them. (In a
// folder with the sticky bit others cannot replace what is root's.)
// FAILED_PRECONDITION: not so; the message names what is wrong. Errors as
// lstat(2).
absl::Status CheckStored(const std::filesystem::path& path,
                         const std::vector<std::filesystem::path>& stores);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_INPUTS_H_
