#include "support/vectors.h"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace vmattest::testing {

std::optional<std::filesystem::path> FindVectors(std::string_view name) {
  const char* set = std::getenv("VMATTEST_VECTORS");
  const std::filesystem::path root =
      set != nullptr ? std::filesystem::path(set)
                     : std::filesystem::path(VMATTEST_SOURCE_DIR) / ".." /
                           "shared" / "vectors";
  std::filesystem::path folder = root / name;
  if (std::filesystem::is_directory(folder)) {
    return folder;
  }
  return std::nullopt;
}

std::string Slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error("cannot read " + path.string());
  }
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace vmattest::testing
