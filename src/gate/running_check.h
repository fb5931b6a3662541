#ifndef VMATTEST_GATE_RUNNING_CHECK_H_
#define VMATTEST_GATE_RUNNING_CHECK_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gate/protocol/messages.h"
#include "gate/recording_digester.h"
#include "vmattest/types/config_leaf.h"
#include "vmattest/types/verdict.h"

// Whether what runs is what was measured (rules S12, S13).

namespace vmattest::gate {

struct ExpectedProcess {
  std::string vm_uuid;
  std::vector<ConfigLeaf> leaves;  // of the configuration that was approved
  MeasuredFiles files;             // as they were at `start`
  bool incoming = false;           // a migration to here was let in
};

// Whether a file's content is what was measured; reads all of it.
using Reread =
    std::function<bool(const std::string& path, const MeasuredFile& measured)>;

// Compares QEMU as the hook saw it, and the files as they are now. libvirt
// changes owners and labels between `start` and QEMU's beginning: a file of
// which only that can be told (ctime) is read again. Reason codes:
// "gate-process" (no such process seen, another program, UUID, kernel, initrd
// or command line), "gate-saved-memory"
// (-incoming or -loadvm that nobody registered), "gate-file-swapped" (another
// file than the measured one is open, or lies at its path), "gate-file-changed"
// (written to since, and not by QEMU).
Verdict CheckRunning(const std::optional<QemuFacts>& qemu,
                     const ExpectedProcess& expected, const Reread& reread);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_RUNNING_CHECK_H_
