#include "tlog/witness.h"

#include "crypto/digest.h"
#include "fakes/fake_witness_store.h"
#include "gmock/gmock.h"
#include "merkle/tree.h"
#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest::tlog {
namespace {

using vmattest::testing::FakeWitnessStore;
using vmattest::testing::IsOk;
using vmattest::testing::Slurp;

constexpr int64_t kTime = 1'767'139'200;
constexpr auto kSha256 = HashAlgorithm::kSha256;

std::vector<std::unique_ptr<NoteSigner>> Cosigners(std::string& vkey) {
  std::vector<std::unique_ptr<NoteSigner>> signers;
  signers.push_back(*Ed25519NoteSigner(
      "w.example", NoteKeyType::kEd25519Cosignature,
      *Ed25519PrivateKey::FromSeed(SecretBytes(Bytes(32, 5)))));
  vkey = signers.back()->vkey();
  return signers;
}

// A log that can tell each witness another story.
class WitnessTest : public ::testing::Test {
 protected:
  std::string Signed(const merkle::Tree& tree) {
    Note note{.text = EncodeCheckpoint(
                  {.origin = "o", .size = tree.size(), .root = tree.Root()})};
    EXPECT_THAT(AddSignature(note, *log_, 0), IsOk());
    return EncodeNote(note);
  }
  static merkle::Tree TreeOf(size_t size, uint8_t salt = 0) {
    std::vector<DigestBytes> leaves;
    for (size_t i = 0; i < size; ++i) {
      const Bytes leaf = {salt, static_cast<uint8_t>(i)};
      leaves.push_back(merkle::LeafHash(kSha256, leaf));
    }
    return {kSha256, leaves};
  }
  WitnessReply Add(uint64_t old_size, const merkle::Tree& tree,
                   std::vector<Bytes> proof = {}) {
    const absl::StatusOr<WitnessReply> reply =
        witness_->Add(EncodeAddCheckpoint({.old_size = old_size,
                                           .proof = std::move(proof),
                                           .note = Signed(tree)}));
    EXPECT_THAT(reply, IsOk());
    return *reply;
  }

  const std::unique_ptr<NoteSigner> log_ = *Ed25519NoteSigner(
      "o", NoteKeyType::kEd25519,
      *Ed25519PrivateKey::FromSeed(SecretBytes(Bytes(32, 4))));
  FakeWitnessStore store_;
  std::string vkey_;
  std::unique_ptr<Witness> witness_ = std::make_unique<Witness>(
      std::vector<NoteVerifier>{*NoteVerifier::Parse(log_->vkey())},
      Cosigners(vkey_), store_, [] { return kTime; });
};

TEST(Witness, EveryConversationGoesAsItSays) {
  VMATTEST_REQUIRE_VECTORS(folder, "tlog-notes");
  const auto conversations =
      nlohmann::json::parse(Slurp(folder / "witness-conversations.json"));
  for (const auto& conversation : conversations) {
    std::vector<NoteVerifier> logs;
    for (const auto& log : conversation["logs"]) {
      ASSERT_OK_AND_ASSIGN(NoteVerifier verifier,
                           NoteVerifier::Parse(log["vkey"].get<std::string>()));
      // The Go checksum database's key goes by another name than its origin.
      if (verifier.name() != log["origin"]) {
        logs.clear();
        break;
      }
      logs.push_back(std::move(verifier));
    }
    if (logs.empty()) {
      continue;
    }
    FakeWitnessStore store;
    std::string vkey;
    Witness witness(std::move(logs), Cosigners(vkey), store,
                    [] { return kTime; });
    for (const auto& request : conversation["requests"]) {
      ASSERT_OK_AND_ASSIGN(const WitnessReply reply,
                           witness.Add(request["body"].get<std::string>()));
      EXPECT_EQ(reply.status, request["http_status"])
          << conversation["id"] << reply.body;
    }
  }
}

TEST_F(WitnessTest, CosignsAGrowingLog) {
  EXPECT_EQ(Add(0, TreeOf(3)).status, 200);
  const merkle::Tree tree = TreeOf(8);
  const WitnessReply reply = Add(3, tree, tree.ConsistencyProof(3));
  ASSERT_EQ(reply.status, 200);
  const std::vector<NoteVerifier> verifiers = {*NoteVerifier::Parse(vkey_)};
  ASSERT_OK_AND_ASSIGN(const OpenedNote opened,
                       OpenNote(Signed(tree) + reply.body, verifiers));
  EXPECT_EQ(opened.verified.at(0).time_unix_s, kTime);
  // The same again gets a newer cosignature.
  EXPECT_EQ(Add(8, tree).status, 200);
}

TEST_F(WitnessTest, TellsWhatItHolds) {
  EXPECT_EQ(Add(0, TreeOf(3)).status, 200);
  const WitnessReply reply = Add(0, TreeOf(8));
  EXPECT_EQ(reply.status, 409);
  EXPECT_EQ(reply.body, "3\n");
  EXPECT_FALSE(reply.fork.has_value());
}

TEST_F(WitnessTest, RefusesALogThatWasRolledBackAndGrewAgain) {
  EXPECT_EQ(Add(0, TreeOf(5)).status, 200);
  const merkle::Tree other = TreeOf(9, 1);
  const WitnessReply reply = Add(5, other, other.ConsistencyProof(5));
  EXPECT_EQ(reply.status, 422);
  EXPECT_EQ(store_.Find("o")->size, 5u);
  ASSERT_TRUE(reply.fork.has_value());
  EXPECT_EQ(reply.fork->first, Signed(TreeOf(5)));
  EXPECT_EQ(reply.fork->second, Signed(other));
}

TEST_F(WitnessTest, ShowsALogThatIsBehindWhatItSigned) {
  EXPECT_EQ(Add(0, TreeOf(5)).status, 200);
  const WitnessReply reply = Add(0, TreeOf(3));
  EXPECT_EQ(reply.status, 409);
  ASSERT_TRUE(reply.fork.has_value());
  EXPECT_EQ(reply.fork->first, Signed(TreeOf(5)));
}

TEST_F(WitnessTest, TwoSizesProveAForkByTheConsistencyProofFromAnotherRoot) {
  const std::vector<NoteVerifier> logs = {*NoteVerifier::Parse(log_->vkey())};
  for (const size_t held : {4, 5}) {  // a power of two has a shorter path
    const merkle::Tree later = TreeOf(9, 1);
    const ForkProof proof{.first = Signed(TreeOf(held)),
                          .second = Signed(later),
                          .earlier_root = TreeOf(held, 1).Root(),
                          .path = later.ConsistencyProof(held)};
    ASSERT_OK_AND_ASSIGN(const ForkProof again,
                         ParseForkProof(EncodeForkProof(proof)));
    ASSERT_OK_AND_ASSIGN(const Fork fork, CheckFork(again, logs));
    EXPECT_EQ(fork.size, held);
    EXPECT_EQ(fork.later_size, 9u);
    EXPECT_EQ(fork.second_root, TreeOf(held, 1).Root());

    ForkProof none = proof;  // of another tree
    none.path = TreeOf(9).ConsistencyProof(held);
    EXPECT_FALSE(CheckFork(none, logs).ok());
    none = proof;
    none.earlier_root = TreeOf(held).Root();
    EXPECT_FALSE(CheckFork(none, logs).ok());
    none = proof;
    std::swap(none.first, none.second);
    EXPECT_FALSE(CheckFork(none, logs).ok());
    none = proof;  // the log grew as it should
    none.first = Signed(TreeOf(held, 1));
    EXPECT_FALSE(CheckFork(none, logs).ok());
  }
  const std::string file = EncodeForkProof({.first = Signed(TreeOf(5)),
                                            .second = Signed(TreeOf(9)),
                                            .earlier_root = Bytes(32)});
  EXPECT_FALSE(ParseForkProof(file + "AA==\n").ok());
  EXPECT_FALSE(ParseForkProof(file.substr(0, file.size() - 1)).ok());
  EXPECT_FALSE(ParseForkProof(file.substr(0, file.size() - 45)).ok());
}

TEST_F(WitnessTest, KeepsTheProofOfAFork) {
  EXPECT_EQ(Add(0, TreeOf(5)).status, 200);
  for (const uint64_t old_size : {0, 5}) {
    const WitnessReply reply = Add(old_size, TreeOf(5, 1));
    EXPECT_EQ(reply.status, 409);
    ASSERT_TRUE(reply.fork.has_value());
    EXPECT_EQ(reply.fork->first, Signed(TreeOf(5)));
    EXPECT_EQ(reply.fork->second, Signed(TreeOf(5, 1)));
  }
}

TEST_F(WitnessTest, AProofOfAForkStandsAloneAndNothingElseDoes) {
  const std::vector<NoteVerifier> logs = {*NoteVerifier::Parse(log_->vkey())};
  const ForkProof proof{.first = Signed(TreeOf(5)),
                        .second = Signed(TreeOf(5, 1))};
  ASSERT_OK_AND_ASSIGN(const ForkProof again,
                       ParseForkProof(EncodeForkProof(proof)));
  ASSERT_OK_AND_ASSIGN(const Fork fork, CheckFork(again, logs));
  EXPECT_EQ(fork.size, 5u);
  EXPECT_EQ(fork.key, log_->vkey());
  EXPECT_NE(fork.first_root, fork.second_root);
  for (const ForkProof& none : {ForkProof{proof.first, proof.first},
                                ForkProof{proof.first, Signed(TreeOf(6, 1))},
                                ForkProof{proof.first, "not a note"}}) {
    EXPECT_FALSE(CheckFork(none, logs).ok());
  }
  EXPECT_FALSE(CheckFork(proof, {}).ok());
  EXPECT_FALSE(ParseForkProof(proof.first).ok());
}

TEST_F(WitnessTest, RefusesOtherLogsAndOtherKeys) {
  Note note{
      .text = EncodeCheckpoint({.origin = "p", .size = 1, .root = Bytes(32)})};
  ASSERT_THAT(AddSignature(note, *log_, 0), IsOk());
  EXPECT_EQ(witness_->Add("old 0\n\n" + EncodeNote(note))->status, 404);
  const auto stranger = *Ed25519NoteSigner(
      "o", NoteKeyType::kEd25519,
      *Ed25519PrivateKey::FromSeed(SecretBytes(Bytes(32, 9))));
  note = {.text =
              EncodeCheckpoint({.origin = "o", .size = 1, .root = Bytes(32)})};
  ASSERT_THAT(AddSignature(note, *stranger, 0), IsOk());
  EXPECT_EQ(witness_->Add("old 0\n\n" + EncodeNote(note))->status, 403);
}

TEST_F(WitnessTest, RefusesMalformedRequests) {
  for (const std::string& body :
       {std::string(), std::string("old 0\n"), std::string("old x\n\nnote"),
        "old 00\n\n" + Signed(TreeOf(1)), "old 0\nAAAA\n\n" + Signed(TreeOf(1)),
        "old 2\n\n" + Signed(TreeOf(1)), "new 0\n\n" + Signed(TreeOf(1)),
        std::string(kMaxAddCheckpointSize + 1, 'a')}) {
    EXPECT_EQ(witness_->Add(body)->status, 400) << body;
  }
}

}  // namespace
}  // namespace vmattest::tlog
