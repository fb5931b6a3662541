#ifndef VMATTEST_LINUXGUEST_MAPLE_TREE_H_
#define VMATTEST_LINUXGUEST_MAPLE_TREE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "linuxguest/kernel.h"

namespace vmattest::linuxguest {

// What a struct maple_tree holds, by index (Linux lib/maple_tree.c), at most
// `most`; equal neighbours once. `problem` says why it ended early: nodes too
// deep, of no known kind, outside memory.
struct MapleEntries {
  std::vector<uint64_t> entries;
  std::string problem;
};
absl::StatusOr<MapleEntries> ReadMapleTree(Kernel& kernel, uint64_t tree,
                                           size_t most);

}  // namespace vmattest::linuxguest

#endif  // VMATTEST_LINUXGUEST_MAPLE_TREE_H_
