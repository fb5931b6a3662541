#ifndef VMATTEST_BASELINE_CROSS_VIEW_H_
#define VMATTEST_BASELINE_CROSS_VIEW_H_

#include <optional>
#include <string>
#include <vector>

#include "baseline/difference.h"
#include "baseline/guest_report.h"

// What a guest's memory says against what else is known of it
// (docs/memory.md#cross-view). Contradictions are critical. Pure.

namespace vmattest::baseline {

// The record "kernel/cmdline" against `os/cmdline` of the VM's attested
// configuration: "cross-view-cmdline". What a boot loader puts in front
// ("BOOT_IMAGE=...") does not contradict.
std::optional<Difference> CompareConfigured(
    const std::vector<evidence::StateRecord>& records,
    const std::string& cmdline);

// What a snapshot says that a guest may be asked about, too.
struct MemoryLook {
  std::string vm_uuid;
  std::string run;     // StateStatement.run
  DigestBytes digest;  // SHA-256 of the statement's bytes
  Bytes nonce;
  std::vector<evidence::StateRecord> records;  // by name
  std::optional<evidence::Boot> boot;          // StateStatement.boot
};
// `payload`: the statement's bytes.
MemoryLook LookOf(ByteView payload, const evidence::StateStatement& statement,
                  std::vector<evidence::StateRecord> records);

// A report and the snapshots before and after it. What both snapshots have was
// there when the guest was asked, so the report must have it: a module, a task
// by pid and name, the kernel's release and command line. With `earlier`, the
// report before `before`, also the other way: what both reports have must be in
// the snapshot between them (and, where it is not, not in `after` either).
// Whatever came or went meanwhile is in one of two and contradicts nothing.
//   "cross-view-modules", "cross-view-tasks", "cross-view-kernel-release",
//   "cross-view-cmdline"
//   "cross-view-order"  of severity info: they do not follow one another, and
//                       nothing was compared
// They follow one another if each report names the statement of the snapshot
// before it, and each snapshot answers the nonce that is made of the report
// before it.
struct Chain {
  const GuestReport* earlier = nullptr;  // may be absent
  const MemoryLook& before;
  const GuestReport& report;
  const MemoryLook& after;
};
std::vector<Difference> CompareReport(const Chain& chain);

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_CROSS_VIEW_H_
