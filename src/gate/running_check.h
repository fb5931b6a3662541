#ifndef VMATTEST_GATE_RUNNING_CHECK_H_
#define VMATTEST_GATE_RUNNING_CHECK_H_

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

// Compares QEMU as the hook saw it, and the files as they are now. Reads files'
// metadata, nothing else. Reason codes: "gate-process" (no such process seen,
// another program, UUID, kernel, initrd or command line), "gate-saved-memory"
// (-incoming or -loadvm that nobody registered), "gate-file-swapped" (another
// file than the measured one is open, or lies at its path), "gate-file-changed"
// (written to since, and not by QEMU).
Verdict CheckRunning(const std::optional<QemuFacts>& qemu,
                     const ExpectedProcess& expected);

}  // namespace vmattest::gate

#endif  // VMATTEST_GATE_RUNNING_CHECK_H_
