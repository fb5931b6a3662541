#include "yaml/yaml_message.h"

#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/message_differencer.h"
#include "support/matchers.h"
#include "vmattest/v1/attestation.pb.h"
#include "vmattest/v1/config.pb.h"
#include "yaml/yaml_document.h"

namespace vmattest::yaml {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::StartsWith;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::Status Merge(std::string_view text, google::protobuf::Message& message) {
  return MergeYaml(text, "f.yaml", message, nullptr);
}

TEST(YamlMessage, FillsNestedMessagesListsAndScalars) {
  v1::DaemonConfig config;
  ASSERT_THAT(Merge(R"(
state_dir: /s
listen:
  tcp:
    address: "[::]:1"
    clients:
      - {identity: 'spiffe://a/b', role: read, vms: ["*"]}
      - identity: spiffe://a/c
        role: admin
tpm: {pcrs: [0, 0x0d], persistent_handle_base: 0x81010100}
measurement: {disable_digest_cache: true}
)",
                    config),
              IsOk());
  EXPECT_EQ(config.state_dir(), "/s");
  EXPECT_EQ(config.listen().tcp().clients(1).role(), "admin");
  EXPECT_EQ(config.listen().tcp().clients(0).vms(0), "*");
  EXPECT_THAT(config.tpm().pcrs(), ElementsAre(0, 13));
  EXPECT_EQ(config.tpm().persistent_handle_base(), 0x81010100u);
  EXPECT_TRUE(config.measurement().disable_digest_cache());
}

TEST(YamlMessage, LaterFileReplacesScalarsAndListsAndKeepsTheRest) {
  v1::DaemonConfig config;
  ASSERT_THAT(Merge("tpm: {pcrs: [0, 1], tcti: a}", config), IsOk());
  ASSERT_THAT(Merge("tpm: {pcrs: [2]}", config), IsOk());
  EXPECT_THAT(config.tpm().pcrs(), ElementsAre(2));
  EXPECT_EQ(config.tpm().tcti(), "a");
}

TEST(YamlMessage, SetsEnumeratorsByShortAndByFullName) {
  v1::MeasureConfigRequest request;
  ASSERT_THAT(
      Merge("{content: full, algorithm: HASH_ALGORITHM_BLAKE3}", request),
      IsOk());
  EXPECT_EQ(request.content(), v1::CONTENT_POLICY_FULL);
  EXPECT_EQ(request.algorithm(), v1::HASH_ALGORITHM_BLAKE3);
  EXPECT_THAT(Merge("content: most", request),
              StatusIs(kInvalid, HasSubstr("one of unspecified, full")));
}

TEST(YamlMessage, SetsBytesFromHexadecimal) {
  v1::AttestConfigRequest request;
  ASSERT_THAT(Merge("nonce: \"00ff10\"", request), IsOk());
  EXPECT_EQ(request.nonce(), std::string("\0\xff\x10", 3));
  EXPECT_THAT(Merge("nonce: xyz", request), StatusIs(kInvalid));
}

TEST(YamlMessage, FillsMapFields) {
  google::protobuf::Struct object;
  ASSERT_THAT(
      Merge("fields: {a: {string_value: x}, b: {bool_value: true}}", object),
      IsOk());
  EXPECT_EQ(object.fields().at("a").string_value(), "x");
  EXPECT_TRUE(object.fields().at("b").bool_value());
}

TEST(YamlMessage, RefusesTwoMembersOfAOneof) {
  google::protobuf::Value value;
  EXPECT_THAT(
      Merge("{string_value: x,\n bool_value: true}", value),
      StatusIs(kInvalid, "f.yaml:2: bool_value: excludes string_value"));
}

TEST(YamlMessage, WhatItWritesItReadsBack) {
  v1::DaemonConfig config;
  config.set_state_dir("/a \"b\"\\\n\x01");
  config.mutable_tpm()->add_pcrs(3);
  auto* client = config.mutable_listen()->mutable_tcp()->add_clients();
  client->set_identity("x: y");
  client->add_vms("*");
  config.mutable_listen()->mutable_tcp()->add_clients();
  config.mutable_limits()->set_max_watchers(7);
  v1::DaemonConfig read;
  ASSERT_THAT(Merge(ToYaml(config), read), IsOk()) << ToYaml(config);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(config, read))
      << ToYaml(config);
}

struct BadYaml {
  const char* text;
  const char* message;
};

class YamlError : public ::testing::TestWithParam<BadYaml> {};

TEST_P(YamlError, SaysFileLineAndKey) {
  v1::DaemonConfig config;
  EXPECT_THAT(Merge(GetParam().text, config),
              StatusIs(kInvalid, StartsWith(GetParam().message)))
      << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    YamlMessage, YamlError,
    ::testing::Values(
        BadYaml{"tpm:\n  tcto: x\n", "f.yaml:2: tpm.tcto: unknown key; known"},
        BadYaml{"\n\ntmp: 1\n", "f.yaml:3: tmp: unknown key"},
        BadYaml{"state_dir: a\nlog_level: b\nstate_dir: c\n",
                "f.yaml:3: state_dir: comes twice"},
        BadYaml{"tpm:\n  pcrs: 3\n", "f.yaml:2: tpm.pcrs: must be a list"},
        BadYaml{"tpm:\n  pcrs:\n  - 1\n  - x\n",
                "f.yaml:4: tpm.pcrs[1]: must be an integer from 0 to"},
        BadYaml{"tpm: {log_pcr: -1}", "f.yaml:1: tpm.log_pcr: must be an int"},
        BadYaml{"tpm: {log_pcr: 4294967296}", "f.yaml:1: tpm.log_pcr: must be"},
        BadYaml{"tpm: {log_pcr: 0x-1}", "f.yaml:1: tpm.log_pcr: must be an"},
        BadYaml{"tpm: {log_pcr: \"13\"}", "f.yaml:1: tpm.log_pcr: must be an"},
        BadYaml{"tpm: {log_pcr: 13 }\n# c\nlisten: []",
                "f.yaml:3: listen: must be a map"},
        BadYaml{"measurement: {disable_digest_cache: yes}",
                "f.yaml:1: measurement.disable_digest_cache: must be true or"},
        BadYaml{"state_dir:\n", "f.yaml:1: state_dir: has no value"},
        BadYaml{"state_dir: {a: b}\n", "f.yaml:1: state_dir: must be a single"},
        BadYaml{"- a\n", "f.yaml:1: must be a map of keys"},
        BadYaml{"a: &x 1\n", "f.yaml:1: anchors are not supported"},
        BadYaml{"a: *x\n", "f.yaml:1: "},
        BadYaml{"state_dir: !!int 3\n", "f.yaml:1: tag "},
        BadYaml{"{[a]: b}\n", "f.yaml:1: a key must be a plain word"},
        BadYaml{"log_level: a\n---\nlog_level: b\n",
                "f.yaml:2: a second document"},
        BadYaml{"a: [1\nb: 2\n", "f.yaml:"}, BadYaml{"a: \"\n", "f.yaml:"},
        BadYaml{"\ta: b\n", "f.yaml:"}));

TEST(YamlDocument, NestingIsBounded) {
  std::string text = "a: ";
  for (int i = 0; i < 40; ++i) {
    text += "{a: ";
  }
  EXPECT_THAT(ParseYaml(text + "1" + std::string(40, '}'), "f"),
              StatusIs(kInvalid, "f:1: nested deeper than 32"));
  EXPECT_THAT(ParseYaml("a: " + std::string(100'000, '['), "f"),
              StatusIs(kInvalid));
}

TEST(YamlDocument, NumberOfValuesIsBounded) {
  std::string text = "a: [";
  for (size_t i = 0; i < kMaxYamlNodes; ++i) {
    text += "1,";
  }
  EXPECT_THAT(ParseYaml(text + "1]", "f"),
              StatusIs(kInvalid, HasSubstr("more than 50000 values")));
}

TEST(YamlDocument, SizeIsBounded) {
  EXPECT_THAT(ParseYaml(std::string(kMaxYamlBytes + 1, '#'), "f"),
              StatusIs(kInvalid, HasSubstr("larger than")));
}

TEST(YamlDocument, AliasBombIsRefusedAtItsFirstAnchor) {
  EXPECT_THAT(ParseYaml("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "f"),
              StatusIs(kInvalid, "f:1: anchors are not supported"));
}

TEST(YamlDocument, EmptyTextIsAnEmptyMap) {
  for (const char* text : {"", "# nothing\n", "---\n"}) {
    ASSERT_OK_AND_ASSIGN(const YamlNode root, ParseYaml(text, "f"));
    EXPECT_EQ(root.kind, YamlNode::Kind::kMap) << text;
    EXPECT_TRUE(root.entries.empty()) << text;
  }
}

TEST(Origins, NameFileAndLineOfWhateverSetTheKeyLast) {
  v1::DaemonConfig config;
  Origins origins;
  ASSERT_THAT(
      MergeYaml("tpm:\n  pcrs: [1]\n  tcti: a\n", "a", config, &origins),
      IsOk());
  ASSERT_THAT(MergeYaml("tpm: {tcti: b}", "b", config, &origins), IsOk());
  EXPECT_EQ(origins["tpm.pcrs"], "a:2");
  EXPECT_EQ(origins["tpm.pcrs[0]"], "a:2");
  EXPECT_EQ(origins["tpm.tcti"], "b:1");
}

TEST(MergeEnvironment, SetsNestedScalars) {
  v1::DaemonConfig config;
  Origins origins;
  ASSERT_THAT(MergeEnvironment({{"VMATTEST_TPM__TCTI", "x"},
                                {"VMATTEST_LISTEN__TCP__ADDRESS", "h:1"},
                                {"VMATTEST_VECTORS", "unrelated"},
                                {"PATH", "a__b"}},
                               "VMATTEST_", config, &origins),
              IsOk());
  EXPECT_EQ(config.tpm().tcti(), "x");
  EXPECT_EQ(config.listen().tcp().address(), "h:1");
  EXPECT_EQ(origins["tpm.tcti"], "environment:VMATTEST_TPM__TCTI");
}

TEST(MergeEnvironment, RefusesVariablesThatNameNoSingleValue) {
  for (const char* name :
       {"VMATTEST_TPM__TCTO", "VMATTEST_TPM__PCRS", "VMATTEST_LISTEN__TCP",
        "VMATTEST_NO__THING", "VMATTEST_TPM__TCTI__X"}) {
    v1::DaemonConfig config;
    EXPECT_THAT(MergeEnvironment({{name, "1"}}, "VMATTEST_", config, nullptr),
                StatusIs(kInvalid, HasSubstr(name)));
  }
  v1::DaemonConfig config;
  EXPECT_THAT(MergeEnvironment({{"VMATTEST_TPM__LOG_PCR", "x"}}, "VMATTEST_",
                               config, nullptr),
              StatusIs(kInvalid, AllOf(HasSubstr("VMATTEST_TPM__LOG_PCR"),
                                       HasSubstr("must be an integer"))));
}

}  // namespace
}  // namespace vmattest::yaml
