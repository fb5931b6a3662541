#ifndef VMATTEST_CAPTURE_PAUSE_GUARD_H_
#define VMATTEST_CAPTURE_PAUSE_GUARD_H_

#include <functional>
#include <memory>

#include "base/status.h"
#include "base/uuid.h"

namespace vmattest::capture {

// Somebody who lets a guest run again if this process dies before it could.
// Destroying it without Disarm() has the same effect.
class PauseGuard {
 public:
  virtual ~PauseGuard() = default;
  // The guest runs again, or is not to.
  virtual void Disarm() = 0;
};

// Ready when it returns. Blocks for as long as starting a program takes.
using PauseGuardMaker =
    std::function<absl::StatusOr<std::unique_ptr<PauseGuard>>(const Uuid&)>;

}  // namespace vmattest::capture

#endif  // VMATTEST_CAPTURE_PAUSE_GUARD_H_
