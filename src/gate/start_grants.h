#ifndef VMATTEST_GATE_START_GRANTS_H_
#define VMATTEST_GATE_START_GRANTS_H_

#include <map>
#include <string>

#include "base/mutex.h"
#include "gate/protocol/messages.h"

namespace vmattest::gate {

// Which VMs this daemon itself is starting just now. A strict VM's launch is
// let through `prepare` by such a grant alone, and one grant is good for one
// launch: so if the daemon's own start succeeds, the launch that the hook was
// asked about was that one. In memory alone: a daemon that died starts nothing.
// Callable from any thread.
class StartGrants {
 public:
  // False: it is being started already.
  bool Give(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  // There is one that was not used.
  bool Holds(const std::string& vm_uuid) const EXCLUDES_LOCK(mutex_);
  // Uses it up; false: there is none that was not used.
  bool Use(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);
  // Of a VM that has one: what the hook was told, for whoever is starting it.
  void NoteRefusal(const std::string& vm_uuid, const GateReply& reply)
      EXCLUDES_LOCK(mutex_);

  struct Ended {
    bool used = false;
    std::string code;  // of a refusal, and its sentence
    std::string sentence;
  };
  Ended Withdraw(const std::string& vm_uuid) EXCLUDES_LOCK(mutex_);

 private:
  mutable Mutex mutex_;
  std::map<std::string, Ended> grants_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_START_GRANTS_H_
