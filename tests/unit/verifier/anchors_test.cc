#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/matchers.h"
#include "support/soft_tpm.h"
#include "support/temp_dir.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest::verifier {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::SoftHost;
using testing::SoftKey;
using testing::StatusIs;

class AnchorsTest : public ::testing::Test {
 protected:
  AnchorsTest() : identity(host.Identity()) {}

  absl::Status Add() { return anchors.Add(wire::HostIdentityToJson(identity)); }
  void ExpectRefused(const std::string& message) {
    EXPECT_THAT(Add(), StatusIs(absl::StatusCode::kInvalidArgument,
                                HasSubstr(message)));
    EXPECT_TRUE(anchors.host_ids().empty());
  }

  SoftHost host;
  evidence::HostIdentity identity;
  Anchors anchors;
};

TEST_F(AnchorsTest, FindsWhatWasAdded) {
  ASSERT_THAT(Add(), IsOk());
  EXPECT_THAT(anchors.host_ids(), ElementsAre(host.host_id()));
  EXPECT_NE(anchors.Find(host.host_id()), nullptr);
  EXPECT_EQ(anchors.Find("00"), nullptr);
}

TEST_F(AnchorsTest, GivesTheAkAsPem) {
  ASSERT_THAT(Add(), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string pem, anchors.AkPem(host.host_id()));
  EXPECT_THAT(pem, HasSubstr("BEGIN PUBLIC KEY"));
  EXPECT_THAT(anchors.AkPem("00"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AnchorsTest, RefusesHostIdThatIsNotTheEksName) {
  identity.host_id[0] = identity.host_id[0] == '0' ? '1' : '0';
  ExpectRefused("EK's name");
}

TEST_F(AnchorsTest, RefusesAkThatSignsAnything) {
  identity.ak_public =
      SoftKey(testing::kSigningKeyAttributes & ~(1u << 16)).public_area();
  ExpectRefused("key-attributes");
}

TEST_F(AnchorsTest, RefusesTheEkAsAk) {
  identity.ak_public = identity.ek_public;
  ExpectRefused("same key");
}

TEST_F(AnchorsTest, RefusesKeysThatItsAkDidNotCertify) {
  identity.keys.front() = SoftHost().Certify(KeyPurpose::kConfig);
  ExpectRefused("key-certification-signature");
}

TEST_F(AnchorsTest, S2_RefusesOneKeyUnderTwoPurposes) {
  const SoftKey& key = host.purpose_keys.at(KeyPurpose::kConfig);
  identity.keys.push_back(host.CertifyWith(
      KeyPurpose::kLedger, key, host.CertifyInfo(KeyPurpose::kLedger, key)));
  ExpectRefused("key-reused");
}

TEST_F(AnchorsTest, RefusesWhatIsNoIdentity) {
  for (const std::string_view text :
       {"", "{}", "[]", "noise", "{\"format\":\"vmattest/evidence/v1\"}"}) {
    EXPECT_THAT(anchors.Add(text), StatusIs(absl::StatusCode::kInvalidArgument))
        << text;
  }
}

TEST_F(AnchorsTest, TakesTheSameIdentityTwice) {
  ASSERT_THAT(Add(), IsOk());
  EXPECT_THAT(Add(), IsOk());
}

TEST_F(AnchorsTest, RefusesASecondAkForTheSameHost) {
  ASSERT_THAT(Add(), IsOk());
  identity.ak_public = SoftKey().public_area();
  identity.keys.clear();
  EXPECT_THAT(Add(), StatusIs(absl::StatusCode::kInvalidArgument,
                              HasSubstr("another AK")));
}

TEST_F(AnchorsTest, S2_RefusesOneKeyUnderTwoPurposesInTwoFiles) {
  ASSERT_THAT(Add(), IsOk());
  const SoftKey& key = host.purpose_keys.at(KeyPurpose::kConfig);
  identity.keys = {host.CertifyWith(
      KeyPurpose::kLedger, key, host.CertifyInfo(KeyPurpose::kLedger, key))};
  EXPECT_THAT(Add(), StatusIs(absl::StatusCode::kInvalidArgument,
                              HasSubstr("key-reused")));
}

TEST_F(AnchorsTest, LoadsEveryJsonOfAFolder) {
  const SoftHost other("host-2");
  const testing::TempDir dir;
  testing::TempDir files;
  files.Write("a/one.json", wire::HostIdentityToJson(identity));
  files.Write("a/two.json", wire::HostIdentityToJson(other.Identity()));
  files.Write("a/notes.txt", "not an anchor");
  ASSERT_OK_AND_ASSIGN(const Anchors loaded,
                       Anchors::LoadFolder((files.path() / "a").string()));
  EXPECT_EQ(loaded.host_ids().size(), 2u);
}

TEST_F(AnchorsTest, NamesTheFileThatIsWrong) {
  testing::TempDir files;
  files.Write("one.json", "{}");
  EXPECT_THAT(
      Anchors::LoadFolder(files.path().string()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("one.json")));
}

TEST_F(AnchorsTest, NoFolderAndAnEmptyFolderAreNotFound) {
  const testing::TempDir files;
  EXPECT_THAT(Anchors::LoadFolder(files.path().string()),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Anchors::LoadFolder((files.path() / "none").string()),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmattest::verifier
