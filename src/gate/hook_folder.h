#ifndef VMATTEST_GATE_HOOK_FOLDER_H_
#define VMATTEST_GATE_HOOK_FOLDER_H_

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "base/status.h"

namespace vmattest::gate {

// The other programs in libvirt's folder of hooks: libvirt runs them as root
// beside ours, and `migrate` and `restore` hooks may even replace the XML (rule
// S17). They are measured, not judged. One thread.
class HookFolder {
 public:
  static constexpr size_t kMostFiles = 1024;
  static constexpr size_t kMaxFile = 64u << 20;

  // Takes an event: file, digest, state ("present", "new", "changed",
  // "removed").
  using Note = std::function<void(std::map<std::string, std::string> facts)>;
  // `hooks` is /etc/libvirt/hooks.
  HookFolder(std::filesystem::path hooks, Note note)
      : hooks_(std::move(hooks)), note_(std::move(note)) {}

  // The first time tells of all that is there; after that of each that is not
  // as it was told of last. FAILED_PRECONDITION: some are not as they were the
  // first time; the message names one. Reads all of them.
  absl::Status Check();

 private:
  std::filesystem::path hooks_;
  Note note_;
  bool begun_ = false;
  std::map<std::string, std::string> first_;  // by path: digest
  std::map<std::string, std::string> told_;
};

// Of each regular file in `hooks` and the folders in it but our own:
// "sha256:HEX", with " (not executable)" or instead why it cannot be read.
std::map<std::string, std::string> MeasureHooks(
    const std::filesystem::path& hooks);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_HOOK_FOLDER_H_
