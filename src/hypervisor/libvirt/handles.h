#ifndef VMATTEST_HYPERVISOR_LIBVIRT_HANDLES_H_
#define VMATTEST_HYPERVISOR_LIBVIRT_HANDLES_H_

#include <libvirt/libvirt.h>

#include <cstdlib>
#include <memory>

#include "base/handles.h"

namespace vmattest::hypervisor {

using DomainHandle = std::unique_ptr<virDomain, Closer<virDomainFree>>;
// What libvirt allocates for its caller.
using TextHandle = std::unique_ptr<char, Closer<std::free>>;

// A connection is shared by the calls that are under way on it; the last one
// closes it.
using ConnectHandle = std::shared_ptr<virConnect>;
inline ConnectHandle OwnConnect(virConnectPtr connect) {
  return {connect, [](virConnectPtr c) { virConnectClose(c); }};
}

}  // namespace vmattest::hypervisor

#endif  // VMATTEST_HYPERVISOR_LIBVIRT_HANDLES_H_
