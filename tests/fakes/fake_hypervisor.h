#ifndef VMATTEST_TESTS_FAKES_FAKE_HYPERVISOR_H_
#define VMATTEST_TESTS_FAKES_FAKE_HYPERVISOR_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/mutex.h"
#include "hypervisor/guest_control.h"
#include "hypervisor/hypervisor.h"

namespace vmattest::testing {

// Domains in memory, behaving as libvirt's do: transient ones are gone when
// they stop, an undefined running one lives on as transient. Verbs tell the
// observer, on the caller's thread. Callable from any thread.
class FakeHypervisor final : public hypervisor::Hypervisor,
                             public hypervisor::GuestControl {
 public:
  // Begins connected; tells `observer`, which may be null.
  void Start(hypervisor::HypervisorObserver* observer);
  void Disconnect();
  void Reconnect();

  // A persistent domain, or a new definition of one. The stored XML is `xml`;
  // of a running domain the live one stays as it was started.
  Uuid Define(const std::string& name, const std::string& xml);
  void Undefine(const Uuid& uuid);
  void Start(const Uuid& uuid);
  Uuid CreateTransient(const std::string& name, const std::string& xml);
  void Stop(const Uuid& uuid);

  // Runs within each StartPaused, before the domain is active, as libvirt's
  // hooks do; an error refuses the start.
  void OnStartPaused(std::function<absl::Status()> hook);
  // Runs within each GetXml, before it answers.
  void OnGetXml(std::function<void()> hook);
  [[nodiscard]] int xml_reads() const;
  // What StartCommand answers from now on; at first FAILED_PRECONDITION.
  void AnswerStartCommand(absl::StatusOr<std::string> answer);
  // The definition that it was asked about last.
  [[nodiscard]] std::string asked_start_command() const;

  absl::StatusOr<std::vector<hypervisor::Domain>> ListDomains() override;
  absl::StatusOr<hypervisor::Domain> FindDomain(const Uuid& uuid) override;
  absl::StatusOr<hypervisor::Domain> FindDomainByName(
      const std::string& name) override;
  absl::StatusOr<hypervisor::DomainXml> GetXml(const Uuid& uuid) override;
  absl::StatusOr<std::string> StartCommand(const std::string& xml) override;
  absl::Status StartPaused(const Uuid& uuid) override;
  absl::Status Resume(const Uuid& uuid) override;
  absl::Status Destroy(const Uuid& uuid) override;
  absl::Status Suspend(const Uuid& uuid) override;
  // Answers as a hypervisor does that changes no devices, unless told.
  absl::Status UpdateDevice(const Uuid& uuid,
                            const std::string& device_xml) override;
  absl::StatusOr<std::vector<std::string>> GetTaints(const Uuid& uuid) override;
  void AnswerUpdateDevice(absl::Status answer);
  void Taint(const Uuid& uuid, const std::string& taint);
  // What of a running domain was asked to be changed.
  [[nodiscard]] std::vector<std::string> updated_devices() const;

  absl::StatusOr<bool> BeginPause(const Uuid& uuid) override;
  absl::Status EndPause(const Uuid& uuid) override;
  // Runs within each PeekMemory, before it answers.
  void OnPeek(std::function<void(uint64_t address)> hook);
  // Every byte is the low byte of its page's number.
  absl::Status PeekMemory(const Uuid& uuid, uint64_t address,
                          std::span<uint8_t> buffer) override;
  absl::Status CheckMemoryIsHere(const Uuid& uuid) override;
  // Writes `state_stream`, in pieces, to whoever reads.
  absl::StatusOr<std::chrono::microseconds> SaveState(
      const Uuid& uuid, const std::string& pipe) override;
  absl::Status AbortSave(const Uuid& uuid) override;
  void AnswerSaveState(Bytes stream);
  // Its memory is on two hosts from now on, or no more.
  void SetPostcopy(const Uuid& uuid, bool postcopy);

  // A small domain's XML, as libvirt would take it; `extra` goes to its end.
  static std::string Xml(const std::string& name, const Uuid& uuid,
                         const std::string& extra = "");
  // A UUID of the name.
  static Uuid UuidOf(const std::string& name);

 private:
  struct Entry {
    hypervisor::Domain domain;
    std::string live;
    std::string stored;
    std::vector<std::string> taints;
    bool postcopy = false;
  };
  void Tell(const Uuid& uuid, const std::string& name,
            hypervisor::LifecycleKind kind);
  [[nodiscard]] absl::Status Reachable() const REQUIRES_LOCK(mutex_);
  // Whether the guest of a pause that ends is to stand.
  absl::StatusOr<bool> TakePause(const Uuid& uuid) REQUIRES_LOCK(mutex_);
  // Of a domain that has a process.
  absl::StatusOr<Entry*> Active(const Uuid& uuid) REQUIRES_LOCK(mutex_);
  // Puts an active domain into `state` and tells of it, unless it is there.
  absl::Status Become(const Uuid& uuid, hypervisor::DomainState state,
                      hypervisor::LifecycleKind kind);

  mutable Mutex mutex_;
  hypervisor::HypervisorObserver* observer_ GUARDED_BY(mutex_) = nullptr;
  bool connected_ GUARDED_BY(mutex_) = true;
  std::map<Uuid, Entry> entries_ GUARDED_BY(mutex_);
  std::function<absl::Status()> on_start_paused_ GUARDED_BY(mutex_);
  std::function<void()> on_get_xml_ GUARDED_BY(mutex_);
  std::function<void(uint64_t address)> on_peek_ GUARDED_BY(mutex_);
  int xml_reads_ GUARDED_BY(mutex_) = 0;
  absl::StatusOr<std::string> start_command_ GUARDED_BY(mutex_) =
      absl::FailedPreconditionError("there are no command lines here");
  std::string asked_start_command_ GUARDED_BY(mutex_);
  absl::Status update_device_ GUARDED_BY(mutex_) =
      absl::FailedPreconditionError("devices cannot be changed here");
  std::vector<std::string> updated_devices_ GUARDED_BY(mutex_);
  // True: it stays paused when the pause ends.
  std::map<Uuid, bool> pauses_ GUARDED_BY(mutex_);
  std::set<Uuid> aborted_ GUARDED_BY(mutex_);
  Bytes state_stream_ GUARDED_BY(mutex_);
};

}  // namespace vmattest::testing

#endif  // VMATTEST_TESTS_FAKES_FAKE_HYPERVISOR_H_
