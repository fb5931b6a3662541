#ifndef VMATTEST_GATE_LAUNCH_SESSIONS_H_
#define VMATTEST_GATE_LAUNCH_SESSIONS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "gate/open_file.h"
#include "gate/recording_digester.h"
#include "reference/reference.h"
#include "vmattest/types/config_leaf.h"

namespace vmattest::gate {

// One launch, from `prepare` to `stopped`. In memory alone: a daemon that died
// within a launch has not approved it.
struct LaunchSession {
  std::string vm_name;
  std::string prepare_xml;  // tells what libvirt fills in from what was asked
  reference::GateMode mode = reference::GateMode::kEnforce;
  bool prepared = false;
  bool start_allowed = false;
  bool running = false;
  bool incoming = false;     // `migrate` was let in before
  bool break_glass = false;  // an order was used for this launch
  bool drifted = false;      // a difference was found, and told
  // `restore` was let in before: its memory, and how it was defined then.
  std::optional<OpenFileDigest> image;
  std::string image_xml;
  std::string ear;
  // As of `start`: the leaves without content (what live XML is compared
  // with), with it, and the files.
  std::vector<ConfigLeaf> baseline;
  std::vector<ConfigLeaf> leaves;
  MeasuredFiles files;
  MonotonicTime since;
};

// The launches under way and the VMs that run since, by UUID. Callable from any
// thread; libvirt's own lock of each domain keeps calls about it in order.
class LaunchSessions {
 public:
  static constexpr size_t kMost = 16384;
  static constexpr std::chrono::minutes kUnfinished{60};

  explicit LaunchSessions(const Clock& clock) : clock_(clock) {}

  std::optional<LaunchSession> Find(const std::string& vm_uuid) const
      EXCLUDES_LOCK(mutex_);
  // False: there are too many.
  bool Put(const std::string& vm_uuid, LaunchSession session)
      EXCLUDES_LOCK(mutex_);
  void MarkDrifted(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  void Erase(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  std::vector<std::string> Running() const EXCLUDES_LOCK(mutex_);

  // The hook was called for a launch of that VM; whether it was lately.
  void NoteCalled(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  bool WasCalled(const std::string& vm_uuid) const EXCLUDES_LOCK(mutex_);

 private:
  void Tidy() REQUIRES_LOCK(mutex_);

  const Clock& clock_;
  mutable Mutex mutex_;
  std::map<std::string, LaunchSession> sessions_ GUARDED_BY(mutex_);
  std::map<std::string, MonotonicTime> called_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_LAUNCH_SESSIONS_H_
