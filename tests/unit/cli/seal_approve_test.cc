#include "cli/seal_approve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evidence/seal_authority.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "wire/seal_approval.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

class SealApprove : public ::testing::Test {
 protected:
  SealApprove() {
    args.authority_key = (dir.path() / "key.pem").string();
    status.state = "unapproved-boot";
    status.detail = "PCR 4 is \"other\"";
    status.host_id = std::string(64, 'c');
    status.authority = authority.public_area();
    status.counter = 3;
    status.counter_name = {0x00, 0x0B};
    status.counter_name.resize(34, 0x22);
    status.approvals = 2;
    for (uint32_t pcr = 0; pcr < 8; ++pcr) {
      status.pcrs.values[pcr] = Bytes(32, static_cast<uint8_t>(pcr));
    }
  }
  std::vector<evidence::SealApproval> Approved() {
    const auto json = MakeSealApprovals(args, status);
    EXPECT_THAT(json, IsOk());
    auto parsed = wire::SealApprovalsFromJson(json.value_or(""));
    EXPECT_THAT(parsed, IsOk());
    return parsed.ok() ? *std::move(parsed)
                       : std::vector<evidence::SealApproval>();
  }
  void ExpectRefused(const std::string& why) {
    EXPECT_THAT(MakeSealApprovals(args, status),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  }

  testing::TempDir dir;
  evidence::SealAuthority authority =
      *evidence::SealAuthority::LoadOrGenerate(dir.path() / "key.pem");
  SealApproveArgs args;
  SealStatus status;
};

TEST_F(SealApprove, ApprovesWhatTheStatusSaysForAllPurposes) {
  const auto approvals = Approved();
  EXPECT_EQ(approvals.size(), 6u);
  for (const evidence::SealApproval& approval : approvals) {
    EXPECT_EQ(approval.host_id, status.host_id);
    EXPECT_EQ(approval.pcrs, status.pcrs);
    EXPECT_EQ(approval.counter_limit, 3u);
    EXPECT_TRUE(evidence::ApprovalHolds(approval, status.authority));
  }
}

TEST_F(SealApprove, ApprovesABootToComeForSomePurposes) {
  args.pcrs = {"4=" + std::string(64, 'd')};
  args.purposes = {"config", "ledger"};
  args.counter_limit = 9;
  const auto approvals = Approved();
  ASSERT_EQ(approvals.size(), 2u);
  EXPECT_EQ(approvals[0].pcrs.values.at(4), Bytes(32, 0xDD));
  EXPECT_EQ(approvals[0].pcrs.values.at(5), status.pcrs.values.at(5));
  EXPECT_EQ(approvals[1].purpose, KeyPurpose::kLedger);
  EXPECT_EQ(approvals[1].counter_limit, 9u);
}

TEST_F(SealApprove, RefusesAnotherKeyThanTheHostsAuthority) {
  const auto other =
      *evidence::SealAuthority::LoadOrGenerate(dir.path() / "other.pem");
  args.authority_key = (dir.path() / "other.pem").string();
  ExpectRefused("is not the key of host");
  args.authority_key = (dir.path() / "missing.pem").string();
  EXPECT_THAT(MakeSealApprovals(args, status),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(SealApprove, RefusesWrongArguments) {
  for (const std::string pcr : {"4", "4=", "x=00", "=00", "4=0g", "-1=00"}) {
    args.pcrs = {pcr};
    EXPECT_THAT(MakeSealApprovals(args, status),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << pcr;
  }
  args.pcrs = {"10=" + std::string(64, 'd')};
  ExpectRefused("PCR 10 is none of those");
  args.pcrs.clear();
  args.purposes = {"everything"};
  ExpectRefused("'everything' is no purpose");
  args.purposes.clear();
  status.pcrs.values.erase(7);
  ExpectRefused("boot PCR 7 is not sealed to");
}

TEST_F(SealApprove, StatusSurvivesARoundTrip) {
  const std::string json = SealStatusToJson(status);
  ASSERT_OK_AND_ASSIGN(const SealStatus parsed, SealStatusFromJson(json));
  EXPECT_EQ(SealStatusToJson(parsed), json);
  EXPECT_EQ(parsed.pcrs, status.pcrs);
  EXPECT_EQ(parsed.detail, status.detail);
}

TEST_F(SealApprove, StatusWithoutAnElementNamesIt) {
  const std::string json = SealStatusToJson(status);
  for (const std::string element : {"host_id", "seal_authority", "counter",
                                    "counter_name", "bank", "pcrs"}) {
    std::string text = json;
    text.replace(text.find("\"" + element + "\""), 2, "\"_");
    EXPECT_THAT(SealStatusFromJson(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("\"" + element + "\"")));
  }
  for (const std::string_view text : {"", "[]", "3", "{\"state\":"}) {
    EXPECT_THAT(SealStatusFromJson(text),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace vmattest::cli
