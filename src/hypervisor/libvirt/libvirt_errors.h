#ifndef VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_ERRORS_H_
#define VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_ERRORS_H_

#include <string_view>

#include "base/status.h"

namespace vmattest::hypervisor {

// The error that libvirt left on this thread for the call that just failed, as
// "`clause`: libvirt's message":
//   NOT_FOUND          no such domain
//   UNAVAILABLE        libvirtd cannot be reached, or went away
//   PERMISSION_DENIED  libvirt's authentication or access control
//   FAILED_PRECONDITION, INVALID_ARGUMENT, DEADLINE_EXCEEDED, INTERNAL
absl::Status LibvirtStatus(std::string_view clause);

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_LIBVIRT_LIBVIRT_ERRORS_H_
