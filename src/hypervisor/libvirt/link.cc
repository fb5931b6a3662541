#include "hypervisor/libvirt/link.h"

#include <libvirt/virterror.h>
#include <pthread.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "fmt/format.h"
#include "hypervisor/libvirt/libvirt_errors.h"

namespace vmattest::hypervisor {
namespace {

template <class T>
void* Hold(const std::shared_ptr<T>& shared) {
  return new std::shared_ptr<T>(shared);
}
template <class T>
const std::shared_ptr<T>& Held(void* opaque) {
  return *static_cast<std::shared_ptr<T>*>(opaque);
}
template <class T>
void Drop(void* opaque) {
  delete static_cast<std::shared_ptr<T>*>(opaque);
}

std::optional<LifecycleKind> KindOf(int event, int detail) {
  switch (event) {
    case VIR_DOMAIN_EVENT_DEFINED:
      return LifecycleKind::kDefined;
    case VIR_DOMAIN_EVENT_UNDEFINED:
      return LifecycleKind::kUndefined;
    case VIR_DOMAIN_EVENT_STARTED:
      return LifecycleKind::kStarted;
    case VIR_DOMAIN_EVENT_SUSPENDED:
    case VIR_DOMAIN_EVENT_PMSUSPENDED:
      return LifecycleKind::kSuspended;
    case VIR_DOMAIN_EVENT_RESUMED:
      return LifecycleKind::kResumed;
    case VIR_DOMAIN_EVENT_STOPPED:
      return detail == VIR_DOMAIN_EVENT_STOPPED_CRASHED
                 ? LifecycleKind::kCrashed
                 : LifecycleKind::kStopped;
    case VIR_DOMAIN_EVENT_CRASHED:
      return LifecycleKind::kCrashed;
    default:
      // VIR_DOMAIN_EVENT_SHUTDOWN comes before the STOPPED that counts; what
      // a later libvirt adds is not known here.
      return std::nullopt;
  }
}

std::string_view CloseReason(int reason) {
  switch (reason) {
    case VIR_CONNECT_CLOSE_REASON_ERROR:
      return "input or output error";
    case VIR_CONNECT_CLOSE_REASON_EOF:
      return "libvirtd closed the connection";
    case VIR_CONNECT_CLOSE_REASON_KEEPALIVE:
      return "libvirtd does not answer";
    default:
      return "closed";
  }
}

void TellChange(virDomainPtr domain, void* opaque) {
  Uuid uuid;
  if (virDomainGetUUID(domain, uuid.bytes.data()) == 0) {
    Held<ObserverGate>(opaque)->Change(uuid);
  }
}

// libvirt hands each kind of event over with arguments of its own.
void OnDevice(virConnectPtr, virDomainPtr domain, const char*, void* opaque) {
  TellChange(domain, opaque);
}
void OnBlockJob(virConnectPtr, virDomainPtr domain, const char*, int, int,
                void* opaque) {
  TellChange(domain, opaque);
}
void OnTray(virConnectPtr, virDomainPtr domain, const char*, int,
            void* opaque) {
  TellChange(domain, opaque);
}
void OnDisk(virConnectPtr, virDomainPtr domain, const char*, const char*,
            const char*, int, void* opaque) {
  TellChange(domain, opaque);
}
void OnTunable(virConnectPtr, virDomainPtr domain, virTypedParameterPtr, int,
               void* opaque) {
  TellChange(domain, opaque);
}

void OnReboot(virConnectPtr, virDomainPtr domain, void* opaque) {
  Uuid uuid;
  if (virDomainGetUUID(domain, uuid.bytes.data()) == 0) {
    Held<ObserverGate>(opaque)->Reset(uuid);
  }
}

const std::pair<int, virConnectDomainEventGenericCallback> kMore[] = {
    {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(OnDevice)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(OnDevice)},
    {VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(OnBlockJob)},
    {VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(OnTray)},
    {VIR_DOMAIN_EVENT_ID_DISK_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(OnDisk)},
    {VIR_DOMAIN_EVENT_ID_TUNABLE, VIR_DOMAIN_EVENT_CALLBACK(OnTunable)},
    // libvirt's name for what QEMU calls a reset, whoever asked for it.
    {VIR_DOMAIN_EVENT_ID_REBOOT, OnReboot},
};

}  // namespace

void ObserverGate::Close() {
  const MutexLock lock(mutex_);
  observer_ = nullptr;
}

void ObserverGate::Connected() {
  const MutexLock lock(mutex_);
  if (observer_ != nullptr) {
    observer_->OnConnected();
  }
}

void ObserverGate::Disconnected(const absl::Status& why) {
  const MutexLock lock(mutex_);
  if (observer_ != nullptr) {
    observer_->OnDisconnected(why);
  }
}

void ObserverGate::Lifecycle(const LifecycleEvent& event) {
  const MutexLock lock(mutex_);
  if (observer_ != nullptr) {
    observer_->OnLifecycle(event);
  }
}

void ObserverGate::Change(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  if (observer_ != nullptr) {
    observer_->OnChange(uuid);
  }
}

void ObserverGate::Reset(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  if (observer_ != nullptr) {
    observer_->OnReset(uuid);
  }
}

absl::Status LibvirtHypervisor::Link::Start(HypervisorObserver& observer) {
  ASSIGN_OR_RETURN(loop_, EventLoop::Acquire());
  gate_ = std::make_shared<ObserverGate>(observer);
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "virt-connect");
  return absl::OkStatus();
}

void LibvirtHypervisor::Link::Stop() {
  if (!thread_.joinable()) {
    return;
  }
  gate_->Close();
  {
    const MutexLock lock(lost_.mutex);
    lost_.stopping = true;
  }
  lost_.changed.NotifyAll();
  thread_.join();
  loop_.reset();
}

absl::StatusOr<ConnectHandle> LibvirtHypervisor::Link::Get() {
  const MutexLock lock(mutex_);
  if (connect_ == nullptr) {
    return why_;
  }
  return connect_;
}

absl::Status LibvirtHypervisor::Link::Failed(const ConnectHandle& connect,
                                             std::string_view clause) {
  const absl::Status status = LibvirtStatus(clause);
  // Asking replaces the thread's error, which is read above.
  if (virConnectIsAlive(connect.get()) == 1) {
    // A system error of libvirtd's own is no lost connection.
    return absl::IsUnavailable(status)
               ? absl::Status(absl::StatusCode::kInternal, status.message())
               : status;
  }
  const absl::Status why = absl::UnavailableError(status.message());
  const MutexLock current_lock(mutex_);
  if (connect_ == connect) {
    const MutexLock lock(lost_.mutex);
    lost_.connect = connect.get();
    lost_.why = why;
    lost_.changed.NotifyAll();
  }
  return why;
}

void LibvirtHypervisor::Link::Run() {
  auto pause = options_.min_pause;
  bool told = false;
  do {
    std::vector<int> events;
    absl::StatusOr<ConnectHandle> opened = Open(events);
    absl::Status why = opened.status();
    if (opened.ok()) {
      {
        const MutexLock lock(mutex_);
        connect_ = *opened;
      }
      pause = options_.min_pause;
      told = false;
      gate_->Connected();
      WaitUntilLost(*opened, why);
    }
    {
      const MutexLock lock(mutex_);
      connect_.reset();
      why_ = absl::UnavailableError(fmt::format("libvirt is not connected: {}",
                                                std::string(why.message())));
    }
    if (opened.ok()) {
      Shut(*std::move(opened), events);
    }
    if (!told) {
      gate_->Disconnected(why);
      told = true;
    }
    if (!PauseOrStop(pause)) {
      return;
    }
    pause = std::min(2 * pause, options_.max_pause);
  } while (true);
}

absl::StatusOr<ConnectHandle> LibvirtHypervisor::Link::Open(
    std::vector<int>& events) {
  const std::string clause = fmt::format("connecting to {}", options_.uri);
  const ConnectHandle connect =
      OwnConnect(virConnectOpenAuth(options_.uri.c_str(), nullptr, 0));
  if (connect == nullptr) {
    return LibvirtStatus(clause);
  }
  virConnectPtr const raw = connect.get();
  // Drivers within this process (test:///) have no transport to watch.
  if (virConnectSetKeepAlive(raw, options_.keepalive_seconds,
                             options_.keepalive_count) < 0 &&
      virGetLastErrorCode() != VIR_ERR_NO_SUPPORT) {
    return LibvirtStatus(clause);
  }
  if (virConnectRegisterCloseCallback(raw, OnClose, &lost_, nullptr) < 0 &&
      virGetLastErrorCode() != VIR_ERR_NO_SUPPORT) {
    return LibvirtStatus(clause);
  }
  const int lifecycle = Register(raw, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                 VIR_DOMAIN_EVENT_CALLBACK(OnEvent));
  if (lifecycle < 0) {
    absl::Status status = LibvirtStatus("registering for lifecycle events");
    virConnectUnregisterCloseCallback(raw, OnClose);
    return status;
  }
  events.push_back(lifecycle);
  // Changes of which a driver does not tell are looked for by looking, and a
  // reset that nobody heard of proves nothing.
  for (const auto& [event, callback] : kMore) {
    if (const int id = Register(raw, event, callback); id >= 0) {
      events.push_back(id);
    }
  }
  return connect;
}

int LibvirtHypervisor::Link::Register(
    virConnectPtr connect, int event,
    virConnectDomainEventGenericCallback callback) {
  void* const held = Hold(gate_);
  const int id = virConnectDomainEventRegisterAny(
      connect, nullptr, event, callback, held, Drop<ObserverGate>);
  if (id < 0) {
    Drop<ObserverGate>(held);
  }
  return id;
}

void LibvirtHypervisor::Link::WaitUntilLost(const ConnectHandle& connect,
                                            absl::Status& why) {
  const MutexLock lock(lost_.mutex);
  while (!lost_.stopping && lost_.connect != connect.get()) {
    lost_.changed.Wait(lost_.mutex);
  }
  why = lost_.stopping ? absl::UnavailableError("stopped") : lost_.why;
  lost_.connect = nullptr;
}

absl::Status LibvirtHypervisor::Link::OnActive(
    const Uuid& uuid, std::string_view doing,
    const std::function<int(virDomainPtr)>& call) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, Get());
  const std::string clause = fmt::format("{} {}", doing, ToString(uuid));
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  if (handle == nullptr) {
    return Failed(connect, clause);
  }
  if (virDomainIsActive(handle.get()) == 0) {
    return absl::FailedPreconditionError(clause + ": it does not run");
  }
  return call(handle.get()) == 0 ? absl::OkStatus() : Failed(connect, clause);
}

bool LibvirtHypervisor::Link::PauseOrStop(std::chrono::milliseconds pause) {
  const auto end = std::chrono::steady_clock::now() + pause;
  const MutexLock lock(lost_.mutex);
  while (!lost_.stopping && std::chrono::steady_clock::now() < end) {
    lost_.changed.WaitUntil(lost_.mutex, end);
  }
  return !lost_.stopping;
}

void LibvirtHypervisor::Link::Shut(ConnectHandle connect,
                                   const std::vector<int>& events) {
  for (const int id : events) {
    virConnectDomainEventDeregisterAny(connect.get(), id);
  }
  virConnectUnregisterCloseCallback(connect.get(), OnClose);
}

void LibvirtHypervisor::Link::OnClose(virConnectPtr connect, int reason,
                                      void* opaque) {
  auto* const lost = static_cast<Lost*>(opaque);
  {
    const MutexLock lock(lost->mutex);
    lost->connect = connect;
    lost->why = absl::UnavailableError(std::string(CloseReason(reason)));
  }
  lost->changed.NotifyAll();
}

int LibvirtHypervisor::Link::OnEvent(virConnectPtr, virDomainPtr domain,
                                     int event, int detail, void* opaque) {
  const std::optional<LifecycleKind> kind = KindOf(event, detail);
  LifecycleEvent told;
  if (!kind || virDomainGetUUID(domain, told.uuid.bytes.data()) < 0) {
    return 0;
  }
  told.name = virDomainGetName(domain);
  told.kind = *kind;
  told.saved = event == VIR_DOMAIN_EVENT_STOPPED &&
               detail == VIR_DOMAIN_EVENT_STOPPED_SAVED;
  Held<ObserverGate>(opaque)->Lifecycle(told);
  return 0;
}

}  // namespace vmattest::hypervisor
