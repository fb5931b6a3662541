#include "memory/worker/module_files.h"

#include <unistd.h>

#include <fstream>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::memory {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kRelease[] = "6.1.0-13-amd64";

class ModuleFilesTest : public ::testing::Test {
 protected:
  void Write(const std::string& file, const std::string& text) {
    const std::filesystem::path path = folder_.path() / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  ModuleFiles Collect(const std::vector<std::string>& names,
                      const std::string& release = kRelease) {
    auto files = CollectModuleFiles(folder_.path(), release, names);
    EXPECT_THAT(files.status(), testing::IsOk());
    return std::move(files).value_or(ModuleFiles());
  }
  static std::string Content(const ModuleFiles& files) {
    std::string text(4096, '\0');
    const ssize_t got = pread(files.content.get(), text.data(), 4096, 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }
  testing::TempDir folder_;
};

TEST_F(ModuleFilesTest, AreFoundByTheModulesName) {
  Write(std::string(kRelease) + "/kernel/drivers/virtio-rng.ko", "one");
  Write(std::string(kRelease) + "/extra/evil.ko", "second");
  Write("6.2/kernel/other.ko", "other");
  Write(std::string(kRelease) + "/System.map", "map");
  const ModuleFiles files = Collect({"evil", "virtio_rng"});
  ASSERT_EQ(files.files.size(), 2U);
  EXPECT_EQ(files.files[0].bytes, 6U);
  EXPECT_EQ(files.files[1].bytes, 3U);
  EXPECT_EQ(files.system_map, 3U);
  EXPECT_EQ(Content(files), "secondonemap");
  EXPECT_EQ(write(files.content.get(), "x", 1), -1) << "read-only";
}

TEST_F(ModuleFilesTest, WhatIsMissingIsSaid) {
  Write(std::string(kRelease) + "/zram.ko.gz", "packed");
  Write(std::string(kRelease) + "/empty.ko", "");
  Write(std::string(kRelease) + "/good.ko", "good");
  std::filesystem::create_symlink("/etc/passwd",
                                  folder_.path() / kRelease / "link.ko");
  const ModuleFiles files =
      Collect({"absent", "empty", "good", "link", "zram"});
  ASSERT_EQ(files.files.size(), 5U);
  EXPECT_THAT(files.files[0].problem, HasSubstr("no file"));
  EXPECT_THAT(files.files[1].problem, HasSubstr("empty.ko"));
  EXPECT_THAT(files.files[2].problem, IsEmpty());
  EXPECT_THAT(files.files[3].problem, HasSubstr("link.ko"));
  EXPECT_THAT(files.files[4].problem, HasSubstr("compressed"));
  EXPECT_EQ(Content(files), "good");
  const ModuleFiles other = Collect({"good"}, "6.2");
  EXPECT_THAT(other.files[0].problem, HasSubstr("release"));
  EXPECT_FALSE(other.content.valid());
}

TEST_F(ModuleFilesTest, CompressedOnesAreForTheWorkerToUnpack) {
  const std::string release(kRelease);
  Write(release + "/zram.ko.xz", "[xz]");
  Write(release + "/loop.ko.zst", "[zst]");
  Write(release + "/a/both.ko.xz", "[xz]");
  Write(release + "/b/both.ko", "[plain]");
  Write(release + "/c/both.ko.zst", "[zst]");
  const ModuleFiles files = Collect({"both", "loop", "zram"});
  ASSERT_EQ(files.files.size(), 3U);
  EXPECT_EQ(Content(files), "[plain][zst][xz]");
}

// A guest chooses both.
TEST_F(ModuleFilesTest, NoPathIsMadeOfWhatAGuestSays) {
  Write("secret.ko", "secret");
  Write(std::string(kRelease) + "/good.ko", "good");
  for (const char* release : {"..", ".", "", "6.1.0-13-amd64/../", "/"}) {
    EXPECT_FALSE(Collect({"secret", "good"}, release).content.valid())
        << release;
  }
  for (const char* name : {"../secret", "", "/etc/passwd", "good.ko"}) {
    EXPECT_FALSE(Collect({name}).content.valid()) << name;
  }
}

}  // namespace
}  // namespace vmattest::memory
