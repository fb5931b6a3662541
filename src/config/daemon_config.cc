#include "config/daemon_config.h"

#include "config/daemon_schema.h"
#include "fmt/format.h"
#include "yaml/yaml_message.h"

namespace vmattest::config {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "VMATTEST_";

struct Merged {
  v1::DaemonConfig message;
  Origins origins;
};

absl::StatusOr<Merged> Merge(const fs::path& file,
                             const Environment& environment) {
  Merged merged{DefaultMessage(), {}};
  RETURN_IF_ERROR(MergeLayers(file, "conf.d", kPrefix, environment,
                              merged.message, merged.origins));
  return merged;
}

}  // namespace

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
