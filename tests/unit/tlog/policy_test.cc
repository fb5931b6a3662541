#include "tlog/policy.h"

#include "crypto/digest.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest::tlog {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::IsOk;
using vmattest::testing::Slurp;
using vmattest::testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr int64_t kTime = 1'767'139'200;
constexpr const char* kOrigin = "log.example/one";

std::unique_ptr<NoteSigner> Ed25519(const std::string& name, NoteKeyType type) {
  return *Ed25519NoteSigner(
      name, type, *Ed25519PrivateKey::FromSeed(SecretBytes(RandomBytes(32))));
}

class PolicyTest : public ::testing::Test {
 protected:
  PolicyTest() {
    for (const char* name : {"a", "b", "c"}) {
      witnesses_.push_back(Ed25519(name, NoteKeyType::kEd25519Cosignature));
      lines_ += fmt::format("witness {} {}\n", name, witnesses_.back()->vkey());
    }
  }
  WitnessPolicy Policy(const std::string& quorum) {
    absl::StatusOr<WitnessPolicy> policy =
        WitnessPolicy::Parse(lines_ + quorum);
    EXPECT_THAT(policy, IsOk());
    return *std::move(policy);
  }
  std::string CosignedBy(std::vector<std::pair<size_t, int64_t>> times,
                         const std::string& origin = kOrigin) {
    Note note{.text = EncodeCheckpoint(
                  {.origin = origin, .size = 7, .root = Bytes(32, 7)})};
    EXPECT_THAT(AddSignature(note, *log_, 0), IsOk());
    for (const auto& [witness, time] : times) {
      EXPECT_THAT(AddSignature(note, *witnesses_[witness], time), IsOk());
    }
    return EncodeNote(note);
  }

  const std::unique_ptr<NoteSigner> log_ =
      Ed25519(kOrigin, NoteKeyType::kEd25519);
  std::vector<std::unique_ptr<NoteSigner>> witnesses_;
  std::string lines_ = fmt::format("log {}\n", log_->vkey());
};

TEST(WitnessPolicy, EveryVectorBehavesAsItSays) {
  VMATTEST_REQUIRE_VECTORS(folder, "tlog-notes");
  for (const auto& test :
       nlohmann::json::parse(Slurp(folder / "policies.json"))) {
    const absl::StatusOr<WitnessPolicy> policy =
        WitnessPolicy::Parse(test["policy"].get<std::string>());
    ASSERT_EQ(policy.ok(), test["valid"].get<bool>())
        << test["desc"] << policy.status();
    if (policy.ok()) {
      EXPECT_EQ(policy->threshold(), test["top_group_threshold"])
          << test["desc"];
    }
  }
}

TEST_F(PolicyTest, AcceptsAQuorum) {
  const WitnessPolicy policy = Policy("group g 2 a b c\nquorum g\n");
  EXPECT_THAT(OpenCheckpoint(CosignedBy({{0, kTime}}), policy),
              StatusIs(kPrecondition, HasSubstr("no quorum")));
  ASSERT_OK_AND_ASSIGN(
      const AcceptedCheckpoint accepted,
      OpenCheckpoint(CosignedBy({{0, kTime}, {2, kTime + 9}}), policy));
  EXPECT_EQ(accepted.checkpoint.size, 7u);
  EXPECT_EQ(accepted.log_key, log_->vkey());
  EXPECT_EQ(accepted.witnessed_unix_s, kTime);
}

TEST_F(PolicyTest, CountsNoCosignatureThatIsTooOld) {
  const WitnessPolicy policy = Policy("group g 2 a b c\nquorum g\n");
  const std::string note = CosignedBy({{0, kTime}, {1, kTime + 60}});
  EXPECT_THAT(OpenCheckpoint(note, policy, kTime), IsOk());
  EXPECT_THAT(OpenCheckpoint(note, policy, kTime + 1), StatusIs(kPrecondition));
}

TEST_F(PolicyTest, GroupsNest) {
  const WitnessPolicy policy =
      Policy("group ab any a b\ngroup top all ab c\nquorum top\n");
  EXPECT_THAT(OpenCheckpoint(CosignedBy({{0, 1}, {1, 1}}), policy),
              StatusIs(kPrecondition));
  EXPECT_THAT(OpenCheckpoint(CosignedBy({{1, 1}, {2, 1}}), policy), IsOk());
}

TEST_F(PolicyTest, WithoutQuorumTheLogAloneIsEnough) {
  const WitnessPolicy policy = Policy("quorum none\n");
  ASSERT_OK_AND_ASSIGN(const AcceptedCheckpoint accepted,
                       OpenCheckpoint(CosignedBy({}), policy));
  EXPECT_EQ(accepted.witnessed_unix_s, 0);
}

TEST_F(PolicyTest, RefusesACheckpointOfAnotherOriginThanItsKeys) {
  EXPECT_THAT(OpenCheckpoint(CosignedBy({}, "log.example/two"),
                             Policy("quorum none\n")),
              StatusIs(kPrecondition, HasSubstr("no log of the policy")));
}

TEST_F(PolicyTest, OneKeyUnderTwoNamesIsOneWitness) {
  lines_ += fmt::format("witness again {}\n", witnesses_[0]->vkey());
  const WitnessPolicy policy = Policy("group g 2 a again b\nquorum g\n");
  EXPECT_THAT(OpenCheckpoint(CosignedBy({{0, kTime}}), policy),
              StatusIs(kPrecondition));
  EXPECT_THAT(OpenCheckpoint(CosignedBy({{0, kTime}, {1, kTime}}), policy),
              IsOk());
}

TEST_F(PolicyTest, RefusesWhatIsNoPolicy) {
  for (const std::string& bad :
       {std::string("quorum a\nquorum a\n"), std::string("quorum none x\n"),
        std::string("group g 3 a b\nquorum g\n"),
        std::string("group g 0 a b\nquorum g\n"),
        std::string("group g all\nquorum none\n"),
        std::string("group g any a\ngroup h any a\nquorum none\n"),
        std::string("group g any h\ngroup h any a\nquorum none\n"),
        std::string("group a any b\nquorum none\n"),
        std::string("frob\nquorum none\n"), std::string("quorum none\r\n"),
        lines_ + "quorum none\n",
        fmt::format("log {}\nquorum none\n", witnesses_[0]->vkey())}) {
    EXPECT_THAT(WitnessPolicy::Parse(lines_ + bad), StatusIs(kInvalid)) << bad;
  }
}

}  // namespace
}  // namespace vmattest::tlog
