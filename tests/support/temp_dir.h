#ifndef VMATTEST_TESTS_SUPPORT_TEMP_DIR_H_
#define VMATTEST_TESTS_SUPPORT_TEMP_DIR_H_

#include <filesystem>
#include <string>
#include <string_view>

namespace vmattest::testing {

// A private folder, gone with the object. Its path is short: Unix socket paths
// end at 108 bytes.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Writes a file below it and returns its path.
  std::filesystem::path Write(std::string_view name, std::string_view content);

 private:
  std::filesystem::path path_;
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_SUPPORT_TEMP_DIR_H_
