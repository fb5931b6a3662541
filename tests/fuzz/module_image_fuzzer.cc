// Files of modules, compressed or not, linked at the addresses that a small
// kernel gave one; and the same bytes as a System.map of that kernel.

#include <cstdlib>

#include "linuxguest/decompress.h"
#include "linuxguest/module_image.h"
#include "linuxguest/system_map.h"
#include "support/small_kernel.h"

namespace {

using namespace vmattest;

struct Guest {
  testing::SmallKernel small;
  linuxguest::PhysicalReader reader{small.memory(), linuxguest::Limits{}};
  std::unique_ptr<linuxguest::Kernel> kernel =
      std::move(linuxguest::DiscoverKernel(reader)->kernel);
  linuxguest::Modules modules = *linuxguest::ReadModules(*kernel);
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const guest = new Guest;
  const linuxguest::Module& module = guest->modules.modules.at(0);
  constexpr uint64_t kMost = 1 << 20;
  const absl::StatusOr<Bytes> file =
      linuxguest::DecompressModule({data, size}, kMost);
  if (file.ok() && file->size() > kMost) {
    std::abort();
  }
  const absl::StatusOr<linuxguest::LinkedModule> linked =
      linuxguest::LinkModule(*guest->kernel, guest->modules, module,
                             file.ok() ? ByteView(*file) : ByteView());
  if (linked.ok() &&
      linked->file_text.size() != linked->image.Find(".text")->size) {
    std::abort();
  }
  const auto map = linuxguest::SystemMap::Parse(
      {reinterpret_cast<const char*>(data), size}, linuxguest::Limits{});
  if (map.ok()) {
    (void)linuxguest::CheckSymbols(*guest->kernel, *map);
  }
  return 0;
}
