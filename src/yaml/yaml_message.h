#ifndef VMATTEST_YAML_YAML_MESSAGE_H_
#define VMATTEST_YAML_YAML_MESSAGE_H_

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "google/protobuf/message.h"

// YAML whose schema is a protobuf message: keys are field names, in the same
// nesting. Works for any message. Callable from any thread.

namespace vmattest::yaml {

// Where each key was last set: "tpm.pcrs" -> "/etc/vmattest/vmattestd.yaml:12".
// Elements of lists are "tpm.pcrs[3]".
using Origins = std::map<std::string, std::string, std::less<>>;

// Merges `text` into `message`: scalars replace, messages merge field by
// field, lists and maps replace. INVALID_ARGUMENT "file:LINE: key.path: why":
// unknown key, value of another type or out of range, missing value, two
// members of one oneof, or what ParseYaml refuses. On error `message` is in
// an unspecified state. `origins` may be null.
absl::Status MergeYaml(std::string_view text, std::string_view file,
                       google::protobuf::Message& message, Origins* origins);

// Reads `path` (at most kMaxYamlBytes) and merges it.
absl::Status MergeYamlFile(const std::string& path,
                           google::protobuf::Message& message,
                           Origins* origins);

// Sets every scalar field outside lists that has a variable in `environment`:
// `prefix` and the key's parts in capitals, joined by "__"
// (VMATTEST_TPM__TCTI). A variable with the prefix and a "__" that names no
// such field is an error, like an unknown key.
absl::Status MergeEnvironment(
    const std::map<std::string, std::string>& environment,
    std::string_view prefix, google::protobuf::Message& message,
    Origins* origins);

// The message as YAML that MergeYaml reads back to an equal one; fields
// without presence are written even if they hold their zero.
std::string ToYaml(const google::protobuf::Message& message);

}  // namespace vmattest::yaml

#endif  // VMATTEST_YAML_YAML_MESSAGE_H_
