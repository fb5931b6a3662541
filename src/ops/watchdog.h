#ifndef VMATTEST_OPS_WATCHDOG_H_
#define VMATTEST_OPS_WATCHDOG_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "ops/service_manager.h"

namespace vmattest::ops {

// Kicks the service manager's watchdog only while the daemon really moves: the
// main loop, because it calls Tick(), and each executor, because it answered a
// ping or its progress counter grew (a thread that hashes a large image
// answers no ping, but bytes are hashed). One executor that stands still for
// the manager's whole period gets the daemon restarted. Main thread only.
class Watchdog {
 public:
  struct Subject {
    std::string name;
    Executor* executor = nullptr;
    std::function<uint64_t()> progress;  // may be empty
  };

  // `manager` must outlive the watchdog; the executors must run or drop every
  // task that they were given, not necessarily before it is destroyed.
  Watchdog(const ServiceManager& manager, std::vector<Subject> subjects);

  // Call several times a period. Kicks once every subject has moved since the
  // last kick. Returns the names of those that have not.
  std::vector<std::string> Tick();

 private:
  struct Watched {
    Subject subject;
    std::shared_ptr<std::atomic<bool>> answered;
    bool asked = false;
    bool moved = false;
    uint64_t last_progress = 0;
  };
  static void Observe(Watched& watched);

  const ServiceManager& manager_;
  std::vector<Watched> watched_;
};

}  // namespace vmattest::ops

#endif  // VMATTEST_OPS_WATCHDOG_H_
