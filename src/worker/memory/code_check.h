#ifndef VMATTEST_WORKER_MEMORY_CODE_CHECK_H_
#define VMATTEST_WORKER_MEMORY_CODE_CHECK_H_

#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "linuxguest/finding.h"
#include "linuxguest/kernel.h"
#include "linuxguest/modules.h"
#include "linuxguest/records.h"

namespace vmattest::worker {

// What a guest's code came from, or why that is not here.
struct CodeFiles {
  absl::StatusOr<Bytes> kernel;
  std::map<std::string, absl::StatusOr<Bytes>>
      modules;       // as the guest has them; compressed or not
  Bytes system_map;  // empty: there is none
};

// The text of the kernel and of its modules against their files.
struct CodeCheck {
  Bytes hash;         // linuxguest::CodeHash; empty: not the kernel's
  std::string state;  // "measured", "kernel: ..." or "unavailable: WHY"
  linuxguest::Findings findings;
  // "code/kernel", "code/rodata" (linuxguest/rodata_check.h),
  // "code/module/NAME": the hash of each in hex, or "unavailable: WHY". Modules
  // that come or go at this moment have none. "code/module/NAME/rodata", where
  // there is a hash of its code.
  // "code/symbols", if there is a System.map: whether they are as it says.
  std::vector<linuxguest::Record> records;
};

// What the guest or the files make impossible is said; UNAVAILABLE: the guest
// is gone. One thread.
absl::StatusOr<CodeCheck> CheckCode(linuxguest::Kernel& kernel,
                                    const linuxguest::Modules& modules,
                                    const CodeFiles& files);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_MEMORY_CODE_CHECK_H_
