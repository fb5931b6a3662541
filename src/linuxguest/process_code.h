#ifndef VMATTEST_LINUXGUEST_PROCESS_CODE_H_
#define VMATTEST_LINUXGUEST_PROCESS_CODE_H_

#include "linuxguest/finding.h"
#include "linuxguest/processes.h"

namespace vmattest::linuxguest {

// What no program does to its own code:
//   process-code-modified  high    a page of a file's executable mapping is a
//                                  private copy: somebody wrote to it (a
//                                  debugger does, so does code injection)
//   process-code-writable  medium  a mapping that is writable and executable
//                                  (some just-in-time compilers)
// and guest-structures-inconsistent. Without the kernel's array of struct page
// only the second is looked for.
absl::StatusOr<Findings> CheckProcessCode(Kernel& kernel,
                                          const Processes& processes);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_PROCESS_CODE_H_
