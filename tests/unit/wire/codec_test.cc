#include "wire/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "support/evidence_builder.h"
#include "support/matchers.h"
#include "support/soft_tpm.h"

namespace vmattest::wire {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// One field of the outer message: tag and length below 128.
Bytes Field(uint8_t number, std::string_view content) {
  ByteWriter writer;
  writer.U8(static_cast<uint8_t>(number << 3 | 2))
      .U8(static_cast<uint8_t>(content.size()))
      .Raw(content);
  return std::move(writer).Take();
}

Bytes Join(std::initializer_list<Bytes> parts) {
  ByteWriter writer;
  for (const Bytes& part : parts) {
    writer.Raw(part);
  }
  return std::move(writer).Take();
}

class CodecTest : public ::testing::Test {
 protected:
  testing::SoftHost host;
  testing::EvidenceBuilder builder{host};
};

TEST_F(CodecTest, EvidenceSurvivesTheRoundTrip) {
  builder.batch_size = 5;
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures.push_back(
      {.algorithm = "ml-dsa-65",
       .body = evidence::RawSignature{Bytes(32, 1), Bytes(64, 2)}});
  const Bytes bytes = EncodeEvidence(evidence);
  ASSERT_OK_AND_ASSIGN(const evidence::Evidence parsed, ParseEvidence(bytes));
  EXPECT_EQ(parsed.leaves, evidence.leaves);
  EXPECT_EQ(parsed.envelope.payload, evidence.envelope.payload);
  EXPECT_EQ(parsed.envelope.payload_type, evidence.envelope.payload_type);
  ASSERT_EQ(parsed.envelope.signatures.size(), 2u);
  const auto& quote =
      std::get<evidence::TpmQuoteSignature>(parsed.envelope.signatures[0].body);
  EXPECT_EQ(quote.batch.size, 5u);
  EXPECT_EQ(quote.batch.path.size(), 3u);
  EXPECT_EQ(quote.pcr_banks, std::vector<PcrValues>{builder.pcrs});
  EXPECT_EQ(std::get<evidence::RawSignature>(parsed.envelope.signatures[1].body)
                .signature,
            Bytes(64, 2));
  ASSERT_EQ(parsed.keys.size(), 1u);
  EXPECT_EQ(parsed.keys[0].purpose, KeyPurpose::kConfig);
  EXPECT_EQ(parsed.keys[0].epoch, 1u);
  EXPECT_EQ(EncodeEvidence(parsed), bytes);
}

TEST_F(CodecTest, StatementSurvivesTheRoundTrip) {
  evidence::ConfigStatement statement;
  statement.header = builder.header;
  statement.header.time_unix_ms = -1;
  statement.algorithm = HashAlgorithm::kBlake3;
  statement.leaf_count = 57;
  statement.root = DigestBytes(32, 1);
  statement.salt_id = "salt";
  statement.content = "chain";
  statement.xml_kind = "inactive";
  statement.vm_state = "shutoff";
  statement.cached = {{"a", 1}, {"b", 2}};
  const Bytes bytes = EncodeConfigStatement(statement);
  ASSERT_OK_AND_ASSIGN(const evidence::ConfigStatement parsed,
                       ParseConfigStatement(bytes));
  EXPECT_EQ(parsed.header.measured_at, builder.header.measured_at);
  EXPECT_EQ(parsed.header.nonce, builder.header.nonce);
  EXPECT_EQ(parsed.header.time_unix_ms, -1);
  EXPECT_EQ(parsed.algorithm, HashAlgorithm::kBlake3);
  EXPECT_EQ(parsed.cached.size(), 2u);
  EXPECT_EQ(parsed.cached[1].path, "b");
  EXPECT_EQ(EncodeConfigStatement(parsed), bytes);
}

TEST_F(CodecTest, HostStateAndInsideSurviveTheRoundTrip) {
  evidence::ConfigStatement statement;
  statement.header = builder.header;
  statement.header.host =
      evidence::HostState{.log_size = 9, .log_head = Bytes(32, 4)};
  statement.inside = "inventory";
  ASSERT_OK_AND_ASSIGN(const evidence::ConfigStatement parsed,
                       ParseConfigStatement(EncodeConfigStatement(statement)));
  EXPECT_EQ(parsed.header.host, statement.header.host);
  EXPECT_EQ(parsed.inside, "inventory");
}

TEST_F(CodecTest, StateStatementAndPagesSurviveTheRoundTrip) {
  evidence::StateStatement statement;
  statement.header = builder.header;
  statement.policy_id = "linux";
  statement.policy_version = 3;
  statement.policy_digest = Bytes(32, 7);
  statement.consistency = "paused";
  statement.pause_us = 812;
  statement.ram = {{0, 0xA0000}, {0x100000, 0x200000}};
  statement.regions = {
      {"text", "critical", 8192, 2, Bytes(32, 1), Bytes(32, 2), 0, 1, ""},
      {"idt", "high", 0, 0, {}, {}, 0, 0, "not-resolved"}};
  statement.notes = {"peek: why"};
  statement.semantics = "linux";
  statement.kernel_release = "6.1.0";
  statement.kernel_build_id = Bytes(20, 4);
  statement.findings = {
      {"syscall-hooked", "critical", "sys_call_table[62]", "kill", "evil"}};
  statement.records_root = Bytes(32, 6);
  statement.record_count = 2;
  statement.cpu_state = "measured";
  const Bytes bytes = EncodeStateStatement(statement);
  ASSERT_OK_AND_ASSIGN(const evidence::StateStatement parsed,
                       ParseStateStatement(bytes));
  EXPECT_EQ(parsed.regions, statement.regions);
  EXPECT_EQ(parsed.ram, statement.ram);
  EXPECT_EQ(parsed.findings, statement.findings);
  EXPECT_EQ(parsed.boot, std::nullopt);
  EXPECT_EQ(EncodeStateStatement(parsed), bytes);
  EXPECT_THAT(ParseStateStatement(Join({bytes, Bytes{0xFA, 0x01, 1, 'x'}})),
              StatusIs(kInvalid, HasSubstr("StateStatement")));
  EXPECT_THAT(ParseStateStatement(Bytes()),
              StatusIs(kInvalid, HasSubstr("StateStatement.algorithm")));

  statement.boot = evidence::Boot{Bytes(8, 5), 2};
  const Bytes with_boot = EncodeStateStatement(statement);
  EXPECT_EQ(Bytes(with_boot.begin(), with_boot.begin() + bytes.size()), bytes)
      << "it comes last, and before it was known nothing did";
  EXPECT_EQ(ParseStateStatement(with_boot)->boot, statement.boot);
  statement.boot->resets = 0;
  EXPECT_EQ(ParseStateStatement(EncodeStateStatement(statement))->boot,
            statement.boot);
  for (const size_t size : {0, 7, 9}) {
    statement.boot->listener = Bytes(size, 5);
    EXPECT_THAT(ParseStateStatement(EncodeStateStatement(statement)),
                StatusIs(kInvalid, HasSubstr("StateStatement.boot.listener")))
        << size;
  }

  const evidence::SnapshotPages pages = {
      {{"text",
        {{0x1000, 0x3000}},
        Bytes(64, 5),
        {{"kernel/text",
          "text",
          1U << 31,
          8192,
          0,
          0,
          2,
          {{0, "_text"}, {0x1000, "ksys_read"}}}}}},
      {{"syscall/62", "__x64_sys_kill"}}};
  ASSERT_OK_AND_ASSIGN(const evidence::SnapshotPages again,
                       ParseSnapshotPages(EncodeSnapshotPages(pages)));
  EXPECT_EQ(again.regions[0].ranges, pages.regions[0].ranges);
  EXPECT_EQ(again.regions[0].digests, pages.regions[0].digests);
  EXPECT_EQ(again.regions[0].parts, pages.regions[0].parts);
  EXPECT_EQ(again.records, pages.records);
  EXPECT_THAT(ParseSnapshotPages(Bytes()),
              StatusIs(kInvalid, HasSubstr("SnapshotPages.format")));
  for (const evidence::SnapshotPages::Part::Symbol& symbol :
       std::vector<evidence::SnapshotPages::Part::Symbol>{
           {0x1000, "twice"},
           {8192, "behind"},
           {0x1001, ""},
           {0x1001, std::string(65, 'x')},
           {0x1001, "a\n"}}) {
    evidence::SnapshotPages bad = pages;
    bad.regions[0].parts[0].symbols.push_back(symbol);
    EXPECT_THAT(ParseSnapshotPages(EncodeSnapshotPages(bad)),
                StatusIs(kInvalid, HasSubstr("RegionPart.symbols")))
        << symbol.name;
  }
}

TEST_F(CodecTest, StateRootCoversEveryFieldOfEveryRegion) {
  const evidence::RegionState region{
      "text", "critical", 8192, 2, Bytes(32, 1), Bytes(32, 2), 0, 1, ""};
  const auto root = [](const evidence::RegionState& one) {
    return evidence::StateRoot(HashAlgorithm::kSha256, {one, {}});
  };
  const DigestBytes before = root(region);
  const auto changed = [&](auto change) {
    evidence::RegionState other = region;
    change(other);
    return root(other) != before;
  };
  EXPECT_TRUE(changed([](auto& r) { r.name = "texts"; }));
  EXPECT_TRUE(changed([](auto& r) { r.severity = "low"; }));
  EXPECT_TRUE(changed([](auto& r) { ++r.bytes; }));
  EXPECT_TRUE(changed([](auto& r) { ++r.pages; }));
  EXPECT_TRUE(changed([](auto& r) { r.selection[0] ^= 1; }));
  EXPECT_TRUE(changed([](auto& r) { r.root[0] ^= 1; }));
  EXPECT_TRUE(changed([](auto& r) { ++r.unreadable_pages; }));
  EXPECT_TRUE(changed([](auto& r) { ++r.torn_pages; }));
  EXPECT_TRUE(changed([](auto& r) { r.unavailable = "x"; }));
}

TEST_F(CodecTest, HostLogStatementSurvivesTheRoundTrip) {
  evidence::HostLogStatement statement;
  statement.header = builder.header;
  statement.log_pcr = 13;
  statement.boot_record = 4;
  statement.anchor = {Bytes(3, 1), Bytes(4, 2), Bytes(5, 3)};
  statement.boot_log_size = 100;
  statement.boot_log_digest = DigestBytes(32, 5);
  const Bytes bytes = EncodeHostLogStatement(statement);
  ASSERT_OK_AND_ASSIGN(const evidence::HostLogStatement parsed,
                       ParseHostLogStatement(bytes));
  EXPECT_EQ(parsed.anchor.certify_info, Bytes(4, 2));
  EXPECT_EQ(parsed.boot_record, 4u);
  EXPECT_EQ(EncodeHostLogStatement(parsed), bytes);
  EXPECT_THAT(ParseHostLogStatement(Join({bytes, Field(15, "x")})),
              StatusIs(kInvalid, HasSubstr("HostLogStatement")));
}

TEST_F(CodecTest, SubtreesAndSaltSurviveTheRoundTrip) {
  evidence::Evidence evidence = builder.Build();
  evidence.subtrees = {{"inside", {{"a", LeafType::kText, "1"}}}};
  evidence.vm_salt = Bytes(32, 6);
  ASSERT_OK_AND_ASSIGN(const evidence::Evidence parsed,
                       ParseEvidence(EncodeEvidence(evidence)));
  ASSERT_EQ(parsed.subtrees.size(), 1u);
  EXPECT_EQ(parsed.subtrees[0].path, "inside");
  EXPECT_EQ(parsed.subtrees[0].leaves, evidence.subtrees[0].leaves);
  EXPECT_EQ(parsed.vm_salt, evidence.vm_salt);
}

TEST_F(CodecTest, CountsTheLeavesOfSubtreesToo) {
  Bytes below;
  for (int i = 0; i < (1 << 16); ++i) {
    below.push_back(2 << 3 | 2);
    below.push_back(0);
  }
  ByteWriter writer;
  writer.Raw(Field(1, "vmattest/evidence/v1"));
  for (int i = 0; i < 3; ++i) {
    // 131,072 bytes: a varint of three bytes.
    writer.U8(5 << 3 | 2).U8(0x80).U8(0x80).U8(0x08).Raw(below);
  }
  EXPECT_THAT(ParseEvidence(writer.bytes()),
              StatusIs(kInvalid, HasSubstr("Evidence.leaves")));
}

TEST_F(CodecTest, RevocationsAndPostQuantumKeysSurviveTheRoundTrip) {
  evidence::HostIdentity identity = host.Identity();
  identity.revocations.push_back({.purpose = KeyPurpose::kState,
                                  .epoch = 2,
                                  .key_name = Bytes(34, 1),
                                  .certify_info = Bytes(9, 2),
                                  .signature = Bytes(8, 3)});
  identity.pq_keys.push_back({.algorithm = "ml-dsa-65",
                              .purpose = KeyPurpose::kConfig,
                              .epoch = 1,
                              .public_key = Bytes(1952, 4),
                              .sealed_public = Bytes(5, 5),
                              .creation_data = Bytes(6, 6),
                              .certify_info = Bytes(7, 7),
                              .signature = Bytes(8, 8)});
  identity.seal_authority = Bytes(10, 9);
  identity.log_index = Bytes(11, 10);
  const Bytes bytes = EncodeHostIdentity(identity);
  ASSERT_OK_AND_ASSIGN(const evidence::HostIdentity parsed,
                       ParseHostIdentity(bytes));
  EXPECT_EQ(parsed.revocations[0].key_name, Bytes(34, 1));
  EXPECT_EQ(parsed.pq_keys[0].public_key.size(), 1952u);
  EXPECT_EQ(EncodeHostIdentity(parsed), bytes);
  ASSERT_OK_AND_ASSIGN(const evidence::HostIdentity text,
                       HostIdentityFromJson(HostIdentityToJson(identity)));
  EXPECT_EQ(EncodeHostIdentity(text), bytes);
}

TEST_F(CodecTest, EncodingIsDeterministic) {
  const evidence::Evidence evidence = builder.Build();
  EXPECT_EQ(EncodeEvidence(evidence), EncodeEvidence(evidence));
}

TEST_F(CodecTest, TruncationIsRefusedOrLosesWholeLeaves) {
  const Bytes bytes = builder.BuildFile();
  for (size_t size = 0; size < bytes.size(); ++size) {
    // A cut between two leaves is a shorter list: only a verifier can tell.
    const absl::StatusOr<evidence::Evidence> parsed =
        ParseEvidence(ByteView(bytes).first(size));
    if (parsed.ok()) {
      EXPECT_LT(parsed->leaves.size(), builder.leaves.size() + 1);
    }
  }
}

TEST_F(CodecTest, RefusesUnknownFields) {
  const Bytes bytes = builder.BuildFile();
  EXPECT_THAT(ParseEvidence(Join({bytes, Field(9, "x")})),
              StatusIs(kInvalid, HasSubstr("canonical")));
}

TEST_F(CodecTest, RefusesRepeatedAndMisplacedFields) {
  const Bytes bytes = builder.BuildFile();
  const Bytes format = Field(1, "vmattest/evidence/v1");
  EXPECT_THAT(ParseEvidence(Join({format, bytes})), StatusIs(kInvalid));
  const Bytes rest(bytes.begin() + static_cast<ptrdiff_t>(format.size()),
                   bytes.end());
  ASSERT_THAT(ParseEvidence(Join({format, rest})), IsOk());
  EXPECT_THAT(ParseEvidence(Join({rest, format})), StatusIs(kInvalid));
}

TEST_F(CodecTest, RefusesLongVarints) {
  Bytes bytes = builder.BuildFile();
  ASSERT_EQ(bytes[1], 20);  // length of the format tag
  bytes[1] = 0x80 | 20;
  bytes.insert(bytes.begin() + 2, 0x00);
  EXPECT_THAT(ParseEvidence(bytes), StatusIs(kInvalid, HasSubstr("canonical")));
}

TEST_F(CodecTest, RefusesForeignFormatTags) {
  EXPECT_THAT(ParseEvidence(Field(1, "vmattest/evidence/v2")),
              StatusIs(kInvalid, HasSubstr("Evidence.format")));
  EXPECT_THAT(ParseEvidence(EncodeHostIdentity(host.Identity())),
              StatusIs(kInvalid));
  EXPECT_THAT(ParseHostIdentity(builder.BuildFile()), StatusIs(kInvalid));
}

TEST_F(CodecTest, NamesTheFieldThatIsWrong) {
  evidence::Evidence evidence = builder.Build();
  evidence.envelope.signatures[0].algorithm = "x";
  auto& quote = std::get<evidence::TpmQuoteSignature>(
      evidence.envelope.signatures[0].body);
  quote.batch.path.assign(65, DigestBytes(32, 0));
  EXPECT_THAT(ParseEvidence(EncodeEvidence(evidence)),
              StatusIs(kInvalid, HasSubstr("BatchProof.path")));
  quote.batch.path.clear();
  quote.pcr_banks.assign(5, PcrValues());
  EXPECT_THAT(ParseEvidence(EncodeEvidence(evidence)),
              StatusIs(kInvalid, HasSubstr("pcr_banks")));
  evidence.envelope.signatures.assign(9, evidence.envelope.signatures[0]);
  EXPECT_THAT(ParseEvidence(EncodeEvidence(evidence)),
              StatusIs(kInvalid, HasSubstr("Envelope.signatures")));
}

TEST_F(CodecTest, RefusesUnknownEnumerators) {
  evidence::Evidence evidence = builder.Build();
  evidence.keys[0].purpose = static_cast<KeyPurpose>(7);
  EXPECT_THAT(ParseEvidence(EncodeEvidence(evidence)),
              StatusIs(kInvalid, HasSubstr("key purpose")));
  evidence::ConfigStatement statement;
  statement.algorithm = static_cast<HashAlgorithm>(9);
  EXPECT_THAT(ParseConfigStatement(EncodeConfigStatement(statement)),
              StatusIs(kInvalid, HasSubstr("algorithm")));
}

TEST_F(CodecTest, RefusesMoreElementsThanAHostMayCostUs) {
  Bytes bytes = Field(1, "vmattest/evidence/v1");
  for (int i = 0; i < (1 << 17) + 1; ++i) {
    bytes.push_back(4 << 3 | 2);
    bytes.push_back(0);
  }
  EXPECT_THAT(ParseEvidence(bytes),
              StatusIs(kInvalid, HasSubstr("Evidence.leaves")));
  EXPECT_THAT(ParseEvidence(Bytes(kMaxEvidenceSize + 1, 0)),
              StatusIs(kInvalid, HasSubstr("bytes")));
}

TEST_F(CodecTest, RefusesTextThatIsNotUtf8) {
  evidence::Evidence evidence = builder.Build();
  evidence.leaves.back().value = "\xff\xfe";
  EXPECT_THAT(ParseEvidence(EncodeEvidence(evidence)), StatusIs(kInvalid));
}

TEST_F(CodecTest, HostIdentitySurvivesBothEncodings) {
  const evidence::HostIdentity identity = host.Identity();
  const Bytes bytes = EncodeHostIdentity(identity);
  ASSERT_OK_AND_ASSIGN(const evidence::HostIdentity binary,
                       ParseHostIdentity(bytes));
  EXPECT_EQ(EncodeHostIdentity(binary), bytes);
  EXPECT_EQ(binary.keys.size(), identity.keys.size());
  const std::string json = HostIdentityToJson(identity);
  EXPECT_THAT(json, HasSubstr("\"host_id\": \"" + host.host_id() + "\""));
  ASSERT_OK_AND_ASSIGN(const evidence::HostIdentity text,
                       HostIdentityFromJson(json));
  EXPECT_EQ(EncodeHostIdentity(text), bytes);
}

TEST_F(CodecTest, HostIdentityJsonRefusesUnknownKeysAndForeignFormats) {
  EXPECT_THAT(HostIdentityFromJson(
                  "{\"format\":\"vmattest/host-identity/v1\",\"extra\":1}"),
              StatusIs(kInvalid));
  EXPECT_THAT(HostIdentityFromJson("{\"format\":\"x\"}"),
              StatusIs(kInvalid, HasSubstr("HostIdentity.format")));
  EXPECT_THAT(HostIdentityFromJson(std::string(kMaxHostIdentitySize * 3, ' ')),
              StatusIs(kInvalid));
  EXPECT_THAT(HostIdentityFromJson(std::string(100'000, '[')),
              StatusIs(kInvalid));
}

TEST_F(CodecTest, HostIdentityJsonTakesTheNamesThatGrpcurlPrints) {
  const evidence::HostIdentity identity = host.Identity();
  std::string json = HostIdentityToJson(identity);
  for (const auto& [ours, theirs] :
       {std::pair("\"host_id\"", "\"hostId\""),
        std::pair("\"ek_public\"", "\"ekPublic\""),
        std::pair("\"ak_public\"", "\"akPublic\"")}) {
    json.replace(json.find(ours), std::string_view(ours).size(), theirs);
  }
  ASSERT_OK_AND_ASSIGN(const evidence::HostIdentity parsed,
                       HostIdentityFromJson(json));
  EXPECT_EQ(EncodeHostIdentity(parsed), EncodeHostIdentity(identity));
}

TEST_F(CodecTest, HostIdentityJsonTakesTheLastOfTwoEqualKeys) {
  ASSERT_OK_AND_ASSIGN(
      const evidence::HostIdentity parsed,
      HostIdentityFromJson("{\"format\":\"vmattest/host-identity/v1\","
                           "\"hostname\":\"a\",\"hostname\":\"b\"}"));
  EXPECT_EQ(parsed.hostname, "b");
}

TEST_F(CodecTest, HostIdentityRefusesTrailingAndUnknownFields) {
  const Bytes bytes = EncodeHostIdentity(host.Identity());
  EXPECT_THAT(ParseHostIdentity(Join({bytes, Field(15, "x")})),
              StatusIs(kInvalid, HasSubstr("canonical")));
  EXPECT_THAT(ParseHostIdentity(ByteView(bytes).first(bytes.size() - 1)),
              StatusIs(kInvalid));
}

}  // namespace
}  // namespace vmattest::wire
