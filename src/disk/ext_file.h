#ifndef VMATTEST_DISK_EXT_FILE_H_
#define VMATTEST_DISK_EXT_FILE_H_

#include <memory>

#include "disk/ext_channel.h"

namespace vmattest::disk {

// The content of inode `number`, already read into `inode`; any kind of inode
// that has blocks. Everything must outlive it. DATA_LOSS: its block map is
// damaged. RESOURCE_EXHAUSTED: it is in more than a million pieces.
absl::StatusOr<std::unique_ptr<BlockSource>> OpenExtFile(
    BlockSource& disk, ExtChannel& channel, ext2_filsys filesystem,
    ext2_ino_t number, const ext2_inode& inode);

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_EXT_FILE_H_
