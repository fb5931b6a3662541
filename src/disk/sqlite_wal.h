#ifndef VMATTEST_DISK_SQLITE_WAL_H_
#define VMATTEST_DISK_SQLITE_WAL_H_

#include "base/bytes.h"

namespace vmattest::disk {

// Brings a SQLite database to what its write-ahead log says, up to the last
// commit that is whole (sqlite.org/fileformat2.html, section 4), and marks it
// as one that has no log, so that it can be opened in memory. A log that is
// empty or of an older generation changes nothing. Pure.
//   DATA_LOSS: no SQLite database. RESOURCE_EXHAUSTED: it would become larger
//   than `max_size`.
absl::Status ApplyWal(ByteView wal, size_t max_size, Bytes& database);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_SQLITE_WAL_H_
