#ifndef VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_HYPERVISOR_H_
#define VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_HYPERVISOR_H_

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "hypervisor/guest_control.h"
#include "hypervisor/hypervisor.h"

namespace vmattest::hypervisor {

// The domains of a libvirt connection, kept up by itself: it need not be there
// at the start, and when libvirtd goes away it is connected again, with pauses
// that grow from `min_pause` to `max_pause`.
//
// Threads: `virt-event` runs libvirt's event loop (one per process),
// `virt-connect` opens connections. Calls to the port come on their callers'
// threads and block there; a libvirtd that hangs is noticed by keep-alive, and
// they fail with UNAVAILABLE. Only opening a connection has no time limit
// (libvirt has none): Stop() then waits until libvirtd answers or dies.
// Set SIGPIPE to be ignored: libvirt writes to a libvirtd that died.
class LibvirtHypervisor final : public Hypervisor, public GuestControl {
 public:
  struct Options {
    std::string uri = "qemu:///system";
    std::chrono::milliseconds min_pause{200};
    std::chrono::milliseconds max_pause{5000};
    int keepalive_seconds = 5;  // a probe after this much silence
    unsigned keepalive_count = 3;
  };
  explicit LibvirtHypervisor(Options options);
  LibvirtHypervisor(const LibvirtHypervisor&) = delete;
  LibvirtHypervisor& operator=(const LibvirtHypervisor&) = delete;
  ~LibvirtHypervisor() override;

  // Begins to connect and to tell `observer`, which must live until Stop().
  // Once; INTERNAL: libvirt's client library cannot be started.
  absl::Status Start(HypervisorObserver& observer);
  // The observer hears nothing more once this returned. Idempotent; not
  // callable from the observer.
  void Stop();

  absl::StatusOr<std::vector<Domain>> ListDomains() override;
  absl::StatusOr<Domain> FindDomain(const Uuid& uuid) override;
  absl::StatusOr<Domain> FindDomainByName(const std::string& name) override;
  absl::StatusOr<DomainXml> GetXml(const Uuid& uuid) override;
  absl::StatusOr<std::string> StartCommand(const std::string& xml) override;
  absl::Status StartPaused(const Uuid& uuid) override;
  absl::Status Resume(const Uuid& uuid) override;
  absl::Status Destroy(const Uuid& uuid) override;
  absl::Status Suspend(const Uuid& uuid) override;
  absl::Status UpdateDevice(const Uuid& uuid,
                            const std::string& device_xml) override;
  absl::StatusOr<std::vector<std::string>> GetTaints(const Uuid& uuid) override;

  absl::StatusOr<bool> BeginPause(const Uuid& uuid) override;
  absl::Status EndPause(const Uuid& uuid) override;
  absl::Status PeekMemory(const Uuid& uuid, uint64_t address,
                          std::span<uint8_t> buffer) override;
  absl::Status CheckMemoryIsHere(const Uuid& uuid) override;
  absl::StatusOr<std::chrono::microseconds> SaveState(
      const Uuid& uuid, const std::string& pipe) override;
  absl::Status AbortSave(const Uuid& uuid) override;

 private:
  class Link;
  class SaveWatch;
  // Takes the pause of BeginPause() or SaveState() back; whether the guest
  // is to stand.
  absl::StatusOr<bool> TakePause(const Uuid& uuid) REQUIRES_LOCK(pauses_mutex_);
  void KeepPaused(const Uuid& uuid) EXCLUDES_LOCK(pauses_mutex_);

  const std::unique_ptr<Link> link_;
  Mutex pauses_mutex_;
  // True: it stays paused when EndPause() comes.
  std::map<Uuid, bool> pauses_ GUARDED_BY(pauses_mutex_);
};

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_HYPERVISOR_H_
