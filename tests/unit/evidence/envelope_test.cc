#include "evidence/envelope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "support/matchers.h"

namespace vmattest::evidence {
namespace {

using testing::StatusIs;

// The worked example of docs/formats/envelope.md: its hex values are these.
constexpr std::string_view kType =
    "application/vnd.vmattest.config.v1+protobuf";
constexpr std::string_view kPayload = "hello";
constexpr std::string_view kPaeDigest =
    "c55b77bc1356e05a3ae45001a25e2542f316f7a09f311acbe2b1d8c3a9ed909b";
constexpr std::string_view kLeaf =
    "cb06dd2aea50b631fe92d20c754b84e0c34a70657d4b667fe32637c63dacc954";
constexpr std::string_view kQualifying =
    "404e690d6ea97eab047783c8e644fc99999c063e7dde29e1e9fcfe325cafedb5";
constexpr std::string_view kCertify =
    "bb402bb45c4c838f409f9a7effcfa27d143cffbbc0257a612e6bc0cdbd1d8149";

DigestBytes ExamplePaeDigest() {
  return Hash(HashAlgorithm::kSha256,
              PreAuthEncoding(kType, AsBytes(kPayload)));
}

TEST(Envelope, PreAuthEncodingIsTheOneOfDsse) {
  // The example of DSSE's own protocol.md.
  EXPECT_EQ(AsText(PreAuthEncoding("http://example.com/HelloWorld",
                                   AsBytes("hello world"))),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

TEST(Envelope, PreAuthEncodingKeepsTypeAndPayloadApart) {
  EXPECT_NE(PreAuthEncoding("a", AsBytes("bc")),
            PreAuthEncoding("ab", AsBytes("c")));
  EXPECT_NE(PreAuthEncoding("a 1 b", AsBytes("")),
            PreAuthEncoding("a", AsBytes("b 0 ")));
}

TEST(Envelope, WorkedExampleOfTheFormatHolds) {
  EXPECT_EQ(ToHex(ExamplePaeDigest()), kPaeDigest);
  EXPECT_EQ(ToHex(BatchLeaf(ExamplePaeDigest())), kLeaf);
  EXPECT_EQ(ToHex(QualifyingData(KeyPurpose::kConfig,
                                 BatchLeaf(ExamplePaeDigest()), 1)),
            kQualifying);
  EXPECT_EQ(ToHex(CertifyQualifyingData(KeyPurpose::kConfig, 1)), kCertify);
}

TEST(Envelope, BatchLeafIsAnRfc6962LeafOfTheTaggedDigest) {
  ByteWriter content;
  content.U8(0).Raw("vmattest/batch-leaf/v1").Raw(ExamplePaeDigest());
  EXPECT_EQ(BatchLeaf(ExamplePaeDigest()),
            Hash(HashAlgorithm::kSha256, content.bytes()));
}

TEST(Envelope, S3_QualifyingDataDependsOnPurposeRootAndSize) {
  const DigestBytes root(32, 1);
  const DigestBytes base = QualifyingData(KeyPurpose::kConfig, root, 1);
  EXPECT_EQ(base.size(), 32u);
  EXPECT_NE(base, QualifyingData(KeyPurpose::kState, root, 1));
  EXPECT_NE(base, QualifyingData(KeyPurpose::kConfig, root, 2));
  EXPECT_NE(base, QualifyingData(KeyPurpose::kConfig, DigestBytes(32, 2), 1));
}

TEST(Envelope, CertifyQualifyingDataDependsOnPurposeAndEpoch) {
  const DigestBytes base = CertifyQualifyingData(KeyPurpose::kConfig, 1);
  EXPECT_NE(base, CertifyQualifyingData(KeyPurpose::kState, 1));
  EXPECT_NE(base, CertifyQualifyingData(KeyPurpose::kConfig, 2));
}

TEST(Envelope, S2_KnowsThePurposeOfAPayloadType) {
  EXPECT_EQ(PurposeOf(kConfigPayloadType).value(), KeyPurpose::kConfig);
  EXPECT_THAT(PurposeOf("application/octet-stream"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(PurposeOf(""), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace vmattest::evidence
