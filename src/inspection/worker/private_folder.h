#ifndef VMATTEST_INSPECTION_WORKER_PRIVATE_FOLDER_H_
#define VMATTEST_INSPECTION_WORKER_PRIVATE_FOLDER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "base/status.h"

namespace vmattest::inspection {

// A folder for this process and one other user (base/shared_folder.h), gone
// with the object, with all that is in it.
class PrivateFolder {
 public:
  // In `parent`, which is made if it is missing, for others to pass through.
  static absl::StatusOr<std::unique_ptr<PrivateFolder>> Make(
      const std::string& parent, uid_t other);
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  ~PrivateFolder();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit PrivateFolder(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

}  // namespace vmattest::inspection

#endif  // VMATTEST_INSPECTION_WORKER_PRIVATE_FOLDER_H_
