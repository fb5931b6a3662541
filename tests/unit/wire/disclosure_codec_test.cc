#include <gmock/gmock.h>

#include "support/evidence_builder.h"
#include "support/matchers.h"
#include "wire/codec.h"

namespace vmattest::wire {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class DisclosureCodecTest : public ::testing::Test {
 protected:
  DisclosureCodecTest() {
    builder_.vm_salt = Bytes(32, 9);
    builder_.subtrees["disk/vda/inside"] = {{"table", LeafType::kText, "gpt"}};
    disclosure_ =
        builder_.BuildDisclosure({"memory/max", "disk/vda/inside/table"});
  }
  absl::Status Parse() {
    return ParseDisclosure(EncodeDisclosure(disclosure_)).status();
  }

  testing::SoftHost host_;
  testing::EvidenceBuilder builder_{host_};
  evidence::Disclosure disclosure_;
};

TEST_F(DisclosureCodecTest, ReadsWhatItWrote) {
  const Bytes bytes = EncodeDisclosure(disclosure_);
  EXPECT_TRUE(IsDisclosure(bytes));
  ASSERT_OK_AND_ASSIGN(const evidence::Disclosure read, ParseDisclosure(bytes));
  EXPECT_EQ(EncodeDisclosure(read), bytes);
  ASSERT_EQ(read.leaves.size(), 2u);
  EXPECT_EQ(read.leaves[0].leaf, disclosure_.leaves[0].leaf);
  EXPECT_EQ(read.leaves[1].salt, disclosure_.leaves[1].salt);
  EXPECT_EQ(read.leaves[1].parent[0].path,
            disclosure_.leaves[1].parent[0].path);
}

TEST_F(DisclosureCodecTest, IsToldFromEvidenceByItsTag) {
  const Bytes evidence = builder_.BuildFile();
  EXPECT_FALSE(IsDisclosure(evidence));
  EXPECT_FALSE(IsDisclosure({}));
  EXPECT_FALSE(IsDisclosure(ByteView(EncodeDisclosure(disclosure_)).first(9)));
  EXPECT_THAT(ParseDisclosure(evidence), StatusIs(kInvalid));
  EXPECT_THAT(ParseEvidence(EncodeDisclosure(disclosure_)),
              StatusIs(kInvalid, HasSubstr("Evidence")));
}

TEST_F(DisclosureCodecTest, RefusesAParentOfAParent) {
  disclosure_.leaves[1].parent[0].parent = {disclosure_.leaves[0]};
  EXPECT_THAT(Parse(), StatusIs(kInvalid, HasSubstr("DisclosedLeaf.parent")));
}

TEST_F(DisclosureCodecTest, LimitsWhatItReads) {
  const evidence::Disclosure good = disclosure_;
  disclosure_.leaves.resize(65, good.leaves[0]);
  EXPECT_THAT(Parse(), StatusIs(kInvalid, HasSubstr("Disclosure.leaves")));
  disclosure_ = good;
  disclosure_.leaves[0].path.resize(65, Bytes(32, 1));
  EXPECT_THAT(Parse(), StatusIs(kInvalid, HasSubstr("DisclosedLeaf.path")));
  disclosure_ = good;
  disclosure_.keys.resize(5, good.keys[0]);
  EXPECT_THAT(Parse(), StatusIs(kInvalid, HasSubstr("Disclosure.keys")));
  disclosure_ = good;
  disclosure_.leaves[0].leaf.value.resize(kMaxDisclosureSize, 'x');
  EXPECT_THAT(Parse(), StatusIs(kInvalid));
}

TEST_F(DisclosureCodecTest, RefusesASecondEncoding) {
  Bytes bytes = EncodeDisclosure(disclosure_);
  bytes.insert(bytes.end(), {0xF8, 0x01, 0x00});  // an unknown field
  EXPECT_THAT(ParseDisclosure(bytes), StatusIs(kInvalid));
}

}  // namespace
}  // namespace vmattest::wire
