#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/handles.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::Slurp;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

class FileTest : public ::testing::Test {
 protected:
  [[nodiscard]] size_t FilesInFolder() const {
    return static_cast<size_t>(std::distance(
        fs::directory_iterator(dir_.path()), fs::directory_iterator()));
  }
  TempDir dir_;
};

TEST_F(FileTest, ReadsUpToTheLimit) {
  const fs::path path = dir_.Write("file", std::string(100'000, 'x'));
  EXPECT_EQ(ReadFile(path, 100'000).value().size(), 100'000u);
  EXPECT_THAT(
      ReadFile(path, 99'999),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(path.string())));
  EXPECT_TRUE(ReadFile(dir_.Write("empty", ""), 0).value().empty());
}

TEST_F(FileTest, ReadsOnlyRegularFiles) {
  EXPECT_THAT(ReadFile(dir_.path() / "none", 10),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  EXPECT_THAT(ReadFile(dir_.path(), 10),
              StatusIs(absl::StatusCode::kInvalidArgument));
  const fs::path fifo = dir_.path() / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(ReadFile(fifo, 10), StatusIs(absl::StatusCode::kInvalidArgument,
                                           HasSubstr("not a regular file")));
  EXPECT_THAT(ReadFile("/dev/zero", 10),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FileTest, WritesAtomicallyAndLeavesNothingElse) {
  const fs::path path = dir_.path() / "file";
  ASSERT_THAT(WriteFileAtomic(path, AsBytes("old")), IsOk());
  ASSERT_THAT(WriteFileAtomic(path, AsBytes("new"), 0600), IsOk());
  EXPECT_EQ(Slurp(path), "new");
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(FileTest, WhatIsForThisBootIsReplacedAsWell) {
  const fs::path path = dir_.Write("file", "old");
  fs::create_hard_link(path, dir_.path() / "link");
  ASSERT_THAT(WriteFileForThisBoot(path, AsBytes("new"), 0600), IsOk());
  EXPECT_EQ(Slurp(path), "new");
  EXPECT_EQ(Slurp(dir_.path() / "link"), "old");
  EXPECT_EQ(FilesInFolder(), 2u);
  struct stat info = {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(FileTest, ReplacesInsteadOfWritingInPlace) {
  const fs::path path = dir_.Write("file", "old");
  fs::create_hard_link(path, dir_.path() / "link");
  ASSERT_THAT(WriteFileAtomic(path, AsBytes("new")), IsOk());
  EXPECT_EQ(Slurp(dir_.path() / "link"), "old");
}

TEST_F(FileTest, CleansUpWhenItCannotReplace) {
  const fs::path path = dir_.path() / "folder";
  fs::create_directories(path / "inside");
  EXPECT_FALSE(WriteFileAtomic(path, AsBytes("new")).ok());
  EXPECT_EQ(FilesInFolder(), 1u);
  EXPECT_THAT(WriteFileAtomic(dir_.path() / "no/such/folder", {}),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(UniqueFd, ClosesOnceAndMoves) {
  int raw = -1;
  {
    UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = fd.get();
    UniqueFd moved(std::move(fd));
    EXPECT_FALSE(fd.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(moved.get(), raw);
    EXPECT_NE(fcntl(raw, F_GETFD), -1);
  }
  EXPECT_EQ(fcntl(raw, F_GETFD), -1);
}

}  // namespace
}  // namespace vmattest
