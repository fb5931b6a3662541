#include "baseline/cross_view.h"

#include <gmock/gmock.h>

namespace vmattest::baseline {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<Difference> Look(const std::string& in_memory,
                             const std::string& configured) {
  OtherView view;
  view.cmdline = configured;
  return CrossView({}, {{"kernel/cmdline", in_memory}}, view);
}

TEST(CrossViewTest, TheSameWordsDoNotContradict) {
  EXPECT_THAT(Look("quiet root=/dev/vda1", "quiet root=/dev/vda1"), IsEmpty());
  EXPECT_THAT(Look("quiet  root=/dev/vda1 ", "quiet root=/dev/vda1"),
              IsEmpty());
  EXPECT_THAT(Look("BOOT_IMAGE=/vmlinuz quiet", "quiet"), IsEmpty());
}

TEST(CrossViewTest, AnAddedWordContradicts) {
  const auto found = Look("quiet init=/bin/sh", "quiet");
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, "cross-view-cmdline");
  EXPECT_EQ(found[0].kind, Kind::kContradiction);
  EXPECT_EQ(found[0].severity, snapshot::Severity::kCritical);
  EXPECT_EQ(found[0].expected, "quiet");
  EXPECT_THAT(Look("quiet", "quiet mitigations=auto"), SizeIs(1));
  EXPECT_THAT(Look("b a", "a b"), SizeIs(1)) << "the last one wins";
  EXPECT_THAT(Look("quiet BOOT_IMAGE=/x", "quiet"), SizeIs(1));
}

TEST(CrossViewTest, WhatIsNotKnownIsNotCompared) {
  EXPECT_THAT(CrossView({}, {{"kernel/cmdline", "x"}}, {}), IsEmpty());
  OtherView view;
  view.cmdline = "quiet";
  view.modules = {"virtio"};
  view.kernel_releases = {"6.1"};
  EXPECT_THAT(CrossView({}, {}, view), IsEmpty());
}

TEST(CrossViewTest, AReleaseIsOneThatWasApproved) {
  OtherView view;
  view.kernel_releases = {"6.1.0-13", "6.1.0-14"};
  evidence::StateStatement statement;
  statement.kernel_release = "6.1.0-14";
  EXPECT_THAT(CrossView(statement, {}, view), IsEmpty());
  statement.kernel_release = "6.1.0-15";
  const auto found = CrossView(statement, {}, view);
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].code, "cross-view-kernel-release");
}

TEST(CrossViewTest, ModulesMustBeToldAsTheyAre) {
  OtherView view;
  view.modules = {"virtio", "ghost"};
  const auto found =
      CrossView({}, {{"module/rootkit", "x"}, {"module/virtio", "y"}}, view);
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].element, "module/rootkit");
  EXPECT_EQ(found[1].element, "module/ghost");
  EXPECT_EQ(found[0].code, "cross-view-modules");
}

}  // namespace
}  // namespace vmattest::baseline
