#include "config/layers.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "fmt/format.h"

namespace vmattest::config {
namespace {

namespace fs = std::filesystem;

absl::StatusOr<std::vector<fs::path>> DropIns(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) {
    return files;
  }
  for (; !error && entries != fs::directory_iterator();
       entries.increment(error)) {
    if (entries->path().extension() == ".yaml") {
      files.push_back(entries->path());
    }
  }
  if (error) {
    return ErrnoStatus(error.value(), folder.string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Environment ProcessEnvironment() {
  Environment environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) {
      environment.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return environment;
}

absl::Status MergeLayers(const fs::path& file, const std::string& drop_ins,
                         std::string_view prefix,
                         const Environment& environment,
                         google::protobuf::Message& message, Origins& origins) {
  RETURN_IF_ERROR(yaml::MergeYamlFile(file.string(), message, &origins));
  ASSIGN_OR_RETURN(const std::vector<fs::path> found,
                   DropIns(file.parent_path() / drop_ins));
  for (const fs::path& drop_in : found) {
    RETURN_IF_ERROR(yaml::MergeYamlFile(drop_in.string(), message, &origins));
  }
  return yaml::MergeEnvironment(environment, prefix, message, &origins);
}

}  // namespace vmattest::config
