#include "config/daemon_config.h"

#include <unistd.h>

#include <algorithm>

#include "config/daemon_schema.h"
#include "fmt/format.h"
#include "yaml/yaml_message.h"

namespace vmattest::config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "VMATTEST_";

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

struct Merged {
  v1::DaemonConfig message;
  yaml::Origins origins;
};

absl::StatusOr<Merged> Merge(const fs::path& file,
                             const Environment& environment) {
  Merged merged{DefaultMessage(), {}};
  RETURN_IF_ERROR(
      yaml::MergeYamlFile(file.string(), merged.message, &merged.origins));
  ASSIGN_OR_RETURN(const std::vector<fs::path> drop_ins,
                   DropIns(file.parent_path() / "conf.d"));
  for (const fs::path& drop_in : drop_ins) {
    RETURN_IF_ERROR(
        yaml::MergeYamlFile(drop_in.string(), merged.message, &merged.origins));
  }
  RETURN_IF_ERROR(yaml::MergeEnvironment(environment, kPrefix, merged.message,
                                         &merged.origins));
  return merged;
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

absl::StatusOr<DaemonConfig> LoadDaemonConfig(const fs::path& file,
                                              const Environment& environment) {
  ASSIGN_OR_RETURN(const Merged merged, Merge(file, environment));
  return FromMessage(merged.message, merged.origins, environment);
}

absl::StatusOr<std::string> EffectiveConfig(const fs::path& file,
                                            const Environment& environment) {
  ASSIGN_OR_RETURN(const Merged merged, Merge(file, environment));
  RETURN_IF_ERROR(
      FromMessage(merged.message, merged.origins, environment).status());
  return yaml::ToYaml(merged.message);
}

}  // namespace vmattest::config
