#include "disk/file_tree.h"

#include <fmt/format.h>

#include "disk/ext_file_tree.h"
#include "disk/fat_file_tree.h"
#include "fakes/memory_block_source.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/disk/disk_images.h"

namespace vmattest::disk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using vmattest::testing::DiskImages;
using vmattest::testing::IsOk;
using vmattest::testing::MemoryBlockSource;
using vmattest::testing::OpenRaw;
using vmattest::testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;

std::string Pattern(size_t size) {
  std::string text;
  while (text.size() < size) {
    text += fmt::format("{:08x}\n", text.size());
  }
  text.resize(size);
  return text;
}

absl::StatusOr<std::string> ReadPath(FileTree& tree, const std::string& path) {
  ASSIGN_OR_RETURN(const FileEntry found, tree.Find(path));
  ASSIGN_OR_RETURN(const auto file, tree.Open(found));
  ASSIGN_OR_RETURN(const Bytes content, ReadAll(*file, 64 * kMiB));
  Bytes in_order;
  RETURN_IF_ERROR(file->ReadInOrder(0, file->size(), [&](ByteView piece) {
    in_order.insert(in_order.end(), piece.begin(), piece.end());
    return absl::OkStatus();
  }));
  EXPECT_EQ(in_order, content);
  return std::string(AsText(content));
}

std::vector<std::string> Names(FileTree& tree, const std::string& path) {
  std::vector<std::string> names;
  const auto folder = tree.Find(path);
  EXPECT_THAT(folder, IsOk());
  const auto entries = folder.ok() ? tree.List(*folder) : folder.status();
  EXPECT_THAT(entries, IsOk());
  if (entries.ok()) {
    for (const FileEntry& entry : *entries) {
      names.push_back(entry.name);
    }
  }
  return names;
}

// mke2fs options, and what the result is.
struct ExtCase {
  std::string name;
  std::vector<std::string> options;
  std::string version;
  std::string journal;
};

class ExtTest : public ::testing::TestWithParam<ExtCase> {};

TEST_P(ExtTest, ReadsWhatTheToolsWrote) {
  DiskImages images;
  const std::string folder = images.MakeFolder(
      "files", {{"a/b/file", "content"},
                {"a/empty", ""},
                {"a/large", Pattern(3'000'000)},
                {"a/link", "-> b/file"},
                {"absolute", "-> /a/b"},
                {"up", "-> a/../../../a/./b"},
                {"long", "-> " + std::string(200, '/') + "a/b"},
                {"loop", "-> loop"},
                {"dangling", "-> nowhere"}});
  DiskImages::Run({"truncate", "-s", "5M", folder + "/sparse"});
  DiskImages::WriteAt(folder + "/sparse", 2 * kMiB, "island");
  const std::string image =
      images.MakeExt("image", folder, 24 * kMiB, GetParam().options);
  const auto source = OpenRaw(image);
  ASSERT_OK_AND_ASSIGN(const auto tree, ExtFileTree::Mount(*source));

  EXPECT_EQ(tree->description().version, GetParam().version);
  EXPECT_EQ(tree->description().journal, GetParam().journal);
  EXPECT_FALSE(tree->description().has_errors);
  EXPECT_THAT(DiskImages::Run({"dumpe2fs", "-h", image}),
              HasSubstr(tree->description().uuid));
  EXPECT_EQ(*ReadPath(*tree, "a/b/file"), "content");
  EXPECT_EQ(*ReadPath(*tree, "/a//b/./file"), "content");
  EXPECT_EQ(*ReadPath(*tree, "a/link"), "content");
  EXPECT_EQ(*ReadPath(*tree, "absolute/file"), "content");
  EXPECT_EQ(*ReadPath(*tree, "up/file"), "content");
  EXPECT_EQ(*ReadPath(*tree, "long/file"), "content");
  EXPECT_EQ(*ReadPath(*tree, "a/empty"), "");
  EXPECT_TRUE(*ReadPath(*tree, "a/large") == Pattern(3'000'000));
  // As debugfs reads it: mke2fs does not write every sparse file right.
  DiskImages::Run(
      {"debugfs", "-R", "dump sparse " + images.Path("dumped"), image});
  const std::string dumped = vmattest::testing::Slurp(images.Path("dumped"));
  EXPECT_GT(dumped.size(), 2 * kMiB);
  EXPECT_TRUE(*ReadPath(*tree, "sparse") == dumped);
  EXPECT_THAT(Names(*tree, "a"), ElementsAre("b", "empty", "large", "link"));
  EXPECT_THAT(tree->Find("a/nothing"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(tree->Find("a/empty/x"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(tree->Find("dangling"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(tree->Find("loop"), StatusIs(absl::StatusCode::kDataLoss,
                                           HasSubstr("symbolic links")));
  ASSERT_OK_AND_ASSIGN(const FileEntry folder_entry, tree->Find("a"));
  EXPECT_FALSE(tree->Open(folder_entry).ok());
}

INSTANTIATE_TEST_SUITE_P(
    All, ExtTest,
    ::testing::Values(
        ExtCase{"ext4", {"-t", "ext4"}, "ext4", "clean"},
        ExtCase{
            "ext4_small_blocks", {"-t", "ext4", "-b", "1024"}, "ext4", "clean"},
        ExtCase{"ext4_plain_extents",
                {"-t", "ext4", "-O", "^metadata_csum,^64bit"},
                "ext4",
                "clean"},
        ExtCase{"ext4_inline",
                {"-t", "ext4", "-O", "inline_data", "-I", "256"},
                "ext4",
                "clean"},
        ExtCase{"ext4_no_filetype",
                {"-t", "ext4", "-O", "^filetype"},
                "ext4",
                "clean"},
        ExtCase{"ext3", {"-t", "ext3"}, "ext3", "clean"},
        ExtCase{"ext2", {"-t", "ext2", "-b", "1024"}, "ext2", "none"}),
    [](const ::testing::TestParamInfo<ExtCase>& which) {
      return which.param.name;
    });

class ExtDamageTest : public ::testing::Test {
 protected:
  ExtDamageTest()
      : folder_(images_.MakeFolder("files", {{"file", Pattern(50'000)}})),
        image_(images_.MakeExt("image", folder_, 16 * kMiB,
                               {"-t", "ext4", "-b", "1024"})) {}
  absl::StatusOr<std::unique_ptr<ExtFileTree>> Mount() {
    source_ = OpenRaw(image_);
    return ExtFileTree::Mount(*source_);
  }
  void Debugfs(const std::string& command) {
    DiskImages::Run({"debugfs", "-w", "-R", command, image_});
  }

  DiskImages images_;
  std::string folder_;
  std::string image_;
  std::unique_ptr<BlockSource> source_;
};

TEST_F(ExtDamageTest, NamesAJournalThatNeedsRecovery) {
  Debugfs("feature needs_recovery");
  ASSERT_OK_AND_ASSIGN(const auto tree, Mount());
  EXPECT_EQ(tree->description().journal, "needs-recovery");
  EXPECT_EQ(*ReadPath(*tree, "file"), Pattern(50'000));
}

TEST_F(ExtDamageTest, NamesFeaturesThatChangeWhatIsSeen) {
  DiskImages::Run({"mke2fs", "-q", "-F", "-t", "ext4", "-O",
                   "encrypt,casefold,verity", image_});
  ASSERT_OK_AND_ASSIGN(const auto tree, Mount());
  EXPECT_THAT(tree->description().features,
              ElementsAre("encrypt", "casefold", "verity"));
}

TEST_F(ExtDamageTest, RefusesAnEncryptedFile) {
  Debugfs("set_inode_field file flags 0x80800");
  ASSERT_OK_AND_ASSIGN(const auto tree, Mount());
  EXPECT_THAT(ReadPath(*tree, "file"),
              StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(ExtDamageTest, ReadsAnUnwrittenExtentAsZeros) {
  DiskImages::Run({"truncate", "-s", "20000", folder_ + "/later"});
  Debugfs("write " + folder_ + "/later later");
  Debugfs("fallocate later 0 19");
  ASSERT_OK_AND_ASSIGN(const auto tree, Mount());
  EXPECT_EQ(*ReadPath(*tree, "later"), std::string(20000, '\0'));
}

TEST_F(ExtDamageTest, NamesAFileSystemThatIsCutOff) {
  std::filesystem::resize_file(image_, 12 * kMiB);
  EXPECT_THAT(Mount(), StatusIs(absl::StatusCode::kDataLoss,
                                HasSubstr("larger than its partition")));
}

TEST_F(ExtDamageTest, NamesAWrongChecksum) {
  DiskImages::WriteAt(image_, 1024 + 0x78, "damaged label");
  EXPECT_THAT(Mount(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("checksum")));
}

TEST_F(ExtDamageTest, RefusesADescriptorTableThatFillsMemory) {
  DiskImages::Run(
      {"mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum", image_});
  std::filesystem::resize_file(image_, uint64_t{64} << 30);
  DiskImages::WriteAt(image_, 1024 + 0x4, "\xff\xff\xff\x03");  // blocks
  DiskImages::WriteAt(image_, 1024 + 0x20, std::string("\x10\0\0\0", 4));
  EXPECT_THAT(Mount(), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(ExtDamageTest, NamesBlocksOutsideTheFileSystem) {
  DiskImages::Run({"mke2fs", "-q", "-F", "-t", "ext4", "-O", "^metadata_csum",
                   "-d", folder_, image_});
  Debugfs("set_inode_field file block[5] 0x7fffffff");
  ASSERT_OK_AND_ASSIGN(const auto tree, Mount());
  EXPECT_THAT(ReadPath(*tree, "file"), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ExtDamageTest, PassesOnTheDisksError) {
  MemoryBlockSource disk{vmattest::testing::Slurp(image_)};
  ASSERT_OK_AND_ASSIGN(const auto tree, ExtFileTree::Mount(disk));
  disk.failure = absl::AbortedError("changed");
  EXPECT_THAT(ReadPath(*tree, "file"), StatusIs(absl::StatusCode::kAborted));
}

struct FatCase {
  std::string name;
  uint64_t size;
  std::vector<std::string> options;
};

class FatTest : public ::testing::TestWithParam<FatCase> {};

TEST_P(FatTest, ReadsWhatTheToolsWrote) {
  DiskImages images;
  const std::string image =
      images.MakeVfat("image",
                      {{"EFI/BOOT/BOOTX64.EFI", Pattern(300'001)},
                       {"EFI/debian/A long name with spaces.efi", "x"},
                       {"EFI/debian/empty", ""}},
                      GetParam().size, GetParam().options);
  DiskImages::Run(
      {"mcopy", "-i", image, image + ".files/EFI/debian/empty", "::/deleted"});
  DiskImages::Run({"mdel", "-i", image, "::/deleted"});
  const auto source = OpenRaw(image);
  ASSERT_OK_AND_ASSIGN(const auto tree, FatFileTree::Mount(*source));
  EXPECT_THAT(Names(*tree, ""), ElementsAre("EFI"));
  EXPECT_THAT(Names(*tree, "EFI/debian"),
              ElementsAre("A long name with spaces.efi", "empty"));
  EXPECT_TRUE(*ReadPath(*tree, "EFI/BOOT/BOOTX64.EFI") == Pattern(300'001));
  EXPECT_TRUE(*ReadPath(*tree, "efi/boot/bootx64.efi") == Pattern(300'001));
  EXPECT_EQ(*ReadPath(*tree, "EFI/debian/empty"), "");
  EXPECT_THAT(tree->Find("EFI/other"), StatusIs(absl::StatusCode::kNotFound));
}

INSTANTIATE_TEST_SUITE_P(
    All, FatTest,
    ::testing::Values(FatCase{"fat12", 4 * kMiB, {"-F", "12", "-n", "ESP"}},
                      FatCase{"fat16", 32 * kMiB, {"-F", "16"}},
                      FatCase{"fat32", 64 * kMiB, {"-F", "32", "-n", "ESP"}}),
    [](const ::testing::TestParamInfo<FatCase>& which) {
      return which.param.name;
    });

TEST(FatFileTree, NamesWhatIsNoFileSystem) {
  MemoryBlockSource source{Bytes(kMiB, 0x41)};
  EXPECT_THAT(FatFileTree::Mount(source),
              StatusIs(absl::StatusCode::kDataLoss));
}

// libtsk itself would hand over memory that nobody filled.
TEST(FatFileTree, PassesOnTheDisksError) {
  DiskImages images;
  MemoryBlockSource disk{vmattest::testing::Slurp(
      images.MakeVfat("image", {{"file", Pattern(900'001)}}, 4 * kMiB, {}))};
  ASSERT_OK_AND_ASSIGN(const auto tree, FatFileTree::Mount(disk));
  ASSERT_OK_AND_ASSIGN(const FileEntry entry, tree->Find("file"));
  disk.failure = absl::AbortedError("changed");
  ASSERT_OK_AND_ASSIGN(const auto file, tree->Open(entry));
  EXPECT_THAT(ReadAll(*file, kMiB), StatusIs(absl::StatusCode::kAborted));
}

}  // namespace
}  // namespace vmattest::disk
