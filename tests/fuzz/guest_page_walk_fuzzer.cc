// Page tables: the input is RAM from address 0, where the top table is.

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "fakes/array_guest_memory.h"
#include "linuxguest/page_walk.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vmattest;
  using namespace vmattest::linuxguest;
  testing::ArrayGuestMemory memory(32 << 10);
  memory.Write(0, {data, size});
  Limits limits;
  limits.bytes = 2 << 20;
  limits.page_tables = 300;
  const std::vector<vmattest::memory::AddressRange> watched = {
      {0x3000, 0x4000}, {0x6000, 0x200000}};
  for (const int levels : {4, 5}) {
    PhysicalReader reader(memory, limits);
    size_t runs = 0;
    std::optional<Mapping> first;
    const absl::StatusOr<WalkFacts> facts = WalkCode(
        reader, {0, levels}, 0, UINT64_MAX, watched,
        [&](const Mapping& mapping) {
          ++runs;
          first = first ? first : mapping;
          const bool is_watched = std::any_of(
              watched.begin(), watched.end(), [&](const auto& range) {
                return range.begin < mapping.physical + mapping.size &&
                       mapping.physical < range.end;
              });
          if (mapping.size == 0 || (!mapping.access.executable &&
                                    !(mapping.access.writable && is_watched))) {
            std::abort();
          }
          return absl::OkStatus();
        });
    if (facts.ok() && facts->problems.size() > limits.problems) {
      std::abort();
    }
    // Both ways of walking agree.
    if (first) {
      PhysicalReader again(memory, Limits{});
      const absl::StatusOr<Mapping> mapping =
          Translate(again, {0, levels}, first->address);
      if (!mapping.ok() ||
          mapping->physical + (first->address - mapping->address) !=
              first->physical) {
        std::abort();
      }
    }
  }
  return 0;
}
