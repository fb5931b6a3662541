#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "crypto/digest.h"
#include "evidence/envelope.h"
#include "evidence/tpm_structures.h"
#include "support/soft_tpm.h"
#include "support/vectors.h"
#include "wire/codec.h"

// The worked examples of docs/formats/, recomputed.

namespace vmattest::wire {
namespace {

// The lines "label: hex" of the section "## Worked example"; a value may go on
// in lines that begin with spaces.
std::map<std::string, std::string> Example(const std::string& doc) {
  std::istringstream lines(
      testing::Slurp(std::filesystem::path(VMATTEST_FORMAT_DOCS) / doc));
  std::map<std::string, std::string> values;
  bool inside = false;
  std::string label;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("## ")) {
      inside = line == "## Worked example";
    }
    const size_t colon = line.find(": ");
    if (inside && !line.starts_with(" ") && colon != std::string::npos) {
      label = line.substr(0, colon);
      values[label] = line.substr(colon + 2);
    } else if (inside && line.starts_with("    ")) {
      values[label] += line.substr(line.find_first_not_of(' '));
    } else {
      label.clear();
    }
  }
  return values;
}

TEST(FormatDocs, ExampleOfTheEnvelopeHolds) {
  auto example = Example("envelope.md");
  const Bytes pae =
      evidence::PreAuthEncoding(evidence::kConfigPayloadType, AsBytes("hello"));
  const DigestBytes digest = Hash(HashAlgorithm::kSha256, pae);
  const DigestBytes leaf = evidence::BatchLeaf(digest);
  EXPECT_EQ(example["pae"], ToHex(pae));
  EXPECT_EQ(example["sha256(pae)"], ToHex(digest));
  EXPECT_EQ(example["leaf"], ToHex(leaf));
  EXPECT_EQ(example["qualifying data"],
            ToHex(evidence::QualifyingData(KeyPurpose::kConfig, leaf, 1)));
}

evidence::ConfigStatement ExampleStatement() {
  evidence::ConfigStatement statement;
  statement.header.module_version = "0.1.0";
  statement.header.host_id = "ab";
  statement.header.vm_uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f";
  statement.header.vm_name = "web-1";
  statement.header.nonce = Bytes(16, 0x5A);
  statement.header.time_unix_ms = 1'700'000'000'000;
  statement.header.measured_at = {
      .clock_ms = 60'000, .reset_count = 7, .restart_count = 0, .safe = true};
  statement.header.signature_algorithms = {
      std::string(evidence::kTpmQuoteAlgorithm)};
  statement.header.sequence = 1;
  statement.algorithm = HashAlgorithm::kSha256;
  statement.leaf_count = 6;
  statement.root = DigestBytes(32, 0x11);
  statement.content = "full";
  statement.xml_kind = "live";
  statement.vm_state = "running";
  return statement;
}

TEST(FormatDocs, ExampleOfTheEvidenceHolds) {
  auto example = Example("evidence.md");
  EXPECT_EQ(example["statement"],
            ToHex(EncodeConfigStatement(ExampleStatement())));
  evidence::Evidence evidence;
  evidence.leaves = {{"name", LeafType::kText, "web-1"}};
  EXPECT_EQ(example["evidence"], ToHex(EncodeEvidence(evidence)));
}

TEST(FormatDocs, ExampleOfTheHostIdentityHolds) {
  auto example = Example("host-identity.md");
  const Bytes ek = testing::EncodeEccPublic(
      {.name_algorithm = testing::kTpmAlgSha256,
       .attributes = testing::kEkAttributes,
       .auth_policy = Bytes(32, 0x83),
       .scheme = testing::kTpmAlgNull,
       .scheme_hash = 0,
       .key = {EcCurve::kP256, Bytes(32, 0x01), Bytes(32, 0x02)},
       .name = {}});
  const Bytes name = evidence::NameOf(ek).value();
  EXPECT_EQ(example["ek_public"], ToHex(ek));
  EXPECT_EQ(example["name"], ToHex(name));
  EXPECT_EQ(example["host_id"], ToHex(ByteView(name).subspan(2)));
  EXPECT_EQ(
      example["qualified name"],
      ToHex(evidence::PrimaryQualifiedName(evidence::kTpmRhEndorsement, name)
                .value()));
  EXPECT_EQ(example["certify qualifying data"],
            ToHex(evidence::CertifyQualifyingData(KeyPurpose::kConfig, 1)));
}

}  // namespace
}  // namespace vmattest::wire
