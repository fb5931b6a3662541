#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/daemon_schema.h"
#include "yaml/yaml_message.h"

// Whatever the bytes, the answer is a message or an error with a line; and a
// message that was read is written and read back to the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmattest::yaml::MergeYaml;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  vmattest::v1::DaemonConfig message;
  vmattest::yaml::Origins origins;
  const absl::Status read = MergeYaml(text, "f", message, &origins);
  if (!read.ok()) {
    if (read.message().substr(0, 2) != "f:") {
      std::abort();
    }
    return 0;
  }
  (void)vmattest::config::FromMessage(message, origins, {}).status();
  const std::string written = vmattest::yaml::ToYaml(message);
  vmattest::v1::DaemonConfig again;
  if (!MergeYaml(written, "g", again, nullptr).ok() ||
      vmattest::yaml::ToYaml(again) != written) {
    std::abort();
  }
  return 0;
}
