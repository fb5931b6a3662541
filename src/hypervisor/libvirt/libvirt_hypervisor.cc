#include "hypervisor/libvirt/libvirt_hypervisor.h"

#include <libvirt/virterror.h>

#include <utility>

#include "fmt/format.h"
#include "hypervisor/libvirt/handles.h"
#include "hypervisor/libvirt/link.h"

namespace vmattest::hypervisor {
namespace {

constexpr int kAttempts = 3;

DomainState StateOf(int state) {
  switch (state) {
    case VIR_DOMAIN_PAUSED:
      return DomainState::kPaused;
    case VIR_DOMAIN_SHUTOFF:
      return DomainState::kShutoff;
    case VIR_DOMAIN_CRASHED:
      return DomainState::kCrashed;
    case VIR_DOMAIN_PMSUSPENDED:
      return DomainState::kSuspended;
    default:
      // Running, blocked, in shutdown: the guest is there.
      return DomainState::kRunning;
  }
}

// False, with libvirt's error on this thread, if libvirt would not say.
bool Describe(virDomainPtr handle, Domain& domain) {
  int state = 0;
  const int persistent = virDomainIsPersistent(handle);
  if (persistent < 0 ||
      virDomainGetUUID(handle, domain.uuid.bytes.data()) < 0 ||
      virDomainGetState(handle, &state, nullptr, 0) < 0) {
    return false;
  }
  domain.name = virDomainGetName(handle);
  domain.state = StateOf(state);
  domain.persistent = persistent == 1;
  return true;
}

}  // namespace

LibvirtHypervisor::LibvirtHypervisor(Options options)
    : link_(std::make_unique<Link>(std::move(options))) {}

LibvirtHypervisor::~LibvirtHypervisor() { Stop(); }

absl::Status LibvirtHypervisor::Start(HypervisorObserver& observer) {
  return link_->Start(observer);
}

void LibvirtHypervisor::Stop() { link_->Stop(); }

absl::StatusOr<std::vector<Domain>> LibvirtHypervisor::ListDomains() {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  virDomainPtr* raw = nullptr;
  const int count = virConnectListAllDomains(connect.get(), &raw, 0);
  if (count < 0) {
    return link_->Failed(connect, "listing domains");
  }
  std::vector<DomainHandle> handles;
  handles.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    handles.emplace_back(raw[i]);
  }
  std::free(raw);
  std::vector<Domain> domains;
  domains.reserve(handles.size());
  for (const DomainHandle& handle : handles) {
    Domain domain;
    if (Describe(handle.get(), domain)) {
      domains.push_back(std::move(domain));
    } else if (virGetLastErrorCode() != VIR_ERR_NO_DOMAIN) {
      return link_->Failed(connect, "listing domains");
    }
  }
  return domains;
}

absl::StatusOr<Domain> LibvirtHypervisor::FindDomain(const Uuid& uuid) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  Domain domain;
  if (handle == nullptr || !Describe(handle.get(), domain)) {
    return link_->Failed(connect, fmt::format("domain {}", ToString(uuid)));
  }
  return domain;
}

absl::StatusOr<Domain> LibvirtHypervisor::FindDomainByName(
    const std::string& name) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const DomainHandle handle(virDomainLookupByName(connect.get(), name.c_str()));
  Domain domain;
  if (handle == nullptr || !Describe(handle.get(), domain)) {
    return link_->Failed(connect, fmt::format("domain '{}'", name));
  }
  return domain;
}

absl::StatusOr<DomainXml> LibvirtHypervisor::GetXml(const Uuid& uuid) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const std::string clause = fmt::format("domain {}", ToString(uuid));
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  if (handle == nullptr) {
    return link_->Failed(connect, clause);
  }
  // It may start or stop between two calls: what belongs together was read
  // while it did not.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const int active = virDomainIsActive(handle.get());
    const int persistent = virDomainIsPersistent(handle.get());
    const TextHandle xml(virDomainGetXMLDesc(handle.get(), 0));
    if (active < 0 || persistent < 0 || xml == nullptr) {
      return link_->Failed(connect, clause);
    }
    DomainXml result{.xml = xml.get(), .live = active == 1, .inactive_xml = {}};
    if (active == 1 && persistent == 1) {
      const TextHandle inactive(
          virDomainGetXMLDesc(handle.get(), VIR_DOMAIN_XML_INACTIVE));
      if (inactive == nullptr) {
        return link_->Failed(connect, clause);
      }
      result.inactive_xml = inactive.get();
    }
    if (virDomainIsActive(handle.get()) == active) {
      return result;
    }
  }
  return absl::AbortedError(
      fmt::format("{}: it starts and stops while it is read", clause));
}

absl::StatusOr<std::string> LibvirtHypervisor::StartCommand(
    const std::string& xml) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const TextHandle command(
      virConnectDomainXMLToNative(connect.get(), "qemu-argv", xml.c_str(), 0));
  if (command == nullptr) {
    return link_->Failed(connect, "its start command");
  }
  return std::string(command.get());
}

absl::Status LibvirtHypervisor::StartPaused(const Uuid& uuid) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const std::string clause = fmt::format("starting {}", ToString(uuid));
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  if (handle == nullptr) {
    return link_->Failed(connect, clause);
  }
  if (virDomainIsActive(handle.get()) == 1) {
    return absl::FailedPreconditionError(clause + ": it runs already");
  }
  return virDomainCreateWithFlags(handle.get(), VIR_DOMAIN_START_PAUSED) == 0
             ? absl::OkStatus()
             : link_->Failed(connect, clause);
}

absl::Status LibvirtHypervisor::Resume(const Uuid& uuid) {
  return link_->OnActive(uuid, "resuming", [](virDomainPtr domain) {
    int state = 0;
    return virDomainGetState(domain, &state, nullptr, 0) == 0 &&
                   state == VIR_DOMAIN_RUNNING
               ? 0
               : virDomainResume(domain);
  });
}

absl::Status LibvirtHypervisor::Destroy(const Uuid& uuid) {
  return link_->OnActive(uuid, "ending", [](virDomainPtr domain) {
    return virDomainDestroy(domain);
  });
}

absl::Status LibvirtHypervisor::Suspend(const Uuid& uuid) {
  KeepPaused(uuid);
  return link_->OnActive(uuid, "suspending", [](virDomainPtr domain) {
    return virDomainSuspend(domain);
  });
}

absl::Status LibvirtHypervisor::UpdateDevice(const Uuid& uuid,
                                             const std::string& device_xml) {
  return link_->OnActive(
      uuid, "a device of", [&device_xml](virDomainPtr domain) {
        return virDomainUpdateDeviceFlags(domain, device_xml.c_str(),
                                          VIR_DOMAIN_AFFECT_LIVE);
      });
}

absl::StatusOr<std::vector<std::string>> LibvirtHypervisor::GetTaints(
    const Uuid& uuid) {
  ASSIGN_OR_RETURN(const ConnectHandle connect, link_->Get());
  const std::string clause = fmt::format("taints of {}", ToString(uuid));
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  char** raw = nullptr;
  const int count = handle == nullptr
                        ? -1
                        : virDomainGetMessages(handle.get(), &raw,
                                               VIR_DOMAIN_MESSAGE_TAINTING);
  if (count < 0) {
    return link_->Failed(connect, clause);
  }
  std::vector<std::string> taints;
  for (int i = 0; i < count; ++i) {
    const TextHandle text(raw[i]);
    taints.emplace_back(text.get());
  }
  std::free(raw);
  return taints;
}

}  // namespace vmattest::hypervisor
