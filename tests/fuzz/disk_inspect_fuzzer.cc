// Whole disks: tables, ext4 through libext2fs, FAT through libtsk, and what
// they lead to. Whatever a guest writes, there is a report.

#include <cstdlib>
#include <set>

#include "disk/inspect.h"
#include "fakes/memory_block_source.h"
#include "fuzz/sparse_image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool prepared = [] {
    vmattest::disk::Prepare();
    return true;
  }();
  static_cast<void>(prepared);
  vmattest::testing::MemoryBlockSource disk(
      vmattest::fuzz::ExpandImage({data, size}));
  vmattest::disk::InspectOptions options;
  options.limits.read_bytes = uint64_t{64} << 20;
  const auto report = vmattest::disk::Inspect(disk, options, nullptr);
  if (!report.ok()) {
    std::abort();
  }
  std::set<std::string> paths;
  for (const vmattest::ConfigLeaf& leaf : report->leaves) {
    if (!paths.insert(leaf.path).second || leaf.path.empty() ||
        leaf.path.size() > 8192 || leaf.value.size() > 2000) {
      std::abort();
    }
  }
  return 0;
}
