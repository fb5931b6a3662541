#ifndef VMATTEST_DISK_RPM_DATABASE_H_
#define VMATTEST_DISK_RPM_DATABASE_H_

#include <string>
#include <vector>

#include "disk/dpkg.h"
#include "disk/file_tree.h"

// What rpm knows to be installed: its SQLite database in memory, header blobs
// by librpm. One thread.

namespace vmattest::disk {

// A database file's content with the write-ahead log beside it (may be empty),
// in the order of installation. The version is "EPOCH:VERSION-RELEASE", the
// manifest "header=sha256:HEX" over the header as it was in the package, what
// rpm calls SHA256HEADER; one that its own tag contradicts has
// " recorded=sha256:HEX" behind it.
//   DATA_LOSS: no SQLite database, or a damaged one, or a damaged header.
//   RESOURCE_EXHAUSTED: more than 100,000 packages, or too much work.
absl::StatusOr<std::vector<InstalledPackage>> ParseRpmDatabase(Bytes database,
                                                               ByteView wal);

// Of the database in `folder` ("var/lib/rpm") of `tree`. NOT_FOUND: there is
// none. UNIMPLEMENTED: of another format than SQLite; the message names it.
absl::StatusOr<std::vector<InstalledPackage>> ReadRpmDatabase(
    FileTree& tree, const std::string& folder);

// One header blob of such a database: any blob is allowed.
absl::StatusOr<InstalledPackage> ParseRpmHeader(ByteView blob);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_RPM_DATABASE_H_
