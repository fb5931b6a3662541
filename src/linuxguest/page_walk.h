#ifndef VMATTEST_LINUXGUEST_PAGE_WALK_H_
#define VMATTEST_LINUXGUEST_PAGE_WALK_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "linuxguest/physical_reader.h"

namespace vmattest::linuxguest {

// x86-64 paging (Intel SDM volume 3, chapter 4): 4 or 5 levels, pages of 4 KiB,
// 2 MiB and 1 GiB. Protection keys and the accessed and dirty bits are ignored.
struct Paging {
  uint64_t root = 0;  // physical address of the top table
  int levels = 4;
};

// What a processor's CR3 and CR4 say: process-context id and flags masked.
Paging PagingOf(uint64_t cr3, uint64_t cr4);

struct Access {
  bool writable = false;
  bool executable = false;
  bool user = false;
  friend bool operator==(const Access&, const Access&) = default;
};

// Virtual addresses that lead to one run of physical ones.
struct Mapping {
  uint64_t address = 0;
  uint64_t physical = 0;
  uint64_t size = 0;
  Access access;
  friend bool operator==(const Mapping&, const Mapping&) = default;
};

// The page that holds `address`. NOT_FOUND: none. DATA_LOSS: an entry with
// reserved bits, or a table that is not in RAM. A page need not be in RAM.
absl::StatusOr<Mapping> Translate(PhysicalReader& reader, const Paging& paging,
                                  uint64_t address);

// What is odd in page tables: facts, and the walk goes on.
struct WalkFacts {
  std::vector<std::string> problems;  // at most Limits::problems
  uint64_t problem_count = 0;
  uint64_t tables = 0;
  bool complete = true;  // false: Limits::page_tables were not enough
};

// Calls `sink` with each executable mapping of [begin, end], and with each
// writable one that leads into `watched` (which rise and do not overlap),
// lowest first, runs that continue each other in one. A table below which there
// is none is looked at once for each kind of access, however many entries point
// to it.
absl::StatusOr<WalkFacts> WalkCode(
    PhysicalReader& reader, const Paging& paging, uint64_t begin, uint64_t end,
    std::span<const memory::AddressRange> watched,
    const std::function<absl::Status(const Mapping&)>& sink);

// The same, with nothing watched.
absl::StatusOr<WalkFacts> WalkExecutable(
    PhysicalReader& reader, const Paging& paging, uint64_t begin, uint64_t end,
    const std::function<absl::Status(const Mapping&)>& sink);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_PAGE_WALK_H_
