#ifndef VMATTEST_BASELINE_CROSS_VIEW_H_
#define VMATTEST_BASELINE_CROSS_VIEW_H_

#include <optional>
#include <string>
#include <vector>

#include "baseline/difference.h"

namespace vmattest::baseline {

// What else is known of a VM, by a way that its guest does not control. What is
// not known is not compared.
struct OtherView {
  // `os/cmdline` of its attested configuration.
  std::optional<std::string> cmdline;
  // Releases that a kernel may have which is approved for it.
  std::vector<std::string> kernel_releases;
  // What its agent says that /proc/modules has. Nobody fills it in yet: the
  // agent comes later.
  std::optional<std::vector<std::string>> modules;
};

// Contradictions between memory and that view, all critical:
// "cross-view-cmdline", "cross-view-kernel-release", "cross-view-modules".
// `records` have "kernel/cmdline" and "module/NAME". What a boot loader adds in
// front ("BOOT_IMAGE=...") does not contradict. Pure.
std::vector<Difference> CrossView(
    const evidence::StateStatement& statement,
    const std::vector<evidence::StateRecord>& records, const OtherView& view);

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_CROSS_VIEW_H_
