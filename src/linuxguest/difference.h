#ifndef VMATTEST_LINUXGUEST_DIFFERENCE_H_
#define VMATTEST_LINUXGUEST_DIFFERENCE_H_

#include <span>
#include <string>
#include <vector>

#include "linuxguest/finding.h"
#include "linuxguest/records.h"

namespace vmattest::linuxguest {

// What changed between two looks at one kernel, or at two boots of it.
struct Difference {
  enum class Kind {
    kExpected,  // what running systems do: processes come, modules load
    kData,      // a setting, an identity
    kCode,      // what runs: tables of handlers, text
  };
  std::string name;    // of the record: "process/7", field by field below
  std::string before;  // empty: it was not there
  std::string after;   // empty: it is gone
  Kind kind = Kind::kData;
  Severity severity = Severity::kInfo;
  std::vector<std::string> fields;  // of a process: those that differ
};

// By name; both must be sorted by name, as InspectKernel leaves them.
//   critical  a handler of a system call or interrupt; a process of the same
//             pid, program and parent that has become root or gained
//             capabilities
//   high      a helper that the kernel starts; a descriptor; a module hidden
//   medium    a module of another size under the same name
//   info      processes and modules that came or went
std::vector<Difference> CompareRecords(std::span<const Record> before,
                                       std::span<const Record> after);

std::string_view KindName(Difference::Kind kind);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_DIFFERENCE_H_
