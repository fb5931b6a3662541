#include "tlog/note.h"

#include "base/base64.h"
#include "crypto/digest.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"
#include "tlog/checkpoint.h"

namespace vmattest::tlog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using vmattest::testing::IsOk;
using vmattest::testing::Slurp;
using vmattest::testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr int64_t kTime = 1'767'139'200;

std::string CheckpointText(uint64_t size = 20) {
  return EncodeCheckpoint(
      {.origin = "log.example/one", .size = size, .root = Bytes(32, 9)});
}

std::unique_ptr<NoteSigner> LogSigner() {
  return *EcdsaNoteSigner(
      "log.example/one",
      std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()));
}

std::unique_ptr<NoteSigner> Cosigner(
    NoteKeyType type = NoteKeyType::kEd25519Cosignature) {
  return *Ed25519NoteSigner(
      "w.example", type,
      *Ed25519PrivateKey::FromSeed(SecretBytes(RandomBytes(32))));
}

TEST(Note, EveryVectorBehavesAsItSays) {
  VMATTEST_REQUIRE_VECTORS(folder, "tlog-notes");
  const auto cases = nlohmann::json::parse(Slurp(folder / "notes.json"));
  size_t checked = 0;
  for (const auto& test : cases) {
    std::vector<NoteVerifier> verifiers;
    bool foreign = false;
    for (const std::string vkey : test["verifiers"]) {
      absl::StatusOr<NoteVerifier> verifier = NoteVerifier::Parse(vkey);
      foreign = foreign || !verifier.ok();  // type 0x05, of CT logs
      if (verifier.ok()) {
        verifiers.push_back(*std::move(verifier));
      }
    }
    const std::string id = test["id"];
    if (foreign) {
      EXPECT_EQ(id, "sunlight-rfc6962");
      continue;
    }
    const absl::StatusOr<OpenedNote> opened =
        OpenNote(test["note"].get<std::string>(), verifiers);
    ASSERT_EQ(opened.ok(), test["expect"] == "ok")
        << id << " " << opened.status();
    ++checked;
    if (!opened.ok()) {
      continue;
    }
    std::vector<std::string> verified;
    for (const VerifiedSignature& signature : opened->verified) {
      verified.push_back(verifiers[signature.verifier].name());
      if (test.contains("cosignature_timestamp")) {
        EXPECT_EQ(signature.time_unix_s, test["cosignature_timestamp"]) << id;
      }
    }
    EXPECT_EQ(verified,
              test["verified_key_names"].get<std::vector<std::string>>())
        << id;
    EXPECT_THAT(opened->unverified, SizeIs(test["unverified_key_names"].size()))
        << id;
    if (test.contains("checkpoint")) {
      ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint,
                           ParseCheckpoint(opened->note.text));
      EXPECT_EQ(checkpoint.origin, test["checkpoint"]["origin"]);
      EXPECT_EQ(checkpoint.size, test["checkpoint"]["size"]);
      EXPECT_EQ(ToBase64(checkpoint.root), test["checkpoint"]["root_base64"]);
    }
    EXPECT_EQ(EncodeNote(opened->note), test["note"]) << id;
  }
  EXPECT_EQ(checked, cases.size() - 1);
}

TEST(Note, EveryVerifierKeyBehavesAsItSays) {
  VMATTEST_REQUIRE_VECTORS(folder, "tlog-notes");
  for (const auto& test : nlohmann::json::parse(Slurp(folder / "vkeys.json"))) {
    const std::string vkey = test["vkey"];
    const absl::StatusOr<NoteVerifier> verifier = NoteVerifier::Parse(vkey);
    EXPECT_EQ(verifier.ok(), test["valid"].get<bool>()) << vkey;
    if (verifier.ok()) {
      EXPECT_EQ(verifier->vkey(), vkey);
    }
  }
}

TEST(Note, CarriesSignaturesOfEveryType) {
  Note note{.text = CheckpointText()};
  const SecretBytes seed(RandomBytes(32));
  std::vector<std::unique_ptr<NoteSigner>> signers;
  signers.push_back(LogSigner());
  signers.push_back(Cosigner());
  signers.push_back(Cosigner(NoteKeyType::kEd25519));
  ASSERT_OK_AND_ASSIGN(MlDsaKey pq, MlDsaKey::FromSeed(MlDsaLevel::k44, seed));
  signers.push_back(*MlDsaNoteSigner("w.example", std::move(pq)));
  std::vector<NoteVerifier> verifiers;
  for (const std::unique_ptr<NoteSigner>& signer : signers) {
    ASSERT_THAT(AddSignature(note, *signer, kTime), IsOk());
    ASSERT_OK_AND_ASSIGN(NoteVerifier verifier,
                         NoteVerifier::Parse(signer->vkey()));
    EXPECT_EQ(verifier.key_id(), signer->key_id());
    verifiers.push_back(std::move(verifier));
  }
  ASSERT_OK_AND_ASSIGN(const OpenedNote opened,
                       OpenNote(EncodeNote(note), verifiers));
  std::vector<int64_t> times;
  for (const VerifiedSignature& signature : opened.verified) {
    times.push_back(signature.time_unix_s);
  }
  EXPECT_THAT(times, ElementsAre(0, kTime, 0, kTime));
}

// The structure that the specification gives, put together by hand.
TEST(Note, MlDsaCosignatureIsOverTheCosignedMessageStructure) {
  ASSERT_OK_AND_ASSIGN(
      MlDsaKey key,
      MlDsaKey::FromSeed(MlDsaLevel::k44, SecretBytes(Bytes(32, 1))));
  ASSERT_OK_AND_ASSIGN(
      const MlDsaPublicKey verifier,
      MlDsaPublicKey::Parse(MlDsaLevel::k44, key.public_key()));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<NoteSigner> signer,
                       MlDsaNoteSigner("w", std::move(key)));
  ASSERT_OK_AND_ASSIGN(
      const Bytes signature,
      signer->Sign("o\n3\n" + ToBase64(Bytes(32, 9)) + "\n", 0x0102));
  Bytes message = ToBytes(std::string_view("subtree/v1\n\0\x01w", 14));
  const Bytes numbers = {0, 0, 0, 0, 0, 0, 1, 2, 1, 'o', 0, 0, 0,
                         0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0, 0, 3};
  message.insert(message.end(), numbers.begin(), numbers.end());
  message.insert(message.end(), 32, 9);
  ASSERT_EQ(signature.size(), 8u + 2'420u);
  EXPECT_TRUE(verifier.Verify(message, "", ByteView(signature).subspan(8)));
}

TEST(Note, CosignersSignCheckpointsOnly) {
  Note note{.text = "something else\n"};
  const auto cosigner = Cosigner();
  EXPECT_THAT(AddSignature(note, *cosigner, kTime), StatusIs(kInvalid));
}

TEST(Note, RefusesAChangedTextTimeOrSignature) {
  Note note{.text = CheckpointText()};
  const auto cosigner = Cosigner();
  ASSERT_THAT(AddSignature(note, *cosigner, kTime), IsOk());
  const std::vector<NoteVerifier> verifiers = {
      *NoteVerifier::Parse(cosigner->vkey())};
  ASSERT_THAT(OpenNote(EncodeNote(note), verifiers), IsOk());
  Note other = note;
  other.text = CheckpointText(21);
  EXPECT_THAT(OpenNote(EncodeNote(other), verifiers),
              StatusIs(kInvalid, HasSubstr("invalid signature")));
  for (size_t byte = 0; byte < note.signatures[0].signature.size(); ++byte) {
    other = note;
    other.signatures[0].signature[byte] ^= 1;
    ASSERT_THAT(OpenNote(EncodeNote(other), verifiers), StatusIs(kInvalid))
        << byte;
  }
}

TEST(Note, SignsAgainInsteadOfTwice) {
  Note note{.text = CheckpointText()};
  const auto cosigner = Cosigner();
  ASSERT_THAT(AddSignature(note, *cosigner, kTime), IsOk());
  ASSERT_THAT(AddSignature(note, *cosigner, kTime + 1), IsOk());
  EXPECT_THAT(note.signatures, SizeIs(1));
}

TEST(Note, RefusesWhatIsNoNote) {
  const std::string good = "t\n\n\xE2\x80\x94 n AAAAAAE=\n";
  ASSERT_THAT(ParseNote(good), IsOk());
  for (const std::string& bad :
       {std::string(), std::string("t\n"), std::string("t\n\n"),
        good.substr(0, good.size() - 1), "\x01" + good, "\xC0\x80" + good,
        "\xED\xA0\x80" + good, good + "\n",
        std::string("t\n\n\xE2\x80\x94 n+m AAAAAAE=\n"),
        std::string("t\n\n\xE2\x80\x94 n\xC2\xA0m AAAAAAE=\n"),
        std::string("t\n\n\xE2\x80\x94 n AAAAAA==\n"),
        std::string("t\n\n- n AAAAAAE=\n")}) {
    EXPECT_THAT(ParseNote(bad), StatusIs(kInvalid)) << bad;
  }
  EXPECT_THAT(ParseNote(std::string(kMaxNoteSize, 'a') + good),
              StatusIs(kInvalid));
}

TEST(Checkpoint, RefusesOtherEncodings) {
  const std::string root = ToBase64(Bytes(32, 1));
  ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint,
                       ParseCheckpoint("o\n10\n" + root + "\nmore\n"));
  EXPECT_EQ(checkpoint.extension, "more\n");
  EXPECT_EQ(EncodeCheckpoint(checkpoint), "o\n10\n" + root + "\nmore\n");
  for (const std::string& bad :
       {"o\n010\n" + root + "\n", "o\n-1\n" + root + "\n",
        "o\n+1\n" + root + "\n", "o\n\n" + root + "\n", "o\n1\n" + root,
        "\n1\n" + root + "\n", std::string("o\n1\nAAAA\n"),
        "o\n1\n" + root + "\n\n", "o\n18446744073709551615\n" + root + "\n",
        "o\n1\n" + root + "\nmore"}) {
    EXPECT_THAT(ParseCheckpoint(bad), StatusIs(kInvalid)) << bad;
  }
}

}  // namespace
}  // namespace vmattest::tlog
