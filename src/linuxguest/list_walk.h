#ifndef VMATTEST_LINUXGUEST_LIST_WALK_H_
#define VMATTEST_LINUXGUEST_LIST_WALK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "linuxguest/kernel.h"

namespace vmattest::linuxguest {

// The entries of a struct list_head, its head not among them.
struct ListEntries {
  std::vector<uint64_t> addresses;  // of the list_heads
  std::string problem;  // why the list ended early: a loop, a wild pointer, an
                        // entry that does not point back, `most`; else empty
};
absl::StatusOr<ListEntries> WalkList(VirtualReader& reader, uint64_t head,
                                     size_t most);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_LIST_WALK_H_
