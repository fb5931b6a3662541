#include "inspection/worker/guestfs_reader.h"

#include <fcntl.h>

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::inspection {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using vmattest::testing::IsOk;
using vmattest::testing::StatusIs;

class GuestfsReaderTest : public ::testing::Test {
 protected:
  GuestfsReaderTest() {
    pool_options_.program = VMATTEST_HOSTILE_WORKER;
    image_.asked.mutable_inspect_disk()->set_size(4096);
    image_.open = [this]() -> absl::StatusOr<UniqueFd> {
      ++opened_;
      return UniqueFd(open("/dev/zero", O_RDONLY | O_CLOEXEC));
    };
  }
  // Of one content, whose title tells the worker what to do.
  absl::Status Complete(const std::string& title) {
    report_.size = 4096;
    report_.leaves = {
        {"partition[1]", LeafType::kUnavailable, title + ": not read"},
        {"partition[1]/filesystem", LeafType::kText, "xfs"},
        {"table", LeafType::kText, "none"}};
    report_.unread = {{"partition[1]", title, 0, 4096}};
    WorkerPool pool(pool_options_);
    if (with_pool_) {
      options_.pool = &pool;
    }
    const absl::Status status = GuestfsReader(options_).Complete(
        image_, request_, std::chrono::steady_clock::now() + limit_, report_);
    EXPECT_THAT(report_.unread, IsEmpty());
    return status;
  }
  [[nodiscard]] std::string Leaf(const std::string& path) const {
    for (const ConfigLeaf& leaf : report_.leaves) {
      if (leaf.path == path) {
        return std::string(ToString(leaf.type)) + " " + leaf.value;
      }
    }
    return "";
  }

  WorkerPoolOptions pool_options_;
  GuestfsOptions options_;
  GuestfsReader::Image image_;
  DiskInspector::Request request_;
  DiskReport report_;
  std::chrono::milliseconds limit_ = std::chrono::seconds(20);
  bool with_pool_ = true;
  int opened_ = 0;
};

TEST_F(GuestfsReaderTest, LeavesReplaceThoseThatCouldNotBeRead) {
  ASSERT_THAT(Complete("started leaf partition[1]/os"), IsOk());
  EXPECT_EQ(Leaf("partition[1]"), "");
  EXPECT_EQ(Leaf("partition[1]/os"), "text xfs, as read");
  EXPECT_EQ(Leaf("partition[1]/filesystem"), "text xfs");
  EXPECT_EQ(Leaf("table"), "text none");
  EXPECT_EQ(opened_, 1);
}

TEST_F(GuestfsReaderTest, WithoutLibguestfsTheLeafSaysSo) {
  with_pool_ = false;
  ASSERT_THAT(Complete("XFS"), IsOk());
  EXPECT_EQ(Leaf("partition[1]"),
            "unavailable XFS: needs libguestfs, which is not installed");
  EXPECT_EQ(opened_, 0);
}

TEST_F(GuestfsReaderTest, AnApplianceThatDoesNotStartIsALeafWithItsReason) {
  ASSERT_THAT(Complete("refuse"), IsOk());
  EXPECT_EQ(Leaf("partition[1]"),
            "unavailable refuse: libguestfs: guestfs_launch failed.");
  ASSERT_THAT(Complete("crash"), IsOk());
  EXPECT_THAT(Leaf("partition[1]"), HasSubstr("killed by SIGABRT"));
  pool_options_.program = "/nonexistent/vmattest-guestfs-worker";
  ASSERT_THAT(Complete("XFS"), IsOk());
  EXPECT_THAT(Leaf("partition[1]"), HasSubstr("/nonexistent/"));
}

TEST_F(GuestfsReaderTest, IsTriedOnceMoreWithoutKvm) {
  ASSERT_THAT(Complete("refuse-kvm"), IsOk());
  EXPECT_EQ(Leaf("partition[1]/filesystem"), "text xfs, as read");
  EXPECT_EQ(opened_, 2);
}

TEST_F(GuestfsReaderTest, AStartThatHangsIsALeafToo) {
  options_.start_limit = std::chrono::milliseconds(100);
  options_.limit = std::chrono::milliseconds(400);
  ASSERT_THAT(Complete("hang"), IsOk());
  EXPECT_EQ(
      Leaf("partition[1]"),
      "unavailable hang: libguestfs: its appliance did not start in time");
  EXPECT_EQ(opened_, 2);
}

TEST_F(GuestfsReaderTest, ReadingThatHangsIsADeadline) {
  options_.force_tcg = true;
  options_.limit = std::chrono::milliseconds(400);
  EXPECT_THAT(Complete("started hang"),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(GuestfsReaderTest, AWorkerThatDiesWhileItReadsIsAnError) {
  EXPECT_THAT(Complete("started crash"),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(GuestfsReaderTest, LeavesOfOtherPartitionsAreRefused) {
  for (const char* const path :
       {"started leaf table", "started leaf partition[12]",
        "started leaf partition[1]x", "started leaf @header"}) {
    EXPECT_THAT(Complete(path), StatusIs(absl::StatusCode::kDataLoss)) << path;
  }
}

TEST_F(GuestfsReaderTest, CancelledIsCancelled) {
  request_.cancelled = [] { return true; };
  EXPECT_THAT(Complete("hang"), StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(GuestfsReaderTest, MoreThanAnApplianceTakesIsSaidSo) {
  WorkerPool pool(pool_options_);
  options_.pool = &pool;
  for (int i = 0; i < 20; ++i) {
    const std::string prefix = "partition[" + std::to_string(i + 1) + "]";
    report_.leaves.push_back({prefix, LeafType::kUnavailable, "XFS: not read"});
    report_.unread.push_back({prefix, "started leaf " + prefix, 0, 4096});
  }
  ASSERT_THAT(
      GuestfsReader(options_).Complete(
          image_, request_, std::chrono::steady_clock::now() + limit_, report_),
      IsOk());
  EXPECT_EQ(Leaf("partition[1]"), "text xfs, as read");
  EXPECT_EQ(Leaf("partition[16]"), "");
  EXPECT_THAT(Leaf("partition[17]"), HasSubstr("more than 16"));
}

}  // namespace
}  // namespace vmattest::inspection
