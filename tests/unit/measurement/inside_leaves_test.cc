#include "measurement/inside_leaves.h"

#include <map>

#include "evidence/config_tree.h"
#include "fakes/inline_executor.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "image/digest_cache.h"
#include "image/file_digester.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::measurement {
namespace {

using inspection::DiskReport;
using inspection::InsidePolicy;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;
using testing::TempDir;

// Answers by the image's path, and remembers what it was asked.
class FakeInspector final : public inspection::DiskInspector {
 public:
  absl::StatusOr<DiskReport> Inspect(const Request& request) override {
    asked.push_back(request);
    const auto answer = answers.find(request.path);
    return answer == answers.end()
               ? absl::NotFoundError(request.path + ": no such file")
               : answer->second;
  }
  std::map<std::string, absl::StatusOr<DiskReport>> answers;
  std::vector<Request> asked;
};

class InsideLeavesTest : public ::testing::Test {
 protected:
  absl::StatusOr<DomainMeasurement> Measure() {
    const std::string xml = fmt::format(
        "<domain type='kvm'><name>web</name><devices>"
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
        "<source file='{0}'/><target dev='vda'/></disk>"
        "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
        "<source file='{1}'/><target dev='vdb'/><readonly/></disk>"
        "<disk type='file' device='cdrom'><source file='{1}'/>"
        "<target dev='sda'/></disk>"
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
        "<source protocol='nbd' name='x'/><target dev='vdc'/></disk>"
        "</devices></domain>",
        root_, data_);
    DomainMeasurer measurer(digester_, nullptr,
                            with_inspector_ ? &inspector_ : nullptr);
    return measurer.Measure(xml, options_);
  }
  static std::string Value(const DomainMeasurement& measured,
                           const std::string& path) {
    for (const ConfigLeaf& leaf :
         evidence::Flatten(measured.tree.leaves, measured.tree.subtrees)) {
      if (leaf.path == path) {
        return fmt::format("{} {}", ToString(leaf.type), leaf.value);
      }
    }
    return "no such leaf";
  }
  static DiskReport Report(const char* bash) {
    return {
        .size = 512,
        .guest_digest = {},
        .leaves = {{"partition[1]/package[bash:amd64]", LeafType::kText, bash},
                   {"table", LeafType::kText, "gpt"}}};
  }

  TempDir dir_;
  const std::string root_ = dir_.Write("root.img", "root").string();
  const std::string data_ = dir_.Write("data.img", "data").string();
  SystemClock clock_;
  testing::InlineExecutor executor_;
  image::DigestCache cache_{clock_, {.enabled = false}};
  image::FileDigester digester_{clock_, executor_, cache_};
  FakeInspector inspector_;
  bool with_inspector_ = true;
  MeasureOptions options_{.content = ContentPolicy::kNone,
                          .inside = InsidePolicy::kInventory};
};

TEST_F(InsideLeavesTest, APackageIsALeafBelowItsDisk) {
  inspector_.answers = {{root_, Report("5.2")}, {data_, Report("1")}};
  ASSERT_OK_AND_ASSIGN(const DomainMeasurement before, Measure());
  EXPECT_EQ(Value(before, "disk[vda]/inside/partition[1]/package[bash:amd64]"),
            "text 5.2");
  inspector_.answers.at(root_) = Report("5.3");
  ASSERT_OK_AND_ASSIGN(const DomainMeasurement after, Measure());
  EXPECT_NE(after.tree.root, before.tree.root);
  const auto differences = evidence::CompareLeaves(
      evidence::Flatten(before.tree.leaves, before.tree.subtrees),
      evidence::Flatten(after.tree.leaves, after.tree.subtrees));
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].path,
            "disk[vda]/inside/partition[1]/package[bash:amd64]");
  EXPECT_EQ(differences[0].found, "text 5.3");
}

TEST_F(InsideLeavesTest, CdromsAreNotLookedInto) {
  inspector_.answers = {{root_, Report("1")}, {data_, Report("1")}};
  ASSERT_OK_AND_ASSIGN(const DomainMeasurement measured, Measure());
  EXPECT_EQ(Value(measured, "disk[sda]/inside"), "no such leaf");
  EXPECT_EQ(inspector_.asked.size(), 2u);
}

TEST_F(InsideLeavesTest, WhatIsNoLocalFileIsUnavailable) {
  inspector_.answers = {{root_, Report("1")}, {data_, Report("1")}};
  ASSERT_OK_AND_ASSIGN(const DomainMeasurement measured, Measure());
  EXPECT_THAT(Value(measured, "disk[vdc]/inside"), HasSubstr("unavailable"));
}

TEST_F(InsideLeavesTest, OnlyWritableDisksOfRunningVmsAreReadThroughLibvirt) {
  inspector_.answers = {{root_, Report("1")}, {data_, Report("1")}};
  options_.running_vm = "6695eb01-f6a4-8304-79aa-97f2502e193f";
  ASSERT_TRUE(Measure().ok());
  ASSERT_EQ(inspector_.asked.size(), 2u);
  EXPECT_EQ(inspector_.asked[0].running_vm, options_.running_vm);
  EXPECT_EQ(inspector_.asked[0].target, "vda");
  EXPECT_EQ(inspector_.asked[1].running_vm, "");
}

TEST_F(InsideLeavesTest, AHostileDiskIsALeafAndNotAFailure) {
  inspector_.answers = {
      {root_, absl::DeadlineExceededError("took longer than 600 s")},
      {data_, Report("1")}};
  ASSERT_OK_AND_ASSIGN(const DomainMeasurement measured, Measure());
  EXPECT_EQ(Value(measured, "disk[vda]/inside"),
            "unavailable took longer than 600 s");
}

TEST_F(InsideLeavesTest, AMissingOrChangingFileFailsWithTheLeafsName) {
  inspector_.answers = {{data_, Report("1")}};
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kNotFound,
                                  HasSubstr("disk[vda]/inside")));
  inspector_.answers.emplace(root_, absl::AbortedError("it changed"));
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kAborted,
                                  HasSubstr("disk[vda]/inside")));
}

TEST_F(InsideLeavesTest, TheDigestOfGuestVisibleBytesIsALeafToo) {
  DiskReport report = Report("1");
  report.guest_digest = DigestBytes(32, 0xAB);
  inspector_.answers = {{root_, report}, {data_, report}};
  options_.inside = InsidePolicy::kFull;
  ASSERT_OK_AND_ASSIGN(const DomainMeasurement measured, Measure());
  EXPECT_THAT(Value(measured, "disk[vda]/guest/content"),
              HasSubstr("digest sha256-tree:abab"));
}

TEST_F(InsideLeavesTest, NobodyToLookIsAnError) {
  with_inspector_ = false;
  EXPECT_THAT(Measure(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                  HasSubstr("look into disks")));
}

TEST_F(InsideLeavesTest, SaltsReachTheLeavesBelow) {
  inspector_.answers = {{root_, Report("1")}, {data_, Report("1")}};
  ASSERT_OK_AND_ASSIGN(const DomainMeasurement open, Measure());
  options_.vm_salt = std::make_shared<const SecretBytes>(Bytes(32, 1));
  ASSERT_OK_AND_ASSIGN(const DomainMeasurement salted, Measure());
  EXPECT_NE(open.tree.root, salted.tree.root);
  EXPECT_THAT(evidence::CheckSubtrees(salted.tree.algorithm, salted.tree.leaves,
                                      salted.tree.subtrees, options_.Salt()),
              testing::IsOk());
}

}  // namespace
}  // namespace vmattest::measurement
