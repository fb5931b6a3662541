// Partition tables: bytes that the guest wrote at its disk's ends.

#include "disk/partition_table.h"

#include <cstdlib>
#include <set>

#include "fakes/memory_block_source.h"
#include "fuzz/sparse_image.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  vmattest::testing::MemoryBlockSource disk(
      vmattest::fuzz::ExpandImage({data, size}));
  const auto table = vmattest::disk::ReadPartitionTable(disk);
  if (!table.ok() || table->partitions.size() > 1024) {
    std::abort();
  }
  std::set<uint32_t> numbers;
  for (const auto& partition : table->partitions) {
    if (!numbers.insert(partition.number).second ||
        (partition.inside &&
         (partition.begin > disk.size() ||
          partition.size > disk.size() - partition.begin))) {
      std::abort();
    }
  }
  return 0;
}
