#include "gate/file_leases.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>

#include "gmock/gmock.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FileLeasesTest : public ::testing::Test {
 protected:
  void Broken(const std::string& vm) {
    {
      const MutexLock lock(mutex_);
      broken_.push_back(vm);
    }
    changed_.NotifyAll();
  }
  bool Await(size_t count) {
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(20);
    const MutexLock lock(mutex_);
    while (broken_.size() < count) {
      if (!changed_.WaitUntil(mutex_, end)) {
        return false;
      }
    }
    return true;
  }
  // As any writer does it: it waits until the lease is given up.
  static bool OpensForWriting(const std::filesystem::path& path) {
    return UniqueFd(open(path.c_str(), O_WRONLY | O_CLOEXEC)).valid();
  }

  testing::TempDir dir_;
  const std::filesystem::path kernel_ = dir_.Write("kernel", "k");
  const std::filesystem::path initrd_ = dir_.Write("initrd", "i");
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> broken_ GUARDED_BY(mutex_);
  FileLeases leases_{[this](const std::string& vm) { Broken(vm); }};
};

TEST_F(FileLeasesTest, AWriterIsNamedAndNotHeldUp) {
  leases_.Take("web", {kernel_, initrd_});
  EXPECT_THAT(leases_.Broken("web"), IsEmpty());
  EXPECT_THAT(leases_.Unleased("web"), IsEmpty());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(OpensForWriting(kernel_));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  ASSERT_TRUE(Await(1));
  EXPECT_THAT(leases_.Broken("web"), ElementsAre(kernel_.string()));
}

// libvirt opens files so, to lock them while it changes their owners.
TEST_F(FileLeasesTest, ABrokenOneCanBeHadAgainAndBreaksAgain) {
  leases_.Take("web", {kernel_});
  for (int i = 0; i < 3; ++i) {
    {
      const UniqueFd writer(open(kernel_.c_str(), O_RDWR | O_CLOEXEC));
      ASSERT_EQ(leases_.Broken("web").size(), 1U);
      const auto seen = leases_.Renew("web", kernel_);
      ASSERT_TRUE(seen.has_value());
      EXPECT_FALSE(seen->held);
    }
    const auto seen = leases_.Renew("web", kernel_);
    ASSERT_TRUE(seen.has_value());
    EXPECT_TRUE(seen->held);
    EXPECT_EQ(seen->now, *LookAt(kernel_));
    EXPECT_THAT(leases_.Broken("web"), IsEmpty());
  }
  ASSERT_TRUE(Await(3));
}

TEST_F(FileLeasesTest, WhatIsDroppedIsNotHeldAnyMore) {
  leases_.Take("web", {kernel_, initrd_});
  EXPECT_TRUE(OpensForWriting(kernel_));
  leases_.Drop("web", kernel_);
  EXPECT_THAT(leases_.Broken("web"), IsEmpty());
  EXPECT_EQ(leases_.Renew("web", kernel_), std::nullopt);
  EXPECT_TRUE(leases_.Renew("web", initrd_)->held);
}

TEST_F(FileLeasesTest, TruncatingIsWritingToo) {
  leases_.Take("web", {kernel_});
  EXPECT_EQ(truncate(kernel_.c_str(), 0), 0);
  EXPECT_THAT(leases_.Broken("web"), ElementsAre(kernel_.string()));
}

// What libvirt and QEMU do to it.
TEST_F(FileLeasesTest, ReadingOwnersModesAndNamesBreakNothing) {
  leases_.Take("web", {kernel_});
  const UniqueFd reader(open(kernel_.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(reader.valid());
  if (geteuid() == 0) {
    EXPECT_EQ(chown(kernel_.c_str(), 1, 1), 0);
    EXPECT_EQ(chown(kernel_.c_str(), 0, 0), 0);
  }
  EXPECT_EQ(chmod(kernel_.c_str(), 0600), 0);
  std::filesystem::rename(kernel_, dir_.path() / "other");
  EXPECT_THAT(leases_.Broken("web"), IsEmpty());
}

TEST_F(FileLeasesTest, WhoSharesAFileHearsOfItsWriterToo) {
  leases_.Take("web", {kernel_});
  leases_.Take("mail", {kernel_});
  leases_.Take("other", {initrd_});
  EXPECT_TRUE(OpensForWriting(kernel_));
  ASSERT_TRUE(Await(2));
  EXPECT_THAT(leases_.Broken("web"), ElementsAre(kernel_.string()));
  EXPECT_THAT(leases_.Broken("mail"), ElementsAre(kernel_.string()));
  EXPECT_THAT(leases_.Broken("other"), IsEmpty());
}

TEST_F(FileLeasesTest, ALeaseCanBeHadAgainOnceTheWriterIsGone) {
  leases_.Take("web", {kernel_});
  {
    const UniqueFd writer(open(kernel_.c_str(), O_WRONLY | O_CLOEXEC));
    leases_.Take("mail", {kernel_});
    EXPECT_THAT(leases_.Unleased("mail"),
                ElementsAre(HasSubstr("open for writing")));
  }
  EXPECT_TRUE(leases_.Renew("mail", kernel_)->held);
  EXPECT_THAT(leases_.Unleased("mail"), IsEmpty());
  EXPECT_THAT(leases_.Broken("mail"), IsEmpty());
  EXPECT_TRUE(OpensForWriting(kernel_));
  EXPECT_THAT(leases_.Broken("mail"), ElementsAre(kernel_.string()));
}

TEST_F(FileLeasesTest, WhatIsReleasedIsNobodysMatter) {
  leases_.Take("web", {kernel_});
  leases_.Take("mail", {kernel_});
  leases_.Release("web");
  EXPECT_TRUE(OpensForWriting(kernel_));
  ASSERT_TRUE(Await(1));
  EXPECT_THAT(leases_.Broken("web"), IsEmpty());
  EXPECT_THAT(leases_.Broken("mail"), ElementsAre(kernel_.string()));
}

TEST_F(FileLeasesTest, WhatCannotBeHeldIsSaid) {
  ASSERT_EQ(mkfifo((dir_.path() / "fifo").c_str(), 0600), 0);
  leases_.Take("web", {dir_.path() / "fifo", dir_.path() / "absent"});
  EXPECT_THAT(leases_.Unleased("web"),
              ElementsAre(HasSubstr("absent (No such file"),
                          HasSubstr("fifo (no regular file)")));
}

TEST_F(FileLeasesTest, ManyBreaksAtOnceAreAllTold) {
  std::vector<std::string> paths;
  for (int i = 0; i < 200; ++i) {
    paths.push_back(dir_.Write("f" + std::to_string(i), "x"));
  }
  leases_.Take("web", paths);
  for (const std::string& path : paths) {
    EXPECT_TRUE(OpensForWriting(path));
  }
  EXPECT_EQ(leases_.Broken("web").size(), paths.size());
}

}  // namespace
}  // namespace vmattest::gate
