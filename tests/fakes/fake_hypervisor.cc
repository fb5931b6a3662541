#include "fakes/fake_hypervisor.h"

#include "fmt/format.h"

namespace vmattest::testing {

using hypervisor::Domain;
using hypervisor::DomainState;
using hypervisor::DomainXml;
using hypervisor::LifecycleKind;

void FakeHypervisor::Start(hypervisor::HypervisorObserver* observer) {
  {
    const MutexLock lock(mutex_);
    observer_ = observer;
  }
  if (observer != nullptr) {
    observer->OnConnected();
  }
}

void FakeHypervisor::Disconnect() {
  hypervisor::HypervisorObserver* observer = nullptr;
  {
    const MutexLock lock(mutex_);
    connected_ = false;
    observer = observer_;
  }
  if (observer != nullptr) {
    observer->OnDisconnected(absl::UnavailableError("libvirtd went away"));
  }
}

void FakeHypervisor::Reconnect() {
  hypervisor::HypervisorObserver* observer = nullptr;
  {
    const MutexLock lock(mutex_);
    connected_ = true;
    observer = observer_;
  }
  if (observer != nullptr) {
    observer->OnConnected();
  }
}

Uuid FakeHypervisor::Define(const std::string& name, const std::string& xml) {
  const Uuid uuid = UuidOf(name);
  {
    const MutexLock lock(mutex_);
    Entry& entry = entries_[uuid];
    entry.domain.uuid = uuid;
    entry.domain.name = name;
    entry.domain.persistent = true;
    entry.stored = xml;
  }
  Tell(uuid, name, LifecycleKind::kDefined);
  return uuid;
}

void FakeHypervisor::Undefine(const Uuid& uuid) {
  std::string name;
  {
    const MutexLock lock(mutex_);
    Entry& entry = entries_.at(uuid);
    name = entry.domain.name;
    entry.domain.persistent = false;
    if (!IsActive(entry.domain.state)) {
      entries_.erase(uuid);
    }
  }
  Tell(uuid, name, LifecycleKind::kUndefined);
}

void FakeHypervisor::Start(const Uuid& uuid) {
  std::string name;
  {
    const MutexLock lock(mutex_);
    Entry& entry = entries_.at(uuid);
    name = entry.domain.name;
    entry.domain.state = DomainState::kRunning;
    entry.live = entry.stored;
  }
  Tell(uuid, name, LifecycleKind::kStarted);
}

Uuid FakeHypervisor::CreateTransient(const std::string& name,
                                     const std::string& xml) {
  const Uuid uuid = UuidOf(name);
  {
    const MutexLock lock(mutex_);
    entries_[uuid] = {.domain = {.uuid = uuid,
                                 .name = name,
                                 .state = DomainState::kRunning,
                                 .persistent = false},
                      .live = xml,
                      .stored = {},
                      .taints = {}};
  }
  Tell(uuid, name, LifecycleKind::kStarted);
  return uuid;
}

void FakeHypervisor::Stop(const Uuid& uuid) {
  std::string name;
  {
    const MutexLock lock(mutex_);
    Entry& entry = entries_.at(uuid);
    name = entry.domain.name;
    entry.domain.state = DomainState::kShutoff;
    entry.live.clear();
    entry.taints.clear();
    if (!entry.domain.persistent) {
      entries_.erase(uuid);
    }
  }
  Tell(uuid, name, LifecycleKind::kStopped);
}

absl::StatusOr<FakeHypervisor::Entry*> FakeHypervisor::Active(
    const Uuid& uuid) {
  RETURN_IF_ERROR(Reachable());
  const auto entry = entries_.find(uuid);
  if (entry == entries_.end()) {
    return absl::NotFoundError("no such domain");
  }
  if (!IsActive(entry->second.domain.state)) {
    return absl::FailedPreconditionError("it does not run");
  }
  return &entry->second;
}

absl::Status FakeHypervisor::Become(const Uuid& uuid, DomainState state,
                                    LifecycleKind kind) {
  std::string name;
  {
    const MutexLock lock(mutex_);
    ASSIGN_OR_RETURN(Entry* const entry, Active(uuid));
    if (entry->domain.state == state) {
      return absl::OkStatus();
    }
    entry->domain.state = state;
    name = entry->domain.name;
  }
  Tell(uuid, name, kind);
  return absl::OkStatus();
}

absl::Status FakeHypervisor::Suspend(const Uuid& uuid) {
  {
    const MutexLock lock(mutex_);
    if (const auto pause = pauses_.find(uuid); pause != pauses_.end()) {
      pause->second = true;
    }
  }
  return Become(uuid, DomainState::kPaused, LifecycleKind::kSuspended);
}

absl::Status FakeHypervisor::Resume(const Uuid& uuid) {
  return Become(uuid, DomainState::kRunning, LifecycleKind::kResumed);
}

absl::Status FakeHypervisor::StartPaused(const Uuid& uuid) {
  std::function<absl::Status()> hook;
  {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Reachable());
    const auto entry = entries_.find(uuid);
    if (entry == entries_.end()) {
      return absl::NotFoundError("no such domain");
    }
    if (IsActive(entry->second.domain.state)) {
      return absl::FailedPreconditionError("it runs already");
    }
    hook = on_start_paused_;
  }
  if (hook) {
    RETURN_IF_ERROR(hook());
  }
  Start(uuid);
  return Suspend(uuid);
}

absl::Status FakeHypervisor::Destroy(const Uuid& uuid) {
  {
    const MutexLock lock(mutex_);
    RETURN_IF_ERROR(Active(uuid).status());
  }
  Stop(uuid);
  return absl::OkStatus();
}

void FakeHypervisor::OnStartPaused(std::function<absl::Status()> hook) {
  const MutexLock lock(mutex_);
  on_start_paused_ = std::move(hook);
}

absl::Status FakeHypervisor::UpdateDevice(const Uuid& uuid,
                                          const std::string& device_xml) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Active(uuid).status());
  if (update_device_.ok()) {
    updated_devices_.push_back(device_xml);
  }
  return update_device_;
}

absl::StatusOr<std::vector<std::string>> FakeHypervisor::GetTaints(
    const Uuid& uuid) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Reachable());
  const auto entry = entries_.find(uuid);
  if (entry == entries_.end()) {
    return absl::NotFoundError("no such domain");
  }
  return entry->second.taints;
}

void FakeHypervisor::AnswerUpdateDevice(absl::Status answer) {
  const MutexLock lock(mutex_);
  update_device_ = std::move(answer);
}

void FakeHypervisor::Taint(const Uuid& uuid, const std::string& taint) {
  const MutexLock lock(mutex_);
  entries_.at(uuid).taints.push_back(taint);
}

std::vector<std::string> FakeHypervisor::updated_devices() const {
  const MutexLock lock(mutex_);
  return updated_devices_;
}

void FakeHypervisor::Tell(const Uuid& uuid, const std::string& name,
                          LifecycleKind kind) {
  hypervisor::HypervisorObserver* observer = nullptr;
  {
    const MutexLock lock(mutex_);
    observer = connected_ ? observer_ : nullptr;
  }
  if (observer != nullptr) {
    observer->OnLifecycle({.uuid = uuid, .name = name, .kind = kind});
  }
}

void FakeHypervisor::OnGetXml(std::function<void()> hook) {
  const MutexLock lock(mutex_);
  on_get_xml_ = std::move(hook);
}

int FakeHypervisor::xml_reads() const {
  const MutexLock lock(mutex_);
  return xml_reads_;
}

absl::Status FakeHypervisor::Reachable() const {
  return connected_ ? absl::OkStatus()
                    : absl::UnavailableError("libvirt is not connected");
}

absl::StatusOr<std::vector<Domain>> FakeHypervisor::ListDomains() {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Reachable());
  std::vector<Domain> domains;
  for (const auto& [uuid, entry] : entries_) {
    domains.push_back(entry.domain);
  }
  return domains;
}

absl::StatusOr<Domain> FakeHypervisor::FindDomain(const Uuid& uuid) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Reachable());
  const auto found = entries_.find(uuid);
  if (found == entries_.end()) {
    return absl::NotFoundError(fmt::format("domain {}", ToString(uuid)));
  }
  return found->second.domain;
}

absl::StatusOr<Domain> FakeHypervisor::FindDomainByName(
    const std::string& name) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Reachable());
  for (const auto& [uuid, entry] : entries_) {
    if (entry.domain.name == name) {
      return entry.domain;
    }
  }
  return absl::NotFoundError(fmt::format("domain '{}'", name));
}

absl::StatusOr<DomainXml> FakeHypervisor::GetXml(const Uuid& uuid) {
  std::function<void()> hook;
  {
    const MutexLock lock(mutex_);
    ++xml_reads_;
    hook = on_get_xml_;
  }
  if (hook) {
    hook();
  }
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Reachable());
  const auto found = entries_.find(uuid);
  if (found == entries_.end()) {
    return absl::NotFoundError(fmt::format("domain {}", ToString(uuid)));
  }
  const Entry& entry = found->second;
  if (!IsActive(entry.domain.state)) {
    return DomainXml{.xml = entry.stored, .live = false, .inactive_xml = {}};
  }
  return DomainXml{
      .xml = entry.live,
      .live = true,
      .inactive_xml = entry.domain.persistent ? entry.stored : std::string()};
}

void FakeHypervisor::AnswerStartCommand(absl::StatusOr<std::string> answer) {
  const MutexLock lock(mutex_);
  start_command_ = std::move(answer);
}

std::string FakeHypervisor::asked_start_command() const {
  const MutexLock lock(mutex_);
  return asked_start_command_;
}

absl::StatusOr<std::string> FakeHypervisor::StartCommand(
    const std::string& xml) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(Reachable());
  asked_start_command_ = xml;
  return start_command_;
}

std::string FakeHypervisor::Xml(const std::string& name, const Uuid& uuid,
                                const std::string& extra) {
  return fmt::format(
      "<domain type='qemu'><name>{}</name><uuid>{}</uuid>"
      "<memory unit='MiB'>256</memory><vcpu>1</vcpu>"
      "<os><type arch='x86_64' machine='q35'>hvm</type></os>{}</domain>",
      name, ToString(uuid), extra);
}

Uuid FakeHypervisor::UuidOf(const std::string& name) {
  Uuid uuid;
  uuid.bytes[0] = 0x42;
  for (size_t i = 0; i < name.size() && i + 1 < uuid.bytes.size(); ++i) {
    uuid.bytes[i + 1] = static_cast<uint8_t>(name[i]);
  }
  return uuid;
}

}  // namespace vmattest::testing
