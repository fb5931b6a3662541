#include "document/document.h"

#include <gmock/gmock.h>

#include "support/matchers.h"
#include "vmattest/v1/document.pb.h"
#include "wire/messages.h"

namespace vmattest::document {
namespace {

using ::testing::HasSubstr;
using ::vmattest::testing::IsOk;
using ::vmattest::testing::StatusIs;

constexpr std::string_view kType = kReferencePayloadType;

Bytes Payload(const std::vector<std::string>& algorithms) {
  v1::ReferenceDocument document;
  document.mutable_header()->set_version(1);
  for (const std::string& algorithm : algorithms) {
    document.mutable_header()->add_signature_algorithms(algorithm);
  }
  document.set_name("web");
  return wire::Serialize(document);
}
Bytes Payload(const PrivateKey& key) { return Payload(key.algorithms()); }

v1::SignedDocument Decode(const Bytes& file) {
  v1::SignedDocument message;
  EXPECT_TRUE(
      message.ParseFromArray(file.data(), static_cast<int>(file.size())));
  return message;
}

std::string CodeOf(const Opened& opened) {
  EXPECT_EQ(opened.verdict.trusted(), opened.verdict.reasons.empty());
  if (!opened.verdict.trusted()) {
    EXPECT_TRUE(opened.payload.empty());
    EXPECT_EQ(opened.signer, nullptr);
  }
  return opened.verdict.trusted() ? "" : opened.verdict.reasons[0].code;
}

class DocumentTest : public ::testing::Test {
 protected:
  static PrivateKey Make(std::string name, std::optional<MlDsaLevel> level) {
    absl::StatusOr<PrivateKey> key =
        PrivateKey::Generate(std::move(name), level);
    EXPECT_THAT(key, IsOk());
    return *std::move(key);
  }
  static Bytes Signed(const PrivateKey& key) {
    absl::StatusOr<Bytes> file = key.Sign(kType, Payload(key));
    EXPECT_THAT(file, IsOk());
    return file.value_or(Bytes());
  }
  std::string Code(ByteView file) { return CodeOf(Open(file, kType, keys)); }
  std::string Code(const v1::SignedDocument& message) {
    return Code(wire::Serialize(message));
  }

  PrivateKey alice = Make("alice@ops", std::nullopt);
  PrivateKey bob = Make("bob@ops", MlDsaLevel::k65);
  PrivateKey carol = Make("carol@ops", MlDsaLevel::k87);
  std::vector<PublicKey> keys{alice.public_key(), bob.public_key(),
                              carol.public_key()};
};

TEST_F(DocumentTest, WhatAKeySignedOpensWithItsPublicHalf) {
  for (const PrivateKey* key : {&alice, &bob, &carol}) {
    const Opened opened = Open(Signed(*key), kType, keys);
    ASSERT_EQ(CodeOf(opened), "");
    EXPECT_EQ(opened.payload, Payload(*key));
    EXPECT_EQ(opened.signer->key_id, key->public_key().key_id);
  }
}

TEST_F(DocumentTest, AnUnknownSignerIsNamed) {
  const PrivateKey mallory = Make("mallory", MlDsaLevel::k65);
  EXPECT_EQ(Code(Signed(mallory)), "document-signer-unknown");
  EXPECT_EQ(CodeOf(Open(Signed(alice), kType, {})), "document-signer-unknown");
}

TEST_F(DocumentTest, AnotherKindOfDocumentIsRefused) {
  EXPECT_EQ(CodeOf(Open(Signed(bob), kHostRecordPayloadType, keys)),
            "document-type");
  v1::SignedDocument message = Decode(Signed(bob));
  message.mutable_envelope()->set_payload_type(
      std::string(kHostRecordPayloadType));
  EXPECT_EQ(
      CodeOf(Open(wire::Serialize(message), kHostRecordPayloadType, keys)),
      "document-signature");
}

TEST_F(DocumentTest, AKeyWithMlDsaNeedsBothSignatures) {
  for (const int strip : {0, 1}) {
    v1::SignedDocument message = Decode(Signed(bob));
    message.mutable_envelope()->mutable_signatures()->DeleteSubrange(strip, 1);
    EXPECT_EQ(Code(message), "document-signature-missing");
  }
  v1::SignedDocument message = Decode(Signed(bob));
  message.mutable_envelope()->clear_signatures();
  EXPECT_EQ(Code(message), "document-signature-missing");
}

TEST_F(DocumentTest, SignaturesThatAreReorderedDuplicatedOrAddedAreRefused) {
  v1::SignedDocument swapped = Decode(Signed(bob));
  swapped.mutable_envelope()->mutable_signatures()->SwapElements(0, 1);
  EXPECT_EQ(Code(swapped), "document-signature");

  for (const int which : {0, 1}) {
    v1::SignedDocument twice = Decode(Signed(bob));
    *twice.mutable_envelope()->add_signatures() =
        twice.envelope().signatures(which);
    EXPECT_EQ(Code(twice), "document-signature");
  }

  v1::SignedDocument more = Decode(Signed(alice));
  *more.mutable_envelope()->add_signatures() =
      Decode(Signed(bob)).envelope().signatures(1);
  EXPECT_EQ(Code(more), "document-signature");
}

TEST_F(DocumentTest, HalvesOfTwoKeysAreNoKey) {
  const PrivateKey other = Make("other", MlDsaLevel::k65);
  keys.push_back(other.public_key());
  for (const int half : {0, 1}) {
    v1::SignedDocument message = Decode(Signed(bob));
    v1::Signature& replaced =
        *message.mutable_envelope()->mutable_signatures(half);
    replaced = Decode(Signed(other)).envelope().signatures(half);
    EXPECT_EQ(Code(message), "document-signature");
    replaced.mutable_raw()->set_key_id(wire::ToField(bob.public_key().key_id));
    EXPECT_EQ(Code(message), "document-signature");
  }
}

TEST_F(DocumentTest, TheSignedListOfAlgorithmsMustBeWhatSigned) {
  EXPECT_THAT(bob.Sign(kType, Payload(alice)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(bob.Sign(kType, AsBytes("text")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(bob.Sign(kType, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DocumentTest, TheWordOfAStrippedKeyFileDoesNotMakeABothKeyAnEcKey) {
  // The EC half alone, as a key of its own, has another id.
  PublicKey half = bob.public_key();
  half.pq.reset();
  half.pq_bytes.clear();
  v1::SignedDocument message = Decode(Signed(bob));
  message.mutable_envelope()->mutable_signatures()->RemoveLast();
  const std::vector<PublicKey> halves{half};
  // Even under the whole key's id, the signed header names both.
  EXPECT_EQ(CodeOf(Open(wire::Serialize(message), kType, halves)),
            "document-signature-missing");
  EXPECT_THAT(
      ParsePublicKey(PublicKeyToJson(half)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("key_id")));
}

TEST_F(DocumentTest, EveryBitOfADocumentCounts) {
  const Bytes file = Signed(bob);
  ASSERT_EQ(Code(file), "");
  for (size_t i = 0; i < file.size(); ++i) {
    Bytes changed = file;
    changed[i] ^= static_cast<uint8_t>(1u << (i % 8));
    EXPECT_NE(Code(changed), "") << "byte " << i;
  }
}

TEST_F(DocumentTest, WhatIsNotCanonicalIsMalformed) {
  Bytes file = Signed(alice);
  EXPECT_EQ(Code(ByteView(file).first(file.size() - 1)), "document-malformed");
  EXPECT_EQ(Code(Bytes()), "document-malformed");
  file.push_back(0x78);
  file.push_back(0x01);  // an unknown field
  EXPECT_EQ(Code(file), "document-malformed");
  v1::SignedDocument message = Decode(Signed(alice));
  message.set_format("vmattest/document/v2");
  EXPECT_EQ(Code(message), "document-malformed");
  EXPECT_EQ(Code(Bytes(kMaxDocumentSize + 1)), "document-malformed");
}

TEST_F(DocumentTest, AQuoteIsNoSignatureOfADocument) {
  v1::SignedDocument message = Decode(Signed(alice));
  message.mutable_envelope()
      ->mutable_signatures(0)
      ->mutable_tpm_quote()
      ->mutable_batch();
  EXPECT_EQ(Code(message), "document-signature");
}

TEST_F(DocumentTest, KeysSurviveTheirFiles) {
  for (const PrivateKey* key : {&alice, &bob, &carol}) {
    ASSERT_OK_AND_ASSIGN(const PrivateKey again,
                         PrivateKey::Parse(key->ToFile()));
    EXPECT_EQ(again.public_key().key_id, key->public_key().key_id);
    EXPECT_EQ(again.algorithms(), key->algorithms());
    ASSERT_OK_AND_ASSIGN(const PublicKey shown,
                         ParsePublicKey(PublicKeyToJson(key->public_key())));
    EXPECT_EQ(shown.name, key->public_key().name);
    EXPECT_EQ(shown.key_id, key->public_key().key_id);
    const std::vector<PublicKey> one{shown};
    EXPECT_EQ(CodeOf(Open(Signed(again), kType, one)), "");
  }
}

TEST_F(DocumentTest, KeyFilesAreStrict) {
  const std::string json = PublicKeyToJson(bob.public_key());
  const auto with = [&json](std::string_view from, std::string_view to) {
    std::string changed = json;
    changed.replace(changed.find(from), from.size(), to);
    return ParsePublicKey(changed);
  };
  EXPECT_THAT(with("\"name\"", "\"nom\""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(with("{", "{\"x\": \"y\","),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("unknown member 'x'")));
  EXPECT_THAT(with("{", "{\"name\": \"eve\","),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
  EXPECT_THAT(with("{", "{\"x\": 1,"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(with("public-key/v1", "public-key/v2"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(with("bob@ops", "bob ops"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(with("ml_dsa_65", "ml_dsa_87"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParsePublicKey("\"text\""),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParsePublicKey("[]"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(PrivateKey::Generate("", std::nullopt),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(DocumentTest, APrivateKeyIsNoPublicOne) {
  const SecretBytes file = bob.ToFile();
  EXPECT_THAT(ParsePublicKey(AsText(file.Reveal(SecretAccess()))),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::document
