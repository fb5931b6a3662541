#include "rpc/admin_service.h"

#include "rpc/rpc_fixture.h"

namespace vmattest::rpc {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using Stub = v1::Admin::Stub;

class AdminServiceTest : public SocketTest {
 protected:
  void ServeWithKeys() {
    Serve();
    inside_->AwaitTpm();
  }

  std::vector<v1::KeyEpoch> Keys(v1::KeyPurpose purpose) {
    v1::ListKeysResponse response;
    EXPECT_THAT(
        Call(*admin_, &Stub::ListKeys, v1::ListKeysRequest(), &response),
        IsOk());
    std::vector<v1::KeyEpoch> keys;
    for (const v1::KeyEpoch& key : response.keys()) {
      if (key.purpose() == purpose) {
        keys.push_back(key);
      }
    }
    return keys;
  }
  static void ExpectField(const absl::Status& status,
                          const std::string& field) {
    EXPECT_THAT(status,
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
    EXPECT_EQ(ReasonOf(status),
              (ErrorInfo{"FIELD_INVALID", {{"field", field}}}));
  }
};

TEST_F(AdminServiceTest, ListsOneActiveKeyOfEveryPurpose) {
  ServeWithKeys();
  v1::ListKeysResponse response;
  ASSERT_THAT(Call(*admin_, &Stub::ListKeys, v1::ListKeysRequest(), &response),
              IsOk());
  EXPECT_EQ(response.keys_size(), 6);
  for (const v1::KeyEpoch& key : response.keys()) {
    EXPECT_EQ(key.state(), "active");
    EXPECT_FALSE(key.key_name().empty());
    EXPECT_TRUE(key.pq_algorithm().empty());
  }
}

TEST_F(AdminServiceTest, StartVmAnswersARefusalAndFailsWithoutAVm) {
  Serve();
  v1::StartVmRequest request;
  v1::StartVmResponse response;
  ExpectField(Call(*admin_, &Stub::StartVm, request, &response), "vm");
  request.set_vm("web");
  request.set_keep_paused(true);
  ASSERT_THAT(Call(*admin_, &Stub::StartVm, request, &response), IsOk());
  EXPECT_EQ(response.state(), "paused");
  EXPECT_EQ(response.code(), "gate-file-swapped");
  EXPECT_EQ(response.sentence(), "another file");
  EXPECT_EQ(response.vm_uuid(), "uuid");
  request.set_vm("nope");
  EXPECT_THAT(Call(*admin_, &Stub::StartVm, request, &response),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AdminServiceTest, RotatesAndRevokesEpochs) {
  ServeWithKeys();
  const std::vector<v1::KeyEpoch> before = Keys(v1::KEY_PURPOSE_STATE);
  ASSERT_EQ(before.size(), 1u);
  v1::RotateKeyRequest rotate;
  rotate.set_purpose(v1::KEY_PURPOSE_STATE);
  v1::RotateKeyResponse rotated;
  ASSERT_THAT(Call(*admin_, &Stub::RotateKey, rotate, &rotated), IsOk());
  EXPECT_EQ(rotated.epoch(), before[0].epoch() + 1);
  const std::vector<v1::KeyEpoch> after = Keys(v1::KEY_PURPOSE_STATE);
  ASSERT_EQ(after.size(), 2u);
  EXPECT_NE(after[0].key_name(), after[1].key_name());

  v1::RevokeKeyRequest revoke;
  revoke.set_purpose(v1::KEY_PURPOSE_STATE);
  revoke.set_epoch(before[0].epoch());
  v1::RevokeKeyResponse revoked;
  ASSERT_THAT(Call(*admin_, &Stub::RevokeKey, revoke, &revoked), IsOk());
  for (const v1::KeyEpoch& key : Keys(v1::KEY_PURPOSE_STATE)) {
    EXPECT_EQ(key.state(),
              key.epoch() == before[0].epoch() ? "revoked" : "active");
  }
  revoke.set_epoch(99);
  EXPECT_THAT(Call(*admin_, &Stub::RevokeKey, revoke, &revoked),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(AdminServiceTest, PurposeMustBeOneOfTheSix) {
  ServeWithKeys();
  for (const int purpose : {0, -1, 7, 1000}) {
    v1::RotateKeyRequest rotate;
    rotate.set_purpose(static_cast<v1::KeyPurpose>(purpose));
    v1::RotateKeyResponse rotated;
    ExpectField(Call(*admin_, &Stub::RotateKey, rotate, &rotated), "purpose");
    v1::RevokeKeyRequest revoke;
    revoke.set_purpose(static_cast<v1::KeyPurpose>(purpose));
    v1::RevokeKeyResponse revoked;
    ExpectField(Call(*admin_, &Stub::RevokeKey, revoke, &revoked), "purpose");
  }
}

TEST_F(AdminServiceTest, SealStatusSaysWhatThisBootMeasured) {
  ServeWithKeys();
  v1::GetSealStatusResponse status;
  ASSERT_THAT(
      Call(*admin_, &Stub::GetSealStatus, v1::GetSealStatusRequest(), &status),
      IsOk());
  EXPECT_EQ(status.state(), "off");
  EXPECT_EQ(status.host_id(), inside_->tpm.host().host_id());
  EXPECT_FALSE(status.counter_name().empty());
  EXPECT_GT(status.current().values_size(), 0);
  for (const v1::PcrValue& pcr : status.current().values()) {
    EXPECT_EQ(ToHex(AsBytes(pcr.value())), ToHex(inside_->tpm.pcr(pcr.index())))
        << pcr.index();
  }
}

TEST_F(AdminServiceTest, ApprovalsThatAreNoneAreNamed) {
  ServeWithKeys();
  v1::ApproveBootRequest request;
  v1::ApproveBootResponse response;
  ExpectField(Call(*admin_, &Stub::ApproveBoot, request, &response),
              "approvals");
  request.add_approvals("{\"format\":\"other\"}");
  EXPECT_THAT(Call(*admin_, &Stub::ApproveBoot, request, &response),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.clear_approvals();
  for (int i = 0; i < 65; ++i) {
    request.add_approvals("{}");
  }
  ExpectField(Call(*admin_, &Stub::ApproveBoot, request, &response),
              "approvals");
}

TEST_F(AdminServiceTest, ReEnrollsOnlyForWhoKnowsTheOldHostId) {
  ServeWithKeys();
  const std::string old_id = inside_->tpm.host().host_id();
  inside_->tpm.Clear();
  v1::ReEnrollRequest request;
  request.set_host_id("00");
  v1::ReEnrollResponse response;
  EXPECT_THAT(Call(*admin_, &Stub::ReEnroll, request, &response),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_host_id(old_id);
  ASSERT_THAT(Call(*admin_, &Stub::ReEnroll, request, &response), IsOk());
  EXPECT_EQ(response.host_id(), inside_->tpm.host().host_id());
  EXPECT_NE(response.host_id(), old_id);
}

TEST_F(AdminServiceTest, SaltIsThatOfTheVmAskedFor) {
  Serve();
  v1::GetVmSaltRequest request;
  v1::GetVmSaltResponse salt;
  ExpectField(Call(*admin_, &Stub::GetVmSalt, request, &salt), "vm");
  request.set_vm("web");  // public
  EXPECT_THAT(Call(*admin_, &Stub::GetVmSalt, request, &salt),
              StatusIs(absl::StatusCode::kNotFound));
  request.set_vm("db");
  ASSERT_THAT(Call(*admin_, &Stub::GetVmSalt, request, &salt), IsOk());
  EXPECT_EQ(salt.salt().size(), 32u);
  EXPECT_EQ(salt.salt_id().size(), 64u);
}

}  // namespace
}  // namespace vmattest::rpc
