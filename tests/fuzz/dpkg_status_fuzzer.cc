// dpkg's status file and os-release: text that the guest's root writes.

#include <cstdlib>

#include "disk/dpkg.h"
#include "disk/os_release.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = vmattest::AsText({data, size});
  vmattest::disk::ParseOsRelease(text);
  const auto packages = vmattest::disk::ParseDpkgStatus(text);
  if (!packages.ok()) {
    return 0;
  }
  for (const auto& package : *packages) {
    if (package.name.empty() || package.name.size() > size) {
      std::abort();
    }
  }
  return 0;
}
