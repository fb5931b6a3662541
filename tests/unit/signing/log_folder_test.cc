#include "signing/log_folder.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::signing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

class DiskLogFolderTest : public ::testing::Test {
 protected:
  testing::TempDir dir_;
  DiskLogFolder folder_{dir_.path() / "eventlog"};
  const std::string name_ = LogFileName(1);
};

TEST_F(DiskLogFolderTest, IsEmptyBeforeItIsMade) {
  EXPECT_THAT(folder_.List().value(), IsEmpty());
}

TEST_F(DiskLogFolderTest, ListsLogFilesInTheOrderOfTheirRecords) {
  for (const uint64_t first : {20U, 3U, 100U}) {
    ASSERT_THAT(folder_.Write(LogFileName(first), 0, Bytes(1)), IsOk());
  }
  ASSERT_THAT(folder_.KeepAside(name_ + ".5.torn", Bytes(3)), IsOk());
  EXPECT_THAT(folder_.List().value(),
              ElementsAre(LogFileName(3), LogFileName(20), LogFileName(100)));
}

TEST_F(DiskLogFolderTest, WritesWhereItIsToldAndCutsOff) {
  ASSERT_THAT(folder_.Write(name_, 0, ToBytes("one")), IsOk());
  ASSERT_THAT(folder_.Write(name_, 3, ToBytes("two")), IsOk());
  EXPECT_EQ(folder_.Read(name_).value(), ToBytes("onetwo"));
  ASSERT_THAT(folder_.Truncate(name_, 3), IsOk());
  EXPECT_EQ(folder_.Read(name_).value(), ToBytes("one"));
  struct stat info = {};
  ASSERT_EQ(stat((dir_.path() / "eventlog" / name_).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0007U, 0U);
  ASSERT_THAT(folder_.Remove(name_), IsOk());
  EXPECT_THAT(folder_.List().value(), IsEmpty());
  EXPECT_THAT(folder_.Remove(name_), IsOk());
}

// The kernel itself says that there is no more room.
TEST_F(DiskLogFolderTest, NoRoomIsResourceExhausted) {
  ASSERT_THAT(folder_.Write(name_, 0, Bytes(1000, 1)), IsOk());
  struct rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const struct rlimit limit = {.rlim_cur = 1500, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status full = folder_.Write(name_, 1000, Bytes(1000, 2));
  EXPECT_THAT(folder_.Truncate(name_, 1000), IsOk());
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(folder_.Read(name_).value(), Bytes(1000, 1));
}

}  // namespace
}  // namespace vmattest::signing
