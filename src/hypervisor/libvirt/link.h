#ifndef VMATTEST_HYPERVISOR_LIBVIRT_LINK_H_
#define VMATTEST_HYPERVISOR_LIBVIRT_LINK_H_

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "hypervisor/libvirt/event_loop.h"
#include "hypervisor/libvirt/handles.h"
#include "hypervisor/libvirt/libvirt_hypervisor.h"

namespace vmattest::hypervisor {

// Who is told, until told to stop. libvirt's callbacks hold it, since one may
// be under way, or come late, when its registration is being removed.
class ObserverGate {
 public:
  explicit ObserverGate(HypervisorObserver& observer) : observer_(&observer) {}
  void Close();
  void Connected();
  void Disconnected(const absl::Status& why);
  void Lifecycle(const LifecycleEvent& event);
  void Change(const Uuid& uuid);
  void Reset(const Uuid& uuid);

 private:
  Mutex mutex_;
  HypervisorObserver* observer_ GUARDED_BY(mutex_);
};

// The connection that LibvirtHypervisor keeps up.
class LibvirtHypervisor::Link {
 public:
  explicit Link(Options options)
      : options_(std::move(options)),
        why_(absl::UnavailableError("libvirt is not connected yet")) {}
  ~Link() { Stop(); }

  absl::Status Start(HypervisorObserver& observer);
  void Stop();
  // The connection of this moment. UNAVAILABLE, with the reason.
  absl::StatusOr<ConnectHandle> Get();
  // Hears of each failed call: one that finds the connection dead reports it
  // even where keep-alive did not yet.
  absl::Status Failed(const ConnectHandle& connect, std::string_view clause);
  // One call about a domain that has a process; libvirt's return code.
  // NOT_FOUND, FAILED_PRECONDITION: there is none, or it has no process.
  absl::Status OnActive(const Uuid& uuid, std::string_view doing,
                        const std::function<int(virDomainPtr)>& call);

 private:
  // Which connection is lost, by address: set from libvirt's close callback,
  // which is not under way any more once it was unregistered.
  struct Lost {
    Mutex mutex;
    CondVar changed;
    virConnectPtr connect GUARDED_BY(mutex) = nullptr;
    absl::Status why GUARDED_BY(mutex);
    bool stopping GUARDED_BY(mutex) = false;
  };

  void Run();
  // Also what to deregister later.
  absl::StatusOr<ConnectHandle> Open(std::vector<int>& events);
  void WaitUntilLost(const ConnectHandle& connect, absl::Status& why);
  bool PauseOrStop(std::chrono::milliseconds pause);
  void Shut(ConnectHandle connect, const std::vector<int>& events);
  // libvirt's id of the registration; negative: it has no such events.
  int Register(virConnectPtr connect, int event,
               virConnectDomainEventGenericCallback callback);
  static void OnClose(virConnectPtr connect, int reason, void* opaque);
  static int OnEvent(virConnectPtr connect, virDomainPtr domain, int event,
                     int detail, void* opaque);

  const Options options_;
  Lost lost_;
  std::shared_ptr<ObserverGate> gate_;
  std::shared_ptr<EventLoop> loop_;
  Mutex mutex_;
  ConnectHandle connect_ GUARDED_BY(mutex_);
  absl::Status why_ GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_LIBVIRT_LINK_H_
