#ifndef VMATTEST_BASELINE_RECORD_DIFFERENCE_H_
#define VMATTEST_BASELINE_RECORD_DIFFERENCE_H_

#include <span>
#include <string>
#include <vector>

#include "evidence/statement.h"
#include "snapshot/policy.h"

namespace vmattest::baseline {

// What changed between two looks at one kernel, or at two boots of it.
struct RecordDifference {
  enum class Kind {
    kExpected,    // what running systems do: processes come, modules load
    kData,        // a setting, an identity
    kCode,        // what runs: tables of handlers, text
    kUnmeasured,  // code without its file, registers that nobody told
  };
  std::string name;    // of the record: "process/7", field by field below
  std::string before;  // empty: it was not there
  std::string after;   // empty: it is gone
  Kind kind = Kind::kData;
  snapshot::Severity severity = snapshot::Severity::kInfo;
  std::vector<std::string> fields;  // of a process: those that differ
};

// By name; both must be sorted by name, as a snapshot has them. Pure.
//   critical  a handler of a system call or interrupt; a register that leads to
//             one; other code of the kernel or a module; a process that, with
//             the same program and parent, has become root or gained
//             capabilities
//   high      code of which a hash was known and is not now; a register that
//             was told and is not now ("cpu": none is); another register; a
//             helper that the kernel starts; a descriptor; a module hidden
//   medium    a module of another size under the same name
//   low       a process that became root as another program, as sudo does
//   info      processes, modules and vCPUs that came or went
// A process is its pid and its start. Where a look did not tell the start, what
// has the same pid is taken for the same process.
std::vector<RecordDifference> CompareRecords(
    std::span<const evidence::StateRecord> before,
    std::span<const evidence::StateRecord> after);

std::string_view KindName(RecordDifference::Kind kind);

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_RECORD_DIFFERENCE_H_
