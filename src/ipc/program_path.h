#ifndef VMATTEST_IPC_PROGRAM_PATH_H_
#define VMATTEST_IPC_PROGRAM_PATH_H_

#include <filesystem>
#include <string>

#include "base/status.h"

namespace vmattest::ipc {

// `configured` as it is, or if it is empty the program `name` beside the one
// that runs, or in its libexec folder. NOT_FOUND names all places. Any thread.
absl::StatusOr<std::filesystem::path> FindProgram(
    const std::filesystem::path& configured, const std::string& name);

}  // namespace vmattest::ipc

#endif  // VMATTEST_IPC_PROGRAM_PATH_H_
