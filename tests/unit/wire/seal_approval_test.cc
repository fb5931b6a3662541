#include "wire/seal_approval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evidence/seal_authority.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

namespace vmattest::wire {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

// That of the worked example in docs/formats/seal-approval.md.
evidence::SealApproval Example() {
  evidence::SealApproval approval;
  for (int i = 0; i < 32; ++i) {
    approval.host_id += "ab";
  }
  for (uint32_t pcr = 0; pcr < 8; ++pcr) {
    approval.pcrs.values[pcr] = Bytes(32, static_cast<uint8_t>(0x10 + pcr));
  }
  approval.counter_limit = 5;
  approval.counter_name = {0x00, 0x0B};
  approval.counter_name.resize(34, 0x22);
  return approval;
}

class SealApprovalFile : public ::testing::Test {
 protected:
  SealApprovalFile() {
    for (const KeyPurpose purpose :
         {KeyPurpose::kLedger, KeyPurpose::kConfig, KeyPurpose::kState}) {
      evidence::SealApproval approval = Example();
      approval.purpose = purpose;
      EXPECT_THAT(authority.Sign(approval), IsOk());
      approvals.push_back(std::move(approval));
    }
    json = *SealApprovalsToJson(approvals);
  }
  void ExpectRefused(const std::string& text, const std::string& why) {
    EXPECT_THAT(SealApprovalsFromJson(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  }
  std::string Replaced(std::string_view what, std::string_view by) const {
    std::string text = json;
    const size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return text.replace(at, what.size(), by);
  }

  testing::TempDir dir;
  evidence::SealAuthority authority =
      *evidence::SealAuthority::LoadOrGenerate(dir.path() / "key.pem");
  std::vector<evidence::SealApproval> approvals;
  std::string json;
};

TEST_F(SealApprovalFile, SurvivesARoundTrip) {
  ASSERT_OK_AND_ASSIGN(const auto parsed, SealApprovalsFromJson(json));
  ASSERT_EQ(parsed.size(), 3u);
  EXPECT_EQ(parsed[0].purpose, KeyPurpose::kConfig);
  EXPECT_EQ(parsed[2].purpose, KeyPurpose::kLedger);
  for (const evidence::SealApproval& approval : parsed) {
    EXPECT_EQ(approval.host_id, approvals[0].host_id);
    EXPECT_EQ(approval.pcrs, approvals[0].pcrs);
    EXPECT_EQ(approval.counter_limit, 5u);
    EXPECT_EQ(approval.counter_name, approvals[0].counter_name);
    EXPECT_TRUE(evidence::ApprovalHolds(approval, authority.public_area()));
  }
}

TEST_F(SealApprovalFile, NoBitOfItCanChange) {
  for (size_t i = 0; i < json.size(); ++i) {
    std::string text = json;
    text[i] = static_cast<char>(text[i] ^ (1 << (i % 7)));
    const auto parsed = SealApprovalsFromJson(text);
    bool holds = parsed.ok() && parsed->size() == approvals.size();
    for (size_t n = 0; holds && n < parsed->size(); ++n) {
      holds = evidence::ApprovalHolds((*parsed)[n], authority.public_area());
    }
    EXPECT_FALSE(holds) << "byte " << i << ": " << text.substr(i, 20);
  }
}

TEST_F(SealApprovalFile, RefusesWhatItWouldNotHaveWritten) {
  ExpectRefused("", "SealApprovalFile");
  ExpectRefused("[]", "SealApprovalFile");
  ExpectRefused("{}", "format");
  ExpectRefused(json + " ", "canonical");
  ExpectRefused(Replaced("\"format\"", "\"more\": 1, \"format\""), "more");
  ExpectRefused(Replaced("seal-approval/v1", "seal-approval/v2"), "format");
  ExpectRefused(Replaced("\"sha256\"", "\"sha1\""), "bank");
  ExpectRefused(Replaced("\"sha256\"", "\"sha384\""), "32 bytes, not 48");
  ExpectRefused(Replaced("\"index\": 7", "\"index\": 10"), "PCR 10");
  ExpectRefused(Replaced("\"index\": 7", "\"index\": 6"), "PCR 6 twice");
  ExpectRefused(Replaced("\"state\"", "\"config\""), "each purpose once");
  ExpectRefused(Replaced("\"state\"", "\"states\""), "'states' is unknown");
  ExpectRefused(Replaced("\"abab", "\"ABAB"), "host_id");
  ExpectRefused(Replaced("\"0018", "\"0014"), "signature");
  ExpectRefused(Replaced("1717", "171G"), "pcrs.value");
  ExpectRefused(std::string(kMaxSealApprovalSize + 1, ' '), "at most");
  ExpectRefused(std::string(30'000, '['), "SealApprovalFile");
}

TEST_F(SealApprovalFile, IsOfOneBootAndHasSomething) {
  EXPECT_THAT(SealApprovalsToJson({}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  approvals[1].counter_limit = 6;
  EXPECT_THAT(SealApprovalsToJson(approvals),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("more than one boot")));
  approvals[1] = approvals[0];
  EXPECT_THAT(SealApprovalsToJson(approvals),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("each purpose once")));
}

// "label: hex" of the document, the hex going on in lines that begin with
// spaces.
std::string InDocument(const std::string& label) {
  const std::string document = testing::Slurp(
      std::filesystem::path(VMATTEST_FORMAT_DOCS) / "seal-approval.md");
  size_t at = document.find("\n" + label + ": ");
  if (at == std::string::npos) {
    return "no " + label;
  }
  std::string value;
  for (at += label.size() + 3; at < document.size(); ++at) {
    if (document[at] == '\n' && document[at + 1] != ' ') {
      break;
    }
    if (document[at] != '\n' && document[at] != ' ') {
      value += document[at];
    }
  }
  return value;
}

TEST(SealApprovalDocument, ExampleHolds) {
  const evidence::SealApproval approval = Example();
  const Bytes authority = evidence::AuthorityPublic(
      EcPublicKey{EcCurve::kP256, Bytes(32, 0x01), Bytes(32, 0x02)});
  const Bytes name = evidence::NameOf(authority).value();
  const Bytes key(1952, 0x5A);
  EXPECT_EQ(InDocument("authority"), ToHex(authority));
  EXPECT_EQ(InDocument("authority name"), ToHex(name));
  EXPECT_EQ(
      InDocument("policyRef"),
      ToHex(evidence::SealPolicyRef(approval.host_id, KeyPurpose::kConfig)));
  EXPECT_EQ(InDocument("authPolicy"),
            ToHex(evidence::SealAuthPolicy(name, approval.host_id,
                                           KeyPurpose::kConfig)));
  EXPECT_EQ(InDocument("approved policy"),
            ToHex(evidence::ApprovedPolicy(approval).value()));
  EXPECT_EQ(InDocument("approval digest"),
            ToHex(evidence::ApprovalDigest(approval).value()));
  EXPECT_EQ(InDocument("outsideInfo"),
            ToHex(evidence::SeedOutsideInfo("ml-dsa-65", KeyPurpose::kConfig, 1,
                                            key)));
  EXPECT_EQ(InDocument("certify qualifying data"),
            ToHex(evidence::SeedQualifyingData("ml-dsa-65", KeyPurpose::kConfig,
                                               1, key)));
}

}  // namespace
}  // namespace vmattest::wire
