#ifndef VMATTEST_MEASUREMENT_DOMAIN_MEMORY_H_
#define VMATTEST_MEASUREMENT_DOMAIN_MEMORY_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "memory/domain_memory.h"

namespace vmattest::measurement {

// What the live XML of a running domain says about its memory.
// INVALID_ARGUMENT: no domain's XML, or a size or address that is none, by
// line. Pure; any thread.
absl::StatusOr<memory::DomainMemory> ParseDomainMemory(
    std::string_view live_xml);

// The kernel that libvirt hands to the guest (<os><kernel>): a path; empty: the
// guest boots from elsewhere, or it is no domain's XML.
std::string DirectBootKernel(std::string_view live_xml);

}  // namespace vmattest::measurement

#endif  // VMATTEST_MEASUREMENT_DOMAIN_MEMORY_H_
