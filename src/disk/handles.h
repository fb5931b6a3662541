#ifndef VMATTEST_DISK_HANDLES_H_
#define VMATTEST_DISK_HANDLES_H_

#include <ext2fs/ext2fs.h>
#include <libnbd.h>
#include <rpm/header.h>
#include <rpm/rpmtd.h>
#include <sqlite3.h>
#include <tsk/libtsk.h>

#include <memory>

#include "base/handles.h"

// The C libraries' objects as handles that free themselves.

namespace vmattest::disk {

using NbdHandle = std::unique_ptr<nbd_handle, Closer<nbd_close>>;
using ExtFilesystemHandle =
    std::unique_ptr<struct_ext2_filsys, Closer<ext2fs_free>>;
using ExtExtentHandle =
    std::unique_ptr<ext2_extent_handle, Closer<ext2fs_extent_free>>;
using TskImageHandle = std::unique_ptr<TSK_IMG_INFO, Closer<tsk_img_close>>;
using TskFilesystemHandle = std::unique_ptr<TSK_FS_INFO, Closer<tsk_fs_close>>;
using TskFileHandle = std::unique_ptr<TSK_FS_FILE, Closer<tsk_fs_file_close>>;
using TskFolderHandle = std::unique_ptr<TSK_FS_DIR, Closer<tsk_fs_dir_close>>;
using SqliteHandle = std::unique_ptr<sqlite3, Closer<sqlite3_close>>;
using StatementHandle = std::unique_ptr<sqlite3_stmt, Closer<sqlite3_finalize>>;
using RpmHeaderHandle =
    std::unique_ptr<std::remove_pointer_t<Header>, Closer<headerFree>>;

}  // namespace vmattest::disk

#endif  // VMATTEST_DISK_HANDLES_H_
