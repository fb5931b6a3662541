#ifndef VMATTEST_CONFIG_LAYERS_H_
#define VMATTEST_CONFIG_LAYERS_H_

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "yaml/yaml_message.h"

// Where configuration comes from, whatever the daemon. Callable from any
// thread.

namespace vmattest::config {

using Origins = yaml::Origins;
using Environment = std::map<std::string, std::string>;

// The environment of this process.
Environment ProcessEnvironment();

// Over what `message` holds: `file`, then the *.yaml of the folder `drop_ins`
// beside it in the order of their names, then variables that begin with
// `prefix`, such as VMATTEST_TPM__TCTI.
//   NOT_FOUND, PERMISSION_DENIED: a file cannot be read.
//   INVALID_ARGUMENT: "file:LINE: key: what is wrong with it".
absl::Status MergeLayers(const std::filesystem::path& file,
                         const std::string& drop_ins, std::string_view prefix,
                         const Environment& environment,
                         google::protobuf::Message& message, Origins& origins);

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_LAYERS_H_
