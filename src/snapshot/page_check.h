#ifndef VMATTEST_SNAPSHOT_PAGE_CHECK_H_
#define VMATTEST_SNAPSHOT_PAGE_CHECK_H_

#include <string>
#include <vector>

#include "evidence/statement.h"

namespace vmattest::snapshot {

// Whether `pages` are those that `statement` commits to: every region's root,
// selection and number of pages, the places of its parts, and the root of the
// records. What is not, one sentence each, by name; none: they are. The
// statement's own signature is somebody else's to check. Pure; any thread.
std::vector<std::string> CheckPages(const evidence::StateStatement& statement,
                                    const evidence::SnapshotPages& pages);

}  // namespace vmattest::snapshot

#endif  // VMATTEST_SNAPSHOT_PAGE_CHECK_H_
