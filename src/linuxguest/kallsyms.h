#ifndef VMATTEST_LINUXGUEST_KALLSYMS_H_
#define VMATTEST_LINUXGUEST_KALLSYMS_H_

#include "linuxguest/symbol_table.h"
#include "linuxguest/virtual_reader.h"
#include "linuxguest/vmcoreinfo.h"

namespace vmattest::linuxguest {

// The kernel's own symbols from its compressed tables (scripts/kallsyms.c),
// wherever VMCOREINFO says that they are: the tables' order changed in Linux
// 6.4, the meaning of an offset in 6.15; the latter is told from _stext.
// DATA_LOSS: they are no such tables, or put _stext elsewhere than `info`.
absl::StatusOr<SymbolTable> ReadKallsyms(VirtualReader& reader,
                                         const VmcoreInfo& info);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_KALLSYMS_H_
