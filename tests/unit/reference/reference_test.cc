#include "reference/reference.h"

#include <gmock/gmock.h>

#include "support/matchers.h"
#include "vmattest/v1/document.pb.h"

namespace vmattest::reference {
namespace {

using ::testing::HasSubstr;
using ::vmattest::testing::StatusIs;
using Kind = LeafRule::Kind;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr char kVm[] = "6695eb01-f6a4-8304-79aa-97f2502e193f";
constexpr char kOtherVm[] = "11111111-f6a4-8304-79aa-97f2502e193f";

Reference Full() {
  Reference reference;
  reference.header = {1'000, 2'000, 3'000, {"ecdsa-p256", "ml-dsa-65"}};
  reference.name = "web-servers";
  reference.revision = 7;
  reference.vm_uuids = {kVm, kOtherVm};
  reference.mode = GateMode::kWarn;
  reference.algorithm = HashAlgorithm::kSha384;
  reference.content = "full";
  reference.inside = "inventory";
  reference.roots = {DigestBytes(48, 1), DigestBytes(48, 2)};
  reference.rules = {
      {"memory/max", Kind::kAtLeast, LeafType::kSize, {"4294967296"}},
      {"disk[*]/**", Kind::kOneOf, std::nullopt, {"a \"b\"", "c\n: -"}},
      {"name",
       Kind::kEqual,
       LeafType::kText,
       {"w\xc3\xa9"
        "b"}},
      {"hostdev[**", Kind::kAbsent, std::nullopt, {}},
      {"uuid", Kind::kAny, std::nullopt, {}},
      {"vcpu/max", Kind::kAtMost, std::nullopt, {"8"}}};
  reference.accept_cached_content = false;
  reference.accept_unavailable = true;
  reference.disk_continuity = true;
  reference.accept_unrecorded_disks = true;
  reference.strict_start = true;
  reference.host_ids = {"ab12", "cd34"};
  reference.pcrs = {{0, {Bytes(32, 1)}}, {7, {Bytes(32, 1), Bytes(32, 2)}}};
  reference.required_signatures = {"tpm2-quote", "ml-dsa-65"};
  reference.max_unmanaged_vms = 0;
  reference.verdict_seconds = 600;
  reference.comment = "for the web";
  return reference;
}

TEST(ReferenceTest, EncodesAndParsesToTheSameBytes) {
  for (const Reference& reference : {Full(), [] {
                                       Reference small = Full();
                                       small.host_ids.clear();
                                       small.pcrs.clear();
                                       small.required_signatures.clear();
                                       small.max_unmanaged_vms.reset();
                                       small.verdict_seconds = 3600;
                                       return small;
                                     }()}) {
    const Bytes bytes = Encode(reference);
    ASSERT_OK_AND_ASSIGN(const Reference parsed, Parse(bytes));
    EXPECT_EQ(Encode(parsed), bytes);
    EXPECT_EQ(parsed.verdict_seconds, reference.verdict_seconds);
    EXPECT_EQ(parsed.rules[0].kind, Kind::kAtLeast);
    EXPECT_EQ(parsed.max_unmanaged_vms, reference.max_unmanaged_vms);
    EXPECT_TRUE(parsed.strict_start);
  }
}

TEST(ReferenceTest, YamlSaysTheSame) {
  const Reference reference = Full();
  ASSERT_OK_AND_ASSIGN(const Reference read, FromYaml(ToYaml(reference)));
  EXPECT_EQ(Encode(read), Encode(reference)) << ToYaml(reference);
}

TEST(ReferenceTest, YamlThatSaysLittleHasTheDefaults) {
  ASSERT_OK_AND_ASSIGN(const Reference reference, FromYaml(R"(
name: web
vm_uuids: ["*"]
config:
  rules:
    - path: memory/max
      kind: at_least
      values: ["1"]
)"));
  EXPECT_EQ(reference.revision, 1u);
  EXPECT_EQ(reference.mode, GateMode::kEnforce);
  EXPECT_EQ(reference.content, "chain");
  EXPECT_EQ(reference.inside, "none");
  EXPECT_TRUE(reference.accept_cached_content);
  EXPECT_FALSE(reference.accept_other_leaves);
  EXPECT_EQ(reference.verdict_seconds, 3600u);
  EXPECT_EQ(reference.header.issued_unix_ms, 0);
}

TEST(ReferenceTest, YamlWithAnUnknownKeyIsRefusedWithItsLine) {
  EXPECT_THAT(FromYaml("name: web\nvm_uuid: x\n"),
              StatusIs(kInvalid, HasSubstr("reference:2: vm_uuid")));
}

template <class Edit>
absl::Status After(Edit edit) {
  Reference reference = Full();
  edit(reference);
  return Parse(Encode(reference)).status();
}

#define EXPECT_REFUSED(statement, why)                \
  EXPECT_THAT(After([](Reference& r) { statement; }), \
              StatusIs(kInvalid, HasSubstr(why)))

TEST(ReferenceTest, WhatContradictsItselfIsRefused) {
  EXPECT_THAT(After([](Reference&) {}), testing::IsOk());
  EXPECT_REFUSED(r.header.not_after_unix_ms = 2'000, "not_after");
  EXPECT_REFUSED(r.header.issued_unix_ms = 0, "issued");
  EXPECT_REFUSED(r.header.signature_algorithms.clear(), "signature_algorithms");
  EXPECT_REFUSED(r.name = "Web", "name");
  EXPECT_REFUSED(r.name = "-web", "name");
  EXPECT_REFUSED(r.name = std::string(64, 'a'), "name");
  EXPECT_REFUSED(r.revision = 0, "revision");
  EXPECT_REFUSED(r.vm_uuids.clear(), "vm_uuids");
  EXPECT_REFUSED(r.vm_uuids[0][0] = 'A', "vm_uuids");
  EXPECT_REFUSED(r.vm_uuids[0] = "*", "vm_uuids");
  EXPECT_REFUSED(r.vm_uuids[1] = r.vm_uuids[0], "vm_uuids");
  EXPECT_REFUSED(r.content = "some", "content");
  EXPECT_REFUSED(r.inside = "all", "inside");
  EXPECT_REFUSED(r.roots[0].pop_back(), "roots");
  EXPECT_REFUSED(r.roots[0] = r.roots[1], "roots");
  EXPECT_REFUSED(r.rules[0].values = {"4k"}, "memory/max");
  EXPECT_REFUSED(r.rules[0].values.clear(), "memory/max");
  EXPECT_REFUSED(r.rules[0].type = LeafType::kText, "memory/max");
  EXPECT_REFUSED(r.rules[0].type = LeafType::kHeader, "memory/max");
  EXPECT_REFUSED(r.rules[1].values.clear(), "disk[*]/**");
  EXPECT_REFUSED(r.rules[2].values.push_back("x"), "name");
  EXPECT_REFUSED(r.rules[3].values.push_back("x"), "hostdev");
  EXPECT_REFUSED(r.rules[4].values.push_back("x"), "uuid");
  EXPECT_REFUSED(r.rules[4].path = "name", "twice");
  EXPECT_REFUSED(r.rules[4].path = "@tree", "path");
  EXPECT_REFUSED(r.rules[4].path = "a***", "***");
  EXPECT_REFUSED(r.rules[4].path = "", "path");
  EXPECT_REFUSED(r.accept_other_leaves = true, "accept_other_leaves");
  EXPECT_REFUSED(r.host_ids[0] = "AB", "host_ids");
  EXPECT_REFUSED(r.host_ids[0] = r.host_ids[1], "host_ids");
  EXPECT_REFUSED(r.pcrs[24] = {Bytes(32)}, "pcrs");
  EXPECT_REFUSED(r.pcrs[0].clear(), "pcrs");
  EXPECT_REFUSED(r.pcrs[0][0].pop_back(), "pcrs");
  EXPECT_REFUSED(r.required_signatures[0] = "rsa", "required_signatures");
  EXPECT_REFUSED(r.verdict_seconds = 40 * 24 * 3600, "verdict_seconds");
}

TEST(ReferenceTest, AReferenceThatDemandsNothingIsOnlyForLearning) {
  Reference nothing;
  nothing.header = Full().header;
  nothing.name = "web";
  nothing.revision = 1;
  nothing.vm_uuids = {"*"};
  nothing.accept_other_leaves = true;
  EXPECT_THAT(Parse(Encode(nothing)), StatusIs(kInvalid, HasSubstr("nothing")));
  nothing.accept_other_leaves = false;
  EXPECT_THAT(Parse(Encode(nothing)),
              StatusIs(kInvalid, HasSubstr("no configuration could pass")));
  nothing.mode = GateMode::kLearn;
  EXPECT_THAT(Parse(Encode(nothing)), testing::IsOk());
}

TEST(ReferenceTest, OtherBytesOfTheSameReferenceAreRefused) {
  Bytes bytes = Encode(Full());
  bytes.insert(bytes.end(), {0x78, 0x01});  // an unknown field
  EXPECT_THAT(Parse(bytes), StatusIs(kInvalid, HasSubstr("canonical")));

  v1::ReferenceDocument message;
  const Bytes good = Encode(Full());
  ASSERT_TRUE(
      message.ParseFromArray(good.data(), static_cast<int>(good.size())));
  message.set_verdict_seconds(3600);
  EXPECT_THAT(Parse(AsBytes(message.SerializeAsString())),
              StatusIs(kInvalid, HasSubstr("canonical")));
  message = {};
  ASSERT_TRUE(
      message.ParseFromArray(good.data(), static_cast<int>(good.size())));
  message.mutable_header()->set_version(2);
  EXPECT_THAT(Parse(AsBytes(message.SerializeAsString())),
              StatusIs(kInvalid, HasSubstr("version")));
  EXPECT_THAT(Parse({}), StatusIs(kInvalid));
}

WallTime At(int64_t unix_ms) {
  return WallTime(std::chrono::milliseconds(unix_ms));
}

Reference For(std::string name, uint64_t revision, std::string vm) {
  Reference reference = Full();
  reference.name = std::move(name);
  reference.revision = revision;
  reference.vm_uuids = {std::move(vm)};
  return reference;
}

TEST(SelectTest, OneThatNamesTheVmGoesBeforeAllAndTheHighestRevisionWins) {
  const std::vector<Reference> references = {
      For("all", 9, "*"), For("web", 2, kVm), For("web", 3, kVm),
      For("web", 1, kVm)};
  const Reference* selected = Select(references, kVm, At(2'500));
  ASSERT_NE(selected, nullptr);
  EXPECT_EQ(selected->name, "web");
  EXPECT_EQ(selected->revision, 3u);
  selected = Select(references, kOtherVm, At(2'500));
  ASSERT_NE(selected, nullptr);
  EXPECT_EQ(selected->name, "all");
}

TEST(SelectTest, OnlyWhatIsValidNowCounts) {
  std::vector<Reference> references = {For("web", 1, kVm), For("web", 2, kVm)};
  references[1].header.not_before_unix_ms = 2'900;
  EXPECT_EQ(Select(references, kVm, At(1'999)), nullptr);
  EXPECT_EQ(Select(references, kVm, At(2'000)), &references[0]);
  EXPECT_EQ(Select(references, kVm, At(2'899)), &references[0]);
  EXPECT_EQ(Select(references, kVm, At(2'900)), &references[1]);
  EXPECT_EQ(Select(references, kVm, At(2'999)), &references[1]);
  EXPECT_EQ(Select(references, kVm, At(3'000)), nullptr);
}

TEST(SelectTest, AVmThatNobodyNamesHasNone) {
  EXPECT_EQ(Select({For("web", 1, kVm)}, kOtherVm, At(2'500)), nullptr);
  EXPECT_EQ(Select({}, kVm, At(2'500)), nullptr);
}

TEST(LearnTest, WhatWasLearnedPassesAndMayBeSigned) {
  const std::vector<ConfigLeaf> leaves = {
      {"@tree", LeafType::kHeader, "schema=1"},
      {"disk[sda]/content", LeafType::kUnavailable, "no medium"},
      {"name", LeafType::kText, "web"}};
  const DigestBytes root(32, 9);
  Reference learned = Learn("web", kVm, HashAlgorithm::kSha256, leaves, root);
  EXPECT_TRUE(Evaluate(learned, leaves, root).empty());
  learned.roots.clear();
  EXPECT_TRUE(Evaluate(learned, leaves, root).empty());
  learned.header = Full().header;
  EXPECT_THAT(Parse(Encode(learned)), testing::IsOk());
}

}  // namespace
}  // namespace vmattest::reference
