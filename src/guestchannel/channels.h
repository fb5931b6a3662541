#ifndef VMATTEST_GUESTCHANNEL_CHANNELS_H_
#define VMATTEST_GUESTCHANNEL_CHANNELS_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/handles.h"
#include "base/mutex.h"
#include "base/uuid.h"
#include "guestchannel/desk.h"
#include "guestchannel/protocol/frames.h"
#include "hypervisor/hypervisor.h"

namespace vmattest::guestchannel {

// Connections to the agent's port of each running VM: made when one is seen to
// run, made again when it breaks, gone when it stops. Hands over frames, one at
// a time of each VM, and sends the answers. Nothing of what a guest sends is
// looked at but its frames' beginnings and lengths. Owns the thread
// `guest-channel`; libvirt is asked on `work`.
//
// What a guest can take is bounded by what it has: bytes and frames cost it
// time (per_frame, per_kib), of which it may owe `burst`; while it has none,
// or a frame of it is in hand, or it has not read the last answer, nothing is
// read from it. QEMU then holds the guest's own write.
class Channels {
 public:
  struct Limits {
    std::chrono::milliseconds look{2000};   // between looks for VMs
    std::chrono::milliseconds retry{2000};  // the first; doubles
    std::chrono::milliseconds max_retry{30'000};
    std::chrono::milliseconds frame{5000};  // from its first byte to its last
    std::chrono::milliseconds unread{30'000};   // an answer
    std::chrono::milliseconds penalty{10'000};  // for what is no request
    std::chrono::milliseconds per_frame{5000};
    std::chrono::milliseconds per_kib{62};
    std::chrono::milliseconds burst{20'000};
  };
  // All outlive it. `take` is Desk::Take.
  struct Parts {
    hypervisor::Hypervisor& hypervisor;
    Executor& work;
    std::function<void(const Guest&, Bytes, Desk::Reply)> take;
    std::function<void()> looked;  // now and then; may be empty
  };
  explicit Channels(Parts parts);
  Channels(Parts parts, Limits limits);
  Channels(const Channels&) = delete;
  Channels& operator=(const Channels&) = delete;
  // Stops.
  ~Channels();

  // Closes all; what is answered later is heard by nobody. Idempotent. `work`
  // must run nothing of ours any more before the object goes.
  void Stop() EXCLUDES_LOCK(mutex_);
  [[nodiscard]] size_t connected() const EXCLUDES_LOCK(mutex_);

 private:
  struct Connection {
    Guest guest;
    uint64_t number = 0;  // an answer is to this connection or to none
    UniqueFd socket;
    FrameReader reader;
    Bytes out;
    bool in_hand = false;   // a frame of it
    MonotonicTime spent{};  // what it took is paid for until then
    MonotonicTime since{};  // of what it waits for: a frame's rest, a reader
  };
  // What is known of a VM that runs.
  struct Known {
    std::string path;  // that it is connected to; empty: it is not
    MonotonicTime again{};
    std::chrono::milliseconds pause{0};
    std::string problem;  // that was told
  };
  struct Event {
    Guest guest;
    uint64_t number = 0;
    UniqueFd socket;  // a new one
    Bytes answer;
    bool last = false;
    bool gone = false;  // the VM
  };

  void Run();
  void Wait(MonotonicTime now);
  void Handle(Event event, MonotonicTime now);
  void Serve(Connection& connection, short events, MonotonicTime now);
  void Read(Connection& connection, MonotonicTime now);
  void HandOver(Connection& connection, MonotonicTime now);
  void Write(Connection& connection, MonotonicTime now);
  void Close(const Uuid& vm, MonotonicTime now) EXCLUDES_LOCK(mutex_);
  [[nodiscard]] bool MayRead(const Connection& connection,
                             MonotonicTime now) const;
  void Post(Event event) EXCLUDES_LOCK(mutex_);

  void StartLook() EXCLUDES_LOCK(mutex_);
  void Look() EXCLUDES_LOCK(mutex_);
  void Connect(const hypervisor::Domain& domain) EXCLUDES_LOCK(mutex_);
  absl::StatusOr<UniqueFd> Open(const hypervisor::Domain& domain)
      EXCLUDES_LOCK(mutex_);

  const Parts parts_;
  const Limits limits_;
  const UniqueFd wake_;
  std::map<Uuid, Connection> connections_;  // of the thread
  MonotonicTime next_look_{};
  uint64_t numbers_ = 0;

  mutable Mutex mutex_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool looking_ GUARDED_BY(mutex_) = false;
  std::vector<Event> events_ GUARDED_BY(mutex_);
  std::map<Uuid, Known> known_ GUARDED_BY(mutex_);
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace vmattest::guestchannel

#endif  // VMATTEST_GUESTCHANNEL_CHANNELS_H_
