#include "gate/running_view.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/handles.h"
#include "gmock/gmock.h"
#include "measurement/xml_element.h"
#include "support/matchers.h"

namespace vmattest::gate {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint64_t kDisk = 0xfe01;

class RunningViewTest : public ::testing::Test {
 protected:
  RunningViewTest() {
    session_.open_files = {{kDisk, 10}, {kDisk, 20}};
    session_.inputs = {
        {"/cd", {{kDisk, 20, 0, 0, 0}, HashAlgorithm::kSha256, {}}}};
  }
  std::string First(const OpenFile& file) {
    return FirstUnapprovedFile({file}, session_, "/scratch");
  }
  LaunchSession session_;
};

TEST_F(RunningViewTest, WhatWasOpenAtTheStartMayStayOpen) {
  EXPECT_THAT(First({"/disk", kDisk, 10, true, false}), IsEmpty());
  EXPECT_THAT(First({"/cd", kDisk, 20, false, false}), IsEmpty());
}

TEST_F(RunningViewTest, AnotherFileIsNamedWhateverItIsCalled) {
  EXPECT_EQ(First({"/disk", kDisk, 11, false, false}), "/disk");
  EXPECT_EQ(First({"/disk", kDisk + 1, 10, true, false}), "/disk");
}

TEST_F(RunningViewTest, WritingToWhatIsOnlyReadIsNamed) {
  EXPECT_EQ(First({"/cd", kDisk, 20, true, false}), "/cd");
}

TEST_F(RunningViewTest, LogsAndOurOwnScratchAreNoInputs) {
  EXPECT_THAT(First({"/log", kDisk, 11, true, true}), IsEmpty());
  EXPECT_THAT(First({"/scratch/a.qcow2", kDisk, 11, true, false}), IsEmpty());
  EXPECT_FALSE(First({"/scratch2/a.qcow2", kDisk, 11, true, false}).empty());
  EXPECT_FALSE(First({"/scratch/../evil", kDisk, 11, true, false}).empty());
  session_.inputs.clear();
  EXPECT_THAT(
      FirstUnapprovedFile({{"/a", kDisk, 11, true, false}}, session_, ""),
      "/a");
}

TEST_F(RunningViewTest, MemoryThatQemuMadeForItselfIsNoFile) {
  const UniqueFd memory(memfd_create("ram", MFD_CLOEXEC));
  const auto files = ReadOpenFiles("/proc/self");
  ASSERT_TRUE(files.ok());
  for (const OpenFile& file : *files) {
    if (file.path.find("/memfd:ram") == 0) {
      EXPECT_THAT(First(file), IsEmpty());
      return;
    }
  }
  FAIL() << "no memfd seen";
}

TEST_F(RunningViewTest, OnlyMonitorCommandsAreATaintThatMatters) {
  EXPECT_THAT(FirstMonitorTaint({"tainted: use of host cpu passthrough"}),
              IsEmpty());
  EXPECT_THAT(FirstMonitorTaint(
                  {"tainted: running with undesirable elevated privileges",
                   "tainted: custom monitor control commands issued"}),
              HasSubstr("monitor"));
}

TEST_F(RunningViewTest, EveryInterfaceGetsItsLinkDown) {
  ASSERT_OK_AND_ASSIGN(
      const auto links,
      WithLinksDown("<domain><devices><disk/>"
                    "<interface type='user'><mac address='a'/></interface>"
                    "<interface type='user'><link state='up'/></interface>"
                    "</devices></domain>"));
  ASSERT_THAT(links, SizeIs(2));
  for (const std::string& link : links) {
    ASSERT_OK_AND_ASSIGN(const auto device, measurement::ParseXml(link));
    EXPECT_TRUE(device.Is("interface"));
    ASSERT_NE(device.Child("link"), nullptr);
    EXPECT_EQ(device.Child("link")->Get("state"), "down");
  }
  EXPECT_THAT(links.front(), HasSubstr("mac"));
}

}  // namespace
}  // namespace vmattest::gate
