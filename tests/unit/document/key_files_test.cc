#include "document/key_files.h"

#include <sys/stat.h>

#include "base/file.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::document {
namespace {

using ::testing::HasSubstr;
using ::vmattest::testing::IsOk;
using ::vmattest::testing::StatusIs;
using ::vmattest::testing::TempDir;

TEST(KeyFilesTest, APrivateKeyIsItsOwnersAlone) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "alice.key";
  ASSERT_OK_AND_ASSIGN(const PrivateKey key,
                       PrivateKey::Generate("alice", std::nullopt));
  ASSERT_THAT(WritePrivateKey(path, key), IsOk());
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  ASSERT_OK_AND_ASSIGN(const PrivateKey again, LoadPrivateKey(path));
  EXPECT_EQ(again.public_key().key_id, key.public_key().key_id);
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  EXPECT_THAT(LoadPrivateKey(path),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(KeyFilesTest, AKeyIsNeverOverwritten) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "alice.key";
  ASSERT_OK_AND_ASSIGN(const PrivateKey key,
                       PrivateKey::Generate("alice", std::nullopt));
  ASSERT_THAT(WritePrivateKey(path, key), IsOk());
  EXPECT_THAT(WritePrivateKey(path, key),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST(KeyFilesTest, AFolderOfPublicKeysIsReadByName) {
  const TempDir dir;
  for (const char* name : {"b", "a"}) {
    ASSERT_OK_AND_ASSIGN(const PrivateKey key,
                         PrivateKey::Generate(name, std::nullopt));
    ASSERT_THAT(WriteFileAtomic(dir.path() / (std::string(name) + ".pub"),
                                AsBytes(PublicKeyToJson(key.public_key()))),
                IsOk());
  }
  ASSERT_THAT(WriteFileAtomic(dir.path() / "README", AsBytes("x")), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<PublicKey> keys,
                       LoadPublicKeys(dir.path()));
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].name, "a");
  EXPECT_EQ(keys[1].name, "b");

  ASSERT_THAT(WriteFileAtomic(dir.path() / "c.pub", AsBytes("{}")), IsOk());
  EXPECT_THAT(LoadPublicKeys(dir.path()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("c.pub")));
  EXPECT_THAT(LoadPublicKeys(dir.path() / "none"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_TRUE(LoadKeysIfAny(dir.path() / "none")->empty());
  EXPECT_TRUE(LoadKeysIfAny("")->empty());
  EXPECT_THAT(LoadKeysIfAny(dir.path()),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(LoadPrivateKey(dir.path() / "none"),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmattest::document
