#include "hook/saved_memory.h"

#include <sys/stat.h>

#include "gmock/gmock.h"
#include "support/save_image.h"
#include "support/temp_dir.h"

namespace vmattest::hook {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::SaveImage;

constexpr char kUuid[] = "a045410c-221a-45fb-b0ef-341be7ce6025";
constexpr char kOther[] = "a045410c-221a-45fb-b0ef-341be7ce6026";

class SavedMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(dir_.path() / "libvirtd/fd");
  }
  // As /proc/PID/fd shows it.
  void Open(const std::string& number, const std::filesystem::path& file) {
    std::filesystem::create_symlink(file, dir_.path() / "libvirtd/fd" / number);
  }
  std::vector<std::string> Find(const std::string& operation,
                                const std::string& domain = "web") {
    gate::GateCall call;
    call.domain = domain;
    call.operation = operation;
    call.xml = "<domain><uuid>" + std::string(kUuid) + "</uuid></domain>";
    std::vector<std::string> found;
    for (const gate::HandedFile& file :
         FindSavedMemory(call, {.libvirtd = dir_.path() / "libvirtd",
                               .save = dir_.path() / "save",
                               .swtpm = dir_.path() / "swtpm"})) {
      EXPECT_TRUE(file.file->valid());
      found.push_back(file.role + " " +
                      std::filesystem::path(file.path).filename().string());
    }
    return found;
  }
  testing::TempDir dir_;
};

TEST_F(SavedMemoryTest, AtRestoreItIsWhatLibvirtdHasOpenOfThisVm) {
  Open("7", dir_.Write("log", "2026-11-26 13:13"));
  Open("8", dir_.Write("other", SaveImage(kOther, "memory")));
  Open("9", dir_.Write("image", SaveImage(kUuid, "memory")));
  Open("10", dir_.path() / "closed meanwhile");
  EXPECT_THAT(Find("restore"), ElementsAre("saved-image image"));
  EXPECT_THAT(Find("started"), ElementsAre("saved-image image"));
  EXPECT_THAT(Find("prepare"), ElementsAre("saved-image image"));
  EXPECT_THAT(Find("start"), IsEmpty());
}

TEST_F(SavedMemoryTest, NothingIsWaitedForThatIsNoFile) {
  ASSERT_EQ(mkfifo((dir_.path() / "fifo").c_str(), 0600), 0);
  Open("7", dir_.path() / "fifo");
  EXPECT_THAT(Find("restore"), IsEmpty());
}

TEST_F(SavedMemoryTest, AtReleaseItIsTheManagedImageAndTheVtpm) {
  std::filesystem::create_directories(dir_.path() / "save");
  std::filesystem::create_directories(dir_.path() / "swtpm" / kUuid / "tpm2");
  EXPECT_THAT(Find("release"), IsEmpty());
  dir_.Write("save/web.save", SaveImage(kUuid, "memory"));
  dir_.Write(std::string("swtpm/") + kUuid + "/tpm2/tpm2-00.permall", "state");
  EXPECT_THAT(Find("release"), ElementsAre("saved-image web.save",
                                           "vtpm-state tpm2-00.permall"));
  EXPECT_THAT(Find("restore"), ElementsAre("vtpm-state tpm2-00.permall"));
  EXPECT_THAT(Find("release", "../web"), IsEmpty());
}

TEST_F(SavedMemoryTest, MoreImagesThanACallCarriesAreLeftOut) {
  for (int i = 0; i < 20; ++i) {
    const std::string name = "image" + std::to_string(i);
    Open(std::to_string(i), dir_.Write(name, SaveImage(kUuid, "memory")));
  }
  EXPECT_EQ(Find("restore").size(), gate::kMaxHanded - 2);
}

}  // namespace
}  // namespace vmattest::hook
