#ifndef VMATTEST_HOOK_QEMU_FACTS_H_
#define VMATTEST_HOOK_QEMU_FACTS_H_

#include <filesystem>
#include <string>

#include "base/status.h"
#include "gate/protocol/messages.h"

namespace vmattest::hook {

// The QEMU that libvirt started for `domain`, as /proc shows it: program,
// arguments, and which files it has open (rule S13). `run_dir` holds libvirt's
// pid files. Read here and not by the daemon, because the hook runs beside
// libvirtd, with its rights and in its namespaces. Names and paths may be
// hostile; sizes are bounded.
//   NOT_FOUND: no pid file, or no such process. Else as the kernel says.
absl::StatusOr<gate::QemuFacts> GatherQemuFacts(
    const std::filesystem::path& run_dir, const std::string& domain);

}  // namespace vmattest::hook

#endif  // VMATTEST_HOOK_QEMU_FACTS_H_
