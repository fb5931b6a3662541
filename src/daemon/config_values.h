#ifndef VMATTEST_DAEMON_CONFIG_VALUES_H_
#define VMATTEST_DAEMON_CONFIG_VALUES_H_

#include <functional>
#include <vector>

#include "config/daemon_config.h"
#include "inspection/disk_inspector.h"
#include "measurement/domain_measurer.h"
#include "rpc/authorizer.h"

// Values of the configuration in the words of the parts that they are for:
// config/ knows none of them. Pure; any thread.

namespace vmattest::daemon {

measurement::ContentPolicy ToPolicy(config::Content content);
inspection::InsidePolicy ToPolicy(config::Inside inside);
// One for each core if the configuration does not say.
size_t HashThreads(const config::DaemonConfig& config);
// Whose leaves have a secret salt.
std::function<bool(const Uuid&)> Salted(const config::DaemonConfig& config);

}  // namespace vmattest::daemon

#endif  // VMATTEST_DAEMON_CONFIG_VALUES_H_
