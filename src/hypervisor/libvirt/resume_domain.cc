#include "hypervisor/libvirt/resume_domain.h"

#include <libvirt/virterror.h>

#include "fmt/format.h"
#include "hypervisor/libvirt/handles.h"
#include "hypervisor/libvirt/libvirt_errors.h"

namespace vmattest::hypervisor {

absl::Status ResumeDomain(const std::string& uri, const Uuid& uuid) {
  const ConnectHandle connect = OwnConnect(virConnectOpen(uri.c_str()));
  if (connect == nullptr) {
    return LibvirtStatus(uri);
  }
  const DomainHandle handle(
      virDomainLookupByUUID(connect.get(), uuid.bytes.data()));
  int state = 0;
  int reason = 0;
  if (handle == nullptr ||
      virDomainGetState(handle.get(), &state, &reason, 0) < 0) {
    return virGetLastErrorCode() == VIR_ERR_NO_DOMAIN
               ? absl::OkStatus()
               : LibvirtStatus(ToString(uuid));
  }
  if (state != VIR_DOMAIN_PAUSED || reason != VIR_DOMAIN_PAUSED_USER) {
    return absl::OkStatus();
  }
  return virDomainResume(handle.get()) == 0
             ? absl::OkStatus()
             : LibvirtStatus(fmt::format("resuming {}", ToString(uuid)));
}

}  // namespace vmattest::hypervisor
