#include "inspection/worker/private_folder.h"

#include <filesystem>

#include "base/shared_folder.h"

namespace vmattest::inspection {

namespace fs = std::filesystem;

absl::StatusOr<std::unique_ptr<PrivateFolder>> PrivateFolder::Make(
    const std::string& parent, uid_t other) {
  std::error_code error;
  if (fs::create_directories(parent, error)) {
    fs::permissions(parent, fs::perms(0711), error);
  }
  if (error) {
    return ErrnoStatus(error.value(), parent);
  }
  ASSIGN_OR_RETURN(const fs::path made, MakeSharedFolder(parent, other));
  return std::unique_ptr<PrivateFolder>(new PrivateFolder(made.native()));
}

PrivateFolder::~PrivateFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace vmattest::inspection
