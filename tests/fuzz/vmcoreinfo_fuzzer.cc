// The text of a VMCOREINFO note, which anybody in a guest can write.

#include <cstdlib>

#include "base/bytes.h"
#include "linuxguest/vmcoreinfo.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::StatusOr<vmattest::linuxguest::VmcoreInfo> info =
      vmattest::linuxguest::ParseVmcoreInfo(vmattest::AsText({data, size}));
  if (info.ok() && (info->release.empty() || !info->Symbol("_stext"))) {
    std::abort();
  }
  return 0;
}
