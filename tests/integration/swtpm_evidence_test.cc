// Evidence whose every TPM byte a real TPM 2.0 implementation made (swtpm),
// from provisioning to an outsider's tool.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "base/clock.h"
#include "cli/exit_code.h"
#include "cli/export_command.h"
#include "cli/verify_command.h"
#include "crypto/digest.h"
#include "evidence/config_tree.h"
#include "evidence/tpm_structures.h"
#include "merkle/tree.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "tpm/esys/esys_host_tpm.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;

constexpr int64_t kTimeUnixMs = 1'700'000'000'000;
constexpr std::string_view kUuid = "6695eb01-f6a4-8304-79aa-97f2502e193f";

class SwtpmEvidenceTest : public ::testing::Test {
 protected:
  SwtpmEvidenceTest() : tpm(Options()) {}

  tpm::EsysHostTpmOptions Options() {
    tpm::EsysHostTpmOptions options;
    options.tcti = swtpm.tcti();
    options.pcrs = {0, 1, 2, 3, 4, 5, 6, 7, 13};
    options.key_auth = SecretBytes(ToBytes("a secret of the test"));
    options.pin_file = dir.path() / "pin.json";
    options.hostname = "swtpm-host";
    return options;
  }

  void SetUp() override {
    ASSERT_THAT(tpm.Provision(), IsOk());
    ASSERT_OK_AND_ASSIGN(identity, tpm.GetIdentity());
    const std::string json = wire::HostIdentityToJson(identity);
    dir.Write("anchors/host.json", json);
    ASSERT_THAT(anchors.Add(json), IsOk());
    ASSERT_OK_AND_ASSIGN(measured_at, tpm.ReadClock());
  }

  evidence::Envelope MakeEnvelope(const ConfigTree& tree) const {
    evidence::ConfigStatement statement;
    statement.header.host_id = identity.host_id;
    statement.header.vm_uuid = kUuid;
    statement.header.nonce = Bytes(32, 0x5A);
    statement.header.time_unix_ms = kTimeUnixMs;
    statement.header.measured_at = measured_at;
    statement.header.signature_algorithms = {
        std::string(evidence::kTpmQuoteAlgorithm)};
    statement.leaf_count = tree.leaves.size();
    statement.root = tree.root;
    statement.content = "none";
    statement.xml_kind = "live";
    statement.vm_state = "running";
    evidence::Envelope envelope;
    envelope.payload_type = evidence::kConfigPayloadType;
    envelope.payload = wire::EncodeConfigStatement(statement);
    return envelope;
  }

  // One evidence in a batch of three.
  absl::StatusOr<Bytes> Seal() {
    ASSIGN_OR_RETURN(const ConfigTree tree,
                     evidence::BuildConfigTree(
                         HashAlgorithm::kSha256,
                         {{"name", LeafType::kText, "web-1"}}, SecretBytes()));
    evidence::Evidence evidence;
    evidence.leaves = tree.leaves;
    evidence.envelope = MakeEnvelope(tree);
    const DigestBytes pae =
        Hash(HashAlgorithm::kSha256,
             evidence::PreAuthEncoding(evidence.envelope.payload_type,
                                       evidence.envelope.payload));
    const merkle::Tree batch(
        HashAlgorithm::kSha256,
        {evidence::BatchLeaf(DigestBytes(32, 1)), evidence::BatchLeaf(pae),
         evidence::BatchLeaf(DigestBytes(32, 2))});
    ASSIGN_OR_RETURN(tpm::Quote quote,
                     tpm.MakeQuote(KeyPurpose::kConfig,
                                   evidence::QualifyingData(KeyPurpose::kConfig,
                                                            batch.Root(), 3)));
    evidence.envelope.signatures.push_back(
        {.algorithm = std::string(evidence::kTpmQuoteAlgorithm),
         .body = evidence::TpmQuoteSignature{
             .key_name = quote.key_name,
             .quoted = quote.quoted,
             .signature = quote.signature,
             .pcr_banks = quote.pcr_banks,
             .batch = {
                 .index = 1, .size = 3, .path = batch.InclusionProof(1)}}});
    for (const evidence::KeyCertification& key : identity.keys) {
      ASSIGN_OR_RETURN(const Bytes name, evidence::NameOf(key.public_area));
      if (name == quote.key_name) {
        evidence.keys.push_back(key);
      }
    }
    return wire::EncodeEvidence(evidence);
  }

  verifier::Appraisal Appraise(ByteView file) const {
    return verifier::Verify(file, anchors, policy,
                            WallTime(std::chrono::milliseconds(kTimeUnixMs)))
        .value();
  }

  testing::Swtpm swtpm;
  testing::TempDir dir;
  tpm::EsysHostTpm tpm;
  evidence::HostIdentity identity;
  TpmClock measured_at;
  verifier::Anchors anchors;
  verifier::Policy policy;
};

TEST_F(SwtpmEvidenceTest, Verifies) {
  ASSERT_OK_AND_ASSIGN(const Bytes file, Seal());
  policy.nonce = Bytes(32, 0x5A);
  const verifier::Appraisal appraisal = Appraise(file);
  ASSERT_TRUE(appraisal.verdict.trusted())
      << appraisal.verdict.reasons.front().code << " "
      << appraisal.verdict.reasons.front().element << " "
      << appraisal.verdict.reasons.front().found;
  EXPECT_EQ(appraisal.claims.hostname, "swtpm-host");
  EXPECT_EQ(appraisal.claims.pcr_banks.front().values.size(), 9u);
}

TEST_F(SwtpmEvidenceTest, NoByteOfItIsFree) {
  ASSERT_OK_AND_ASSIGN(Bytes file, Seal());
  for (size_t i = 0; i < file.size(); ++i) {
    const auto mask = static_cast<uint8_t>(1u << (i % 8));
    file[i] ^= mask;
    ASSERT_FALSE(Appraise(file).verdict.trusted()) << "byte " << i;
    file[i] ^= mask;
  }
}

TEST_F(SwtpmEvidenceTest, ExportIsAcceptedByTpm2Checkquote) {
  ASSERT_OK_AND_ASSIGN(const Bytes file, Seal());
  const std::string path = dir.Write("vm.evidence", AsText(file)).string();
  const std::string out = (dir.path() / "out").string();
  std::ostringstream said;
  ASSERT_EQ(cli::RunExport({path, out, (dir.path() / "anchors").string()}, said,
                           said),
            cli::kExitGood)
      << said.str();
  const std::string check =
      "cd " + out +
      " && tpm2_checkquote -u ak.pem -m quote.msg -s quote.sig -f quote.pcrs "
      "-g sha256 -q $(cat qualification.hex) >/dev/null 2>&1";
  EXPECT_EQ(std::system(check.c_str()), 0);
  const std::string wrong =
      "cd " + out +
      " && tpm2_checkquote -u host-ak.pem -m quote.msg -s quote.sig "
      "-f quote.pcrs -g sha256 -q $(cat qualification.hex) >/dev/null 2>&1";
  EXPECT_NE(std::system(wrong.c_str()), 0);
  const std::string certified =
      "cd " + out +
      " && openssl dgst -sha256 -verify host-ak.pem -signature certify.der "
      "certify.msg >/dev/null 2>&1";
  EXPECT_EQ(std::system(certified.c_str()), 0);
}

TEST_F(SwtpmEvidenceTest, CoversThePcrsAsTheyAre) {
  ASSERT_OK_AND_ASSIGN(const Bytes before, Seal());
  swtpm.ExtendPcr(13, Bytes(32, 7));
  ASSERT_OK_AND_ASSIGN(const Bytes after, Seal());
  const verifier::Claims first = Appraise(before).claims;
  const verifier::Appraisal second = Appraise(after);
  EXPECT_TRUE(second.verdict.trusted());
  EXPECT_NE(first.pcr_banks, second.claims.pcr_banks);
}

TEST_F(SwtpmEvidenceTest, S6_RejectsMeasurementBeforeAPowerCycle) {
  swtpm.Kill();
  swtpm.Start();
  absl::StatusOr<Bytes> file = Seal();
  for (int tries = 0; !file.ok() && tries < 3; ++tries) {
    file = Seal();
  }
  ASSERT_THAT(file, IsOk());
  const verifier::Appraisal appraisal = Appraise(*file);
  ASSERT_FALSE(appraisal.verdict.trusted());
  EXPECT_EQ(appraisal.verdict.reasons.front().code, "clock-reset");
}

TEST_F(SwtpmEvidenceTest, RejectsEvidenceOfAnotherTpm) {
  ASSERT_OK_AND_ASSIGN(const Bytes file, Seal());
  swtpm.ReplaceWithFreshOne();
  tpm::EsysHostTpmOptions options = Options();
  options.pin_file = dir.path() / "other-pin.json";
  tpm::EsysHostTpm other(std::move(options));
  ASSERT_THAT(other.Provision(), IsOk());
  verifier::Anchors others;
  ASSERT_THAT(others.Add(wire::HostIdentityToJson(other.GetIdentity().value())),
              IsOk());
  ASSERT_OK_AND_ASSIGN(
      const verifier::Appraisal appraisal,
      verifier::Verify(file, others, policy,
                       WallTime(std::chrono::milliseconds(kTimeUnixMs))));
  ASSERT_FALSE(appraisal.verdict.trusted());
  EXPECT_EQ(appraisal.verdict.reasons.front().code, "host-unknown");
}

}  // namespace
}  // namespace vmattest
