#include "sqlite/local_file_system.h"

#include <linux/magic.h>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::sqlite {
namespace {

using ::testing::StrEq;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

TEST(LocalFileSystem, NetworksAndFuseAreRefusedByTheirKernelsNumbers) {
  EXPECT_THAT(RefusedFileSystem(NFS_SUPER_MAGIC), StrEq("NFS"));
  EXPECT_THAT(RefusedFileSystem(V9FS_MAGIC), StrEq("9p"));
  EXPECT_THAT(RefusedFileSystem(FUSE_SUPER_MAGIC), StrEq("FUSE"));
  EXPECT_THAT(RefusedFileSystem(CEPH_SUPER_MAGIC), StrEq("Ceph"));
  EXPECT_THAT(RefusedFileSystem(OCFS2_SUPER_MAGIC), StrEq("OCFS2"));
  // f_type is signed: as a word with its highest bit set arrives.
  EXPECT_THAT(RefusedFileSystem(static_cast<uint64_t>(
                  static_cast<int32_t>(CIFS_SUPER_MAGIC))),
              StrEq("SMB"));
}

TEST(LocalFileSystem, LocalOnesAreNot) {
  for (const uint64_t type :
       {uint64_t{EXT4_SUPER_MAGIC}, uint64_t{XFS_SUPER_MAGIC},
        uint64_t{BTRFS_SUPER_MAGIC}, uint64_t{TMPFS_MAGIC},
        uint64_t{OVERLAYFS_SUPER_MAGIC}}) {
    EXPECT_EQ(RefusedFileSystem(type), nullptr) << type;
  }
  const TempDir dir;
  EXPECT_THAT(RequireLocalFileSystem(dir.path() / "file"), IsOk());
  EXPECT_THAT(RequireLocalFileSystem(dir.path() / "none" / "file"),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmattest::sqlite
