#include "gate/inputs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

TEST(ReadOnlyInputs, AreBootFilesAndDisksThatNobodyWrites) {
  ASSERT_OK_AND_ASSIGN(
      const Inputs inputs,
      ReadOnlyInputs(
          "<domain><os><type>hvm</type><kernel>/k</kernel>"
          "<initrd>/i</initrd><cmdline>quiet</cmdline>"
          "<loader readonly='yes' type='pflash'>/l</loader>"
          "<nvram>/n</nvram></os><devices>"
          "<disk type='file'><source file='/rw'/></disk>"
          "<disk type='file'><source file='/ro'/><readonly/></disk>"
          "<disk type='file' device='cdrom'><source file='/cd'/></disk>"
          "<disk type='file' device='cdrom'/>"
          "<disk type='block'><source dev='/dev/x'/><readonly/></disk>"
          "</devices></domain>"));
  EXPECT_THAT(inputs.boot, ElementsAre("/k", "/i", "/l"));
  EXPECT_THAT(inputs.disks, ElementsAre("/ro", "/cd"));
}

TEST(ReadOnlyInputs, AWritableLoaderIsNone) {
  ASSERT_OK_AND_ASSIGN(
      const Inputs inputs,
      ReadOnlyInputs("<domain><os><loader readonly='no'>/l</loader></os>"
                     "</domain>"));
  EXPECT_THAT(inputs.boot, ElementsAre());
  EXPECT_THAT(ReadOnlyInputs("<domain"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

// Owners are the matter: it needs root.
class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) {
      GTEST_SKIP() << "needs root";
    }
    fs::create_directories(store_ / "linux");
    std::ofstream(kernel_) << "k";
    for (const fs::path& path : {store_, store_ / "linux", kernel_}) {
      ASSERT_EQ(chmod(path.c_str(), 0755), 0);
    }
  }
  absl::Status Check(const fs::path& path) {
    return CheckStored(path, {"/nonexistent", store_});
  }
  static auto Refuses(const std::string& why) {
    return StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(why));
  }

  testing::TempDir dir_;
  const fs::path store_ = dir_.path() / "store";
  const fs::path kernel_ = store_ / "linux" / "vmlinuz";
};

TEST_F(StoreTest, TakesWhatOnlyRootCanChange) {
  EXPECT_THAT(Check(kernel_), IsOk());
  fs::create_symlink("linux/vmlinuz", store_ / "current");
  EXPECT_THAT(Check(store_ / "current"), IsOk());
}

TEST_F(StoreTest, RefusesWhatLiesElsewhere) {
  const fs::path outside = dir_.Write("vmlinuz", "k");
  ASSERT_EQ(chmod(outside.c_str(), 0644), 0);
  EXPECT_THAT(Check(outside), Refuses("in none of the folders"));
  EXPECT_THAT(Check(store_ / "linux/../../vmlinuz"),
              Refuses("in none of the folders"));
  fs::create_symlink(outside, store_ / "out");
  EXPECT_THAT(Check(store_ / "out"), Refuses("in none of the folders"));
  EXPECT_THAT(Check("vmlinuz"), Refuses("no absolute path"));
  // A folder whose name only begins so.
  fs::create_directories(dir_.path() / "store2");
  std::ofstream(dir_.path() / "store2/k") << "k";
  EXPECT_THAT(Check(dir_.path() / "store2/k"),
              Refuses("in none of the folders"));
}

TEST_F(StoreTest, RefusesWhatOthersCanWriteToAtAnyPlaceOfThePath) {
  for (const fs::path& path : {kernel_, store_ / "linux", store_}) {
    ASSERT_EQ(chmod(path.c_str(), 0775), 0);
    EXPECT_THAT(Check(kernel_), Refuses("can be written to"));
    ASSERT_EQ(chmod(path.c_str(), 0755), 0);
    ASSERT_EQ(chown(path.c_str(), 1, 0), 0);
    EXPECT_THAT(Check(kernel_), Refuses("does not belong to root"));
    ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  }
  EXPECT_THAT(Check(kernel_), IsOk());
}

TEST_F(StoreTest, RefusesALinkThatIsSomebodyElses) {
  const fs::path link = store_ / "link";
  fs::create_symlink(kernel_, link);
  ASSERT_EQ(lchown(link.c_str(), 1, 1), 0);
  EXPECT_THAT(Check(link), Refuses("does not belong to root"));
  fs::create_symlink("round", store_ / "round");
  EXPECT_FALSE(Check(store_ / "round").ok());
}

}  // namespace
}  // namespace vmattest::gate
