#ifndef VMATTEST_BASELINE_PAGE_NAMES_H_
#define VMATTEST_BASELINE_PAGE_NAMES_H_

#include <cstdint>
#include <span>
#include <string>

#include "evidence/statement.h"

namespace vmattest::baseline {

// Where pages of a part begin in it, and in parentheses what they hold, as far
// as the part has symbols:
//   "+0x3000 (do_syscall_64+0x40, ksys_read), +0x9000 (vfs_read), ..."
// Without symbols the first page alone: "+0x3000". For people; bounded in
// length whatever the names are. Pure; any thread.
inline constexpr size_t kMostPagesNamed = 3;
std::string NamePages(const evidence::SnapshotPages::Part& part,
                      uint32_t page_bytes, std::span<const uint64_t> pages);

}  // namespace vmattest::baseline

#endif  // VMATTEST_BASELINE_PAGE_NAMES_H_
