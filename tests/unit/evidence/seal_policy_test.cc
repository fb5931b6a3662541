#include "evidence/seal_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "evidence/seal_authority.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

// tests/unit/tpm/esys/esys_seal_test.cc compares the policies with a TPM's.

namespace vmattest::evidence {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

class SealPolicy : public ::testing::Test {
 protected:
  SealPolicy() {
    approval.host_id = std::string(64, 'a');
    for (uint32_t pcr = 0; pcr < kBootPcrs; ++pcr) {
      approval.pcrs.values[pcr] = Bytes(32, static_cast<uint8_t>(pcr));
    }
    approval.counter_limit = 7;
    approval.counter_name = {0x00, 0x0B};
    approval.counter_name.resize(34, 0x22);
  }
  void ExpectRefused(const std::string& why) {
    EXPECT_THAT(ApprovedPolicy(approval),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
    EXPECT_THAT(authority.Sign(approval),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }

  TempDir dir;
  SealAuthority authority =
      *SealAuthority::LoadOrGenerate(dir.path() / "key.pem");
  SealApproval approval;
};

TEST_F(SealPolicy, SignedApprovalHoldsForItsAuthorityAlone) {
  ASSERT_THAT(authority.Sign(approval), IsOk());
  EXPECT_TRUE(ApprovalHolds(approval, authority.public_area()));
  const auto other = *SealAuthority::LoadOrGenerate(dir.path() / "other.pem");
  EXPECT_FALSE(ApprovalHolds(approval, other.public_area()));
  EXPECT_FALSE(ApprovalHolds(approval, {}));
}

TEST_F(SealPolicy, EveryFieldOfAnApprovalIsSigned) {
  ASSERT_THAT(authority.Sign(approval), IsOk());
  const SealApproval sound = approval;
  const auto expect_void = [&](auto edit) {
    SealApproval changed = sound;
    edit(changed);
    EXPECT_FALSE(ApprovalHolds(changed, authority.public_area()));
  };
  expect_void([](SealApproval& a) { a.host_id[0] = 'b'; });
  expect_void([](SealApproval& a) { a.purpose = KeyPurpose::kState; });
  expect_void([](SealApproval& a) { a.pcrs.values[3][5] ^= 1; });
  expect_void([](SealApproval& a) { a.pcrs.values.erase(3); });
  expect_void([](SealApproval& a) { a.pcrs.values[8] = Bytes(32, 0); });
  expect_void([](SealApproval& a) { ++a.counter_limit; });
  expect_void([](SealApproval& a) { a.counter_name[20] ^= 1; });
  expect_void([](SealApproval& a) { a.signature[10] ^= 1; });
  expect_void([](SealApproval& a) { a.signature.clear(); });
}

TEST_F(SealPolicy, S5_RefusesPcrsThatChangeOrCanBeReset) {
  for (const uint32_t pcr : {10u, 16u, 23u, 24u, 0xFFFFFFFFu}) {
    approval.pcrs.values[pcr] = Bytes(32, 0);
    ExpectRefused("is not sealed to");
    approval.pcrs.values.erase(pcr);
  }
}

TEST_F(SealPolicy, RefusesWhatCannotBe) {
  const SealApproval sound = approval;
  approval.pcrs.values.clear();
  ExpectRefused("no PCRs");
  approval = sound;
  approval.pcrs.bank = 0x0004;
  ExpectRefused("bank 0x0004");
  approval = sound;
  approval.pcrs.values[2].pop_back();
  ExpectRefused("PCR 2 has 31 bytes");
  approval = sound;
  approval.counter_name.pop_back();
  ExpectRefused("counter's name");
  approval = sound;
  approval.counter_name[1] = 0x0C;
  ExpectRefused("counter's name");
}

TEST_F(SealPolicy, DomainsOfSeedDigestsAreApart) {
  const Bytes key(1952, 0x5A);
  const DigestBytes outside =
      SeedOutsideInfo("ml-dsa-65", KeyPurpose::kConfig, 1, key);
  EXPECT_NE(outside,
            SeedQualifyingData("ml-dsa-65", KeyPurpose::kConfig, 1, key));
  EXPECT_NE(outside, SeedOutsideInfo("ml-dsa-87", KeyPurpose::kConfig, 1, key));
  EXPECT_NE(outside, SeedOutsideInfo("ml-dsa-65", KeyPurpose::kState, 1, key));
  EXPECT_NE(outside, SeedOutsideInfo("ml-dsa-65", KeyPurpose::kConfig, 2, key));
}

TEST_F(SealPolicy, AuthorityKeyIsMadeOnceAndForItsOwnerOnly) {
  const auto path = dir.path() / "key.pem";
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_OK_AND_ASSIGN(const auto again, SealAuthority::LoadOrGenerate(path));
  EXPECT_EQ(again.public_area(), authority.public_area());
  EXPECT_THAT(SealAuthority::Load(dir.path() / "missing.pem"),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SealPolicy, AuthorityIsTheSameFromItsPublicPem) {
  const auto area = *ParseEccPublic(authority.public_area());
  ASSERT_OK_AND_ASSIGN(const std::string pem, ToPem(area.key));
  ASSERT_OK_AND_ASSIGN(const Bytes from_pem, AuthorityPublic(pem));
  EXPECT_EQ(from_pem, authority.public_area());
  EXPECT_THAT(CheckAuthority(from_pem), IsOk());
}

TEST_F(SealPolicy, RefusesAuthoritiesOfAnotherKind) {
  // A P-384 key, by openssl genpkey; an empty and a garbled file.
  constexpr std::string_view kP384 =
      "-----BEGIN PUBLIC KEY-----\n"
      "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEBi41hpHiwkD9RQvKH33EP4Y6JGwNQRcK\n"
      "iAaaONpyw6wsGWKCqcuzn7Xo5MFpUM0GI8Mk0anvJBeVRypg+Kj/skgLNCQB/MOM\n"
      "9V+PhzgcSFZe7ZeTlEkYJ6AReEn3I/7I\n"
      "-----END PUBLIC KEY-----\n";
  for (const std::string_view pem :
       {kP384, std::string_view(""), std::string_view("noise"),
        std::string_view("-----BEGIN PUBLIC KEY-----\n")}) {
    EXPECT_THAT(
        AuthorityPublic(pem),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ECDSA P-256")));
    dir.Write("wrong.pem", pem);
    EXPECT_THAT(SealAuthority::LoadOrGenerate(dir.path() / "wrong.pem"),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  Bytes area = authority.public_area();
  area[8] ^= 0x40;  // an attribute
  EXPECT_THAT(CheckAuthority(area),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::evidence
