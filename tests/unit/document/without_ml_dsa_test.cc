// A program of its own: in this process there is no ML-DSA, ever.

#include <gmock/gmock.h>
#include <openssl/crypto.h>

#include <cstdlib>

#include "crypto/digest.h"
#include "document/document.h"
#include "support/matchers.h"
#include "vmattest/v1/document.pb.h"
#include "wire/messages.h"

namespace vmattest::document {
namespace {

using testing::StatusIs;

constexpr std::string_view kType = kReferencePayloadType;

// The bytes of an ML-DSA key are any bytes: one can be made without ML-DSA.
class WithoutMlDsaTest : public ::testing::Test {
 protected:
  void SetUp() override {
    constexpr unsigned long kFirstWithMlDsa = 0x30500000;
    if (OpenSSL_version_num() >= kFirstWithMlDsa) {
      GTEST_SKIP() << "this OpenSSL has ML-DSA itself";
    }
    ASSERT_EQ(setenv("VMATTEST_PQ_MODULE", "/nowhere/fips.so", 1), 0);
    ASSERT_THAT(MlDsaProvider::Open(),
                StatusIs(absl::StatusCode::kUnavailable));
  }
};

TEST_F(WithoutMlDsaTest, NoHybridKeyIsMade) {
  EXPECT_THAT(PrivateKey::Generate("bob", MlDsaLevel::k65),
              StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(WithoutMlDsaTest, WhatCannotBeCheckedIsRefused) {
  ASSERT_OK_AND_ASSIGN(const PrivateKey ec,
                       PrivateKey::Generate("bob", std::nullopt));
  PublicKey bob = ec.public_key();
  bob.pq_bytes = Bytes(MlDsaPublicKeySize(MlDsaLevel::k65), 7);
  ByteWriter id;
  id.Raw("vmattest/document-key/v1").U8(0).U8(4).Raw(bob.ec.x).Raw(bob.ec.y);
  id.Raw(bob.pq_bytes);
  bob.key_id = Hash(HashAlgorithm::kSha256, id.bytes());
  ASSERT_OK_AND_ASSIGN(const PublicKey parsed,
                       ParsePublicKey(PublicKeyToJson(bob)));
  EXPECT_FALSE(parsed.pq.has_value());

  v1::ReferenceDocument payload;
  payload.mutable_header()->add_signature_algorithms("ecdsa-p256");
  ASSERT_OK_AND_ASSIGN(const Bytes file,
                       ec.Sign(kType, wire::Serialize(payload)));
  v1::SignedDocument message;
  ASSERT_TRUE(
      message.ParseFromArray(file.data(), static_cast<int>(file.size())));
  v1::Signature& pq = *message.mutable_envelope()->add_signatures();
  pq.set_algorithm("ml-dsa-65");
  pq.mutable_raw()->set_signature("anything");
  for (v1::Signature& each :
       *message.mutable_envelope()->mutable_signatures()) {
    each.mutable_raw()->set_key_id(wire::ToField(bob.key_id));
  }
  const std::vector<PublicKey> keys{parsed};
  const Opened opened = Open(wire::Serialize(message), kType, keys);
  ASSERT_FALSE(opened.verdict.trusted());
  EXPECT_EQ(opened.verdict.reasons[0].code, "document-pq-unchecked");
}

}  // namespace
}  // namespace vmattest::document
