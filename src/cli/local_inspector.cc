#include "cli/local_inspector.h"

#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "image/header_parser.h"
#include "ipc/program_path.h"

namespace vmattest::cli {
namespace {

namespace fs = std::filesystem;

// Whom root's workers become: the installation's user, else one that owns
// nothing either.
std::string WorkerUser() {
  if (geteuid() != 0) {
    return "";
  }
  constexpr const char* kInstalled = "vmattest-worker";
  return getpwnam(kInstalled) != nullptr ? kInstalled : "nobody";
}

absl::StatusOr<fs::path> MakeFolder() {
  std::error_code error;
  std::string name =
      (fs::temp_directory_path(error) / "vmattest-XXXXXX").string();
  if (error || mkdtemp(name.data()) == nullptr) {
    return ErrnoStatus(error ? error.value() : errno,
                       "a folder for sockets, " + name);
  }
  // The workers' user passes through it.
  fs::permissions(name, fs::perms(0711), error);
  return fs::path(name);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalInspector>> LocalInspector::Make(
    const std::string& worker) {
  inspection::WorkerPoolOptions workers;
  ASSIGN_OR_RETURN_WITH(const fs::path program,
                        ipc::FindProgram(worker, "vmattest-worker"),
                        "the program that looks into disks");
  std::error_code error;
  workers.program = fs::absolute(program, error).string();
  if (access(workers.program.c_str(), X_OK) != 0) {
    return ErrnoStatus(errno,
                       "the program that looks into disks, " + workers.program);
  }
  workers.user = WorkerUser();
  ASSIGN_OR_RETURN(fs::path folder, MakeFolder());
  return std::unique_ptr<LocalInspector>(
      new LocalInspector(std::move(workers), std::move(folder)));
}

LocalInspector::LocalInspector(inspection::WorkerPoolOptions workers,
                               fs::path folder)
    : folder_(std::move(folder)),
      pool_(workers),
      inspector_(pool_, image::MakeDirectHeaderParser, nullptr,
                 {.server = {.user = workers.user,
                             .socket_dir = (folder_ / "images").string()}}) {}

LocalInspector::~LocalInspector() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

absl::StatusOr<inspection::DiskReport> LocalInspector::Inspect(
    const Request& request) {
  return inspector_.Inspect(request);
}

}  // namespace vmattest::cli
