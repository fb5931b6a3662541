#ifndef VMATTEST_CONFIG_DAEMON_SCHEMA_H_
#define VMATTEST_CONFIG_DAEMON_SCHEMA_H_

#include "base/status.h"
#include "config/daemon_config.h"
#include "vmattest/v1/config.pb.h"
#include "yaml/yaml_message.h"

// Between proto/vmattest/v1/config.proto and DaemonConfig. Pure functions.

namespace vmattest::config {

v1::DaemonConfig DefaultMessage();

// Checks every key. The first thing wrong is INVALID_ARGUMENT
// "origin: key: why", where origin is the file and line that set the key, or
// "default".
absl::StatusOr<DaemonConfig> FromMessage(const v1::DaemonConfig& message,
                                         const yaml::Origins& origins,
                                         const Environment& environment);

}  // namespace vmattest::config

#endif  // VMATTEST_CONFIG_DAEMON_SCHEMA_H_
