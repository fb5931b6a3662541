#include "gate/disk_continuity.h"

#include "base/file.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "image/digest_cache.h"
#include "image/file_digester.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

constexpr char kWeb[] = "a045410c-221a-45fb-b0ef-341be7ce6025";

// Real files, and lets a reading be held up.
class GatedDigester final : public image::ContentDigester {
 public:
  explicit GatedDigester(image::ContentDigester& inner) : inner_(inner) {}
  absl::StatusOr<image::ContentDigest> Digest(const Request& request) override {
    if (before) {
      before(request);
    }
    return inner_.Digest(request);
  }
  std::function<void(const Request&)> before;

 private:
  image::ContentDigester& inner_;
};

class DiskContinuityTest : public ::testing::Test {
 protected:
  std::string Xml(const std::string& more = "") const {
    return fmt::format(
        "<domain type='kvm'><name>web</name><uuid>{0}</uuid><memory>1</memory>"
        "<os><type>hvm</type></os><devices>"
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
        "<source file='{1}/disk'/><target dev='vda'/></disk>"
        "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>"
        "<source file='{1}/cd'/><target dev='sda'/><readonly/></disk>"
        "{2}</devices></domain>",
        kWeb, dir_.path().string(), more);
  }
  MonotonicTime Soon() const {
    return clock_.Monotonic() + std::chrono::seconds(30);
  }
  void Run(const std::string& xml) {
    ASSERT_THAT(disks_->Launched(kWeb, xml, HashAlgorithm::kSha256), IsOk());
  }
  void RunAndStop(const std::string& content) {
    Run(Xml());
    dir_.Write("disk", content);
    disks_->Stopped(kWeb);
  }
  DiskContinuity::Compared Compare(const std::string& xml) {
    const auto compared = disks_->Compare(kWeb, xml, Soon());
    EXPECT_THAT(compared, IsOk());
    return compared.value_or(DiskContinuity::Compared());
  }
  std::vector<std::string> Leaves() {
    std::vector<std::string> leaves;
    for (const auto& difference : Compare(Xml()).differences) {
      leaves.push_back(difference.leaf);
    }
    return leaves;
  }
  std::unique_ptr<DiskContinuity> Make() {
    return std::make_unique<DiskContinuity>(
        dir_.path() / "digests",
        DiskContinuity::Parts{
            .digester = digester_,
            .hashing = nullptr,
            .make_parser = image::MakeDirectHeaderParser,
            .clock = clock_,
            .note = [this](const std::string& kind, const auto&) {
              const MutexLock lock(mutex_);
              notes_.push_back(kind);
            }});
  }
  void SetUp() override {
    dir_.Write("disk", "first");
    dir_.Write("cd", "medium");
  }

  SystemClock clock_;
  testing::TempDir dir_;
  ThreadPool hashing_{"hashing", 1, 16};
  image::DigestCache cache_{clock_, {}};
  image::FileDigester files_{clock_, hashing_, cache_, 1};
  GatedDigester digester_{files_};
  Mutex mutex_;
  std::vector<std::string> notes_;
  std::unique_ptr<DiskContinuity> disks_ = Make();
};

TEST_F(DiskContinuityTest, ADiskAsItWasAtTheStopIsNoDifference) {
  RunAndStop("written by the guest");
  const DiskContinuity::Compared compared = Compare(Xml());
  EXPECT_TRUE(compared.recorded) << compared.why;
  EXPECT_TRUE(compared.differences.empty());
  EXPECT_THAT(notes_, ElementsAre("disk-digests"));
}

TEST_F(DiskContinuityTest, ChangedBytesAndAnOldDiskPutBackAreNamed) {
  RunAndStop("written by the guest");
  EXPECT_THAT(Leaves(), ElementsAre());
  dir_.Write("disk", "written by another");
  EXPECT_THAT(Leaves(), ElementsAre("disk[vda]/chain[0]/content"));
  dir_.Write("disk", "first");
  EXPECT_THAT(Leaves(), ElementsAre("disk[vda]/chain[0]/content"));
  dir_.Write("disk", "written by the guest");
  EXPECT_THAT(Leaves(), ElementsAre());
}

TEST_F(DiskContinuityTest, WhatTheGuestCannotWriteToIsLeftToTheReference) {
  RunAndStop("written by the guest");
  EXPECT_THAT(Leaves(), ElementsAre());
  dir_.Write("cd", "another medium");
  EXPECT_THAT(Leaves(), ElementsAre());
}

TEST_F(DiskContinuityTest, BeforeTheFirstStopThereIsNoRecord) {
  DiskContinuity::Compared compared = Compare(Xml());
  EXPECT_FALSE(compared.recorded);
  EXPECT_THAT(compared.why, HasSubstr("never seen to stop"));
  Run(Xml());
  compared = Compare(Xml());
  EXPECT_FALSE(compared.recorded);
  EXPECT_THAT(compared.why, HasSubstr("was not seen"));
}

TEST_F(DiskContinuityTest, ANewStartTakesTheOldRecordAway) {
  RunAndStop("written by the guest");
  EXPECT_TRUE(Compare(Xml()).recorded);
  Run(Xml());
  EXPECT_FALSE(Compare(Xml()).recorded);
  RunAndStop("written again");
  EXPECT_TRUE(Compare(Xml()).recorded);
  ASSERT_THAT(disks_->LaunchedWithout(kWeb), IsOk());
  EXPECT_FALSE(Compare(Xml()).recorded);
}

TEST_F(DiskContinuityTest, TheNextDaemonKnowsTheRecord) {
  RunAndStop("written by the guest");
  EXPECT_TRUE(Compare(Xml()).recorded);
  disks_.reset();
  disks_ = Make();
  EXPECT_TRUE(Compare(Xml()).recorded);
}

TEST_F(DiskContinuityTest, ADaemonThatEndsWhileItReadsLeavesNoRecord) {
  std::atomic<bool> reading = false;
  digester_.before = [&reading](const auto& request) {
    reading = true;
    while (!request.cancelled()) {
    }
  };
  RunAndStop("written by the guest");
  while (!reading) {
  }
  disks_.reset();
  digester_.before = {};
  disks_ = Make();
  EXPECT_THAT(Compare(Xml()).why, HasSubstr("was not seen"));
  EXPECT_THAT(notes_, ElementsAre("disk-digests-missed"));
}

TEST_F(DiskContinuityTest, AStartWaitsForTheReadingAndAnotherRunEndsIt) {
  std::atomic<bool> go = false;
  digester_.before = [&go](const auto&) {
    while (!go) {
    }
  };
  RunAndStop("written by the guest");
  EXPECT_THAT(disks_->Compare(kWeb, Xml(), clock_.Monotonic()),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       HasSubstr("still being read")));
  Run(Xml());  // let in all the same, by a warning
  go = true;
  disks_.reset();
  disks_ = Make();
  EXPECT_FALSE(Compare(Xml()).recorded);
}

TEST_F(DiskContinuityTest, ADiskThatWasNotThereHasNoRecord) {
  RunAndStop("written by the guest");
  dir_.Write("new", "new");
  const DiskContinuity::Compared compared = Compare(Xml(fmt::format(
      "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
      "<source file='{}/new'/><target dev='vdb'/></disk>",
      dir_.path().string())));
  EXPECT_FALSE(compared.recorded);
  EXPECT_THAT(compared.why, HasSubstr("disk[vdb]"));
}

TEST_F(DiskContinuityTest, ADiskThatCannotBeReadIsSaidAtTheStop) {
  Run(Xml());
  std::filesystem::remove(dir_.path() / "disk");
  disks_->Stopped(kWeb);
  EXPECT_THAT(disks_->Compare(kWeb, Xml(), Soon())->why,
              HasSubstr("could not be read"));
  EXPECT_THAT(notes_, ElementsAre("disk-digests-missed"));
}

}  // namespace
}  // namespace vmattest::gate
