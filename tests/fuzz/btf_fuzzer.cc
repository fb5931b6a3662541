// BTF, as a guest's kernel holds it.

#include "linuxguest/btf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmattest;
  const absl::StatusOr<linuxguest::Btf> btf =
      linuxguest::Btf::Parse(Bytes(data, data + size));
  if (!btf.ok()) {
    return 0;
  }
  for (const char* structure : {"module", "task_struct", "cred", "s"}) {
    (void)btf->Size(structure);
    for (const char* member : {"list", "core_layout.base", "euid.val", "m.m"}) {
      (void)btf->Member(structure, member);
    }
  }
  (void)btf->Enumerator("MOD_TEXT");
  return 0;
}
