#include "daemon/config_values.h"

#include <algorithm>
#include <set>
#include <thread>

namespace vmattest::daemon {

using config::DaemonConfig;

measurement::ContentPolicy ToPolicy(config::Content content) {
  switch (content) {
    case config::Content::kFull:
      return measurement::ContentPolicy::kFull;
    case config::Content::kChain:
      return measurement::ContentPolicy::kChain;
    case config::Content::kNone:
      return measurement::ContentPolicy::kNone;
  }
  return measurement::ContentPolicy::kFull;
}

inspection::InsidePolicy ToPolicy(config::Inside inside) {
  switch (inside) {
    case config::Inside::kNone:
      return inspection::InsidePolicy::kNone;
    case config::Inside::kInventory:
      return inspection::InsidePolicy::kInventory;
    case config::Inside::kFull:
      return inspection::InsidePolicy::kFull;
  }
  return inspection::InsidePolicy::kNone;
}

size_t HashThreads(const DaemonConfig& config) {
  return config.hash_threads != 0
             ? config.hash_threads
             : std::max(1u, std::thread::hardware_concurrency());
}

std::function<bool(const Uuid&)> Salted(const DaemonConfig& config) {
  return [all = config.salt_all_vms,
          vms = std::set<Uuid>(config.salted_vms.begin(),
                               config.salted_vms.end())](const Uuid& uuid) {
    return all || vms.contains(uuid);
  };
}

}  // namespace vmattest::daemon
