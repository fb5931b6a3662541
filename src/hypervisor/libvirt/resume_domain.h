#ifndef VMATTEST_HYPERVISOR_LIBVIRT_RESUME_DOMAIN_H_
#define VMATTEST_HYPERVISOR_LIBVIRT_RESUME_DOMAIN_H_

#include <string>

#include "base/status.h"
#include "base/uuid.h"

namespace vmattest::hypervisor {

// Lets a domain run again that somebody paused, over a connection of its own.
// OK also if it runs, or is gone: nothing is left to do then. UNAVAILABLE: no
// connection. Blocks; needs no event loop.
absl::Status ResumeDomain(const std::string& uri, const Uuid& uuid);

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_LIBVIRT_RESUME_DOMAIN_H_
