#include "daemon/policy_feed.h"

#include <atomic>

#include "fakes/fake_launch_verifier.h"
#include "gmock/gmock.h"
#include "reference/reference.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::daemon {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;
using ::testing::UnorderedElementsAre;

constexpr char kUuid[] = "a045410c-221a-45fb-b0ef-341be7ce6025";

// Keeps what it was asked about.
class Verifier final : public gate::LaunchVerifier {
 public:
  absl::StatusOr<std::string> Appraise(const Request&, MonotonicTime) override {
    return absl::UnimplementedError("not asked here");
  }
  absl::StatusOr<HostPolicy> GetHostPolicy(const std::vector<std::string>& vms,
                                           MonotonicTime) override {
    const MutexLock lock(mutex_);
    asked_.push_back(vms);
    return answer_;
  }
  void Answer(absl::StatusOr<HostPolicy> answer) {
    const MutexLock lock(mutex_);
    answer_ = std::move(answer);
  }
  std::vector<std::vector<std::string>> asked() const {
    const MutexLock lock(mutex_);
    return asked_;
  }

 private:
  mutable Mutex mutex_;
  absl::StatusOr<HostPolicy> answer_ GUARDED_BY(mutex_) = HostPolicy();
  std::vector<std::vector<std::string>> asked_ GUARDED_BY(mutex_);
};

class PolicyFeedTest : public ::testing::Test {
 protected:
  PolicyFeedTest() {
    std::filesystem::create_directories(dir_.path() / "approvers");
    dir_.Write("approvers/a.pub",
               document::PublicKeyToJson(approver_.public_key()));
    policy_ = *gate::PolicyStore::Open(
        {.folder = dir_.path(), .approvers = dir_.path() / "approvers"});
    feed_ = std::make_unique<PolicyFeed>(
        PolicyFeed::Parts{.verifier = verifier_,
                          .policy = *policy_,
                          .defined = [this] { return defined_; },
                          .asked = [this] { ++told_; },
                          .clock = clock_});
  }
  Bytes Reference() {
    reference::Reference reference;
    const int64_t now = clock_.Now().time_since_epoch().count();
    reference.header = {.issued_unix_ms = now,
                        .not_before_unix_ms = now - 1000,
                        .not_after_unix_ms = now + 3'600'000,
                        .signature_algorithms = approver_.algorithms()};
    reference.name = "web";
    reference.revision = 1;
    reference.vm_uuids = {kUuid};
    reference.roots = {DigestBytes(32, 1)};
    return *approver_.Sign(document::kReferencePayloadType,
                           reference::Encode(reference));
  }

  SystemClock clock_;
  testing::TempDir dir_;
  document::PrivateKey approver_ =
      *document::PrivateKey::Generate("approver", std::nullopt);
  Verifier verifier_;
  std::unique_ptr<gate::PolicyStore> policy_;
  std::vector<std::string> defined_ = {kUuid};
  std::atomic<int> told_ = 0;
  std::unique_ptr<PolicyFeed> feed_;
};

TEST_F(PolicyFeedTest, KeepsWhatTheVerifierHoldsForTheVmsDefinedHere) {
  EXPECT_THAT(feed_->status(), StatusIs(absl::StatusCode::kUnavailable));
  verifier_.Answer(
      gate::LaunchVerifier::HostPolicy{.references = {Reference()}});
  feed_->Ask();
  EXPECT_THAT(feed_->status(), IsOk());
  EXPECT_EQ(told_, 1);
  EXPECT_THAT(verifier_.asked(), UnorderedElementsAre(defined_));
  EXPECT_TRUE(policy_->For(kUuid, clock_.Now()).reference.has_value());
}

TEST_F(PolicyFeedTest, AVerifierThatIsAwayTakesNothingAway) {
  verifier_.Answer(
      gate::LaunchVerifier::HostPolicy{.references = {Reference()}});
  feed_->Ask();
  verifier_.Answer(absl::UnavailableError("no route"));
  feed_->Ask();
  EXPECT_THAT(feed_->status(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no route")));
  EXPECT_TRUE(policy_->For(kUuid, clock_.Now()).reference.has_value());
}

TEST_F(PolicyFeedTest, ARevokedHostKnowsIt) {
  verifier_.Answer(
      gate::LaunchVerifier::HostPolicy{.revocation_epoch = 3, .revoked = true});
  feed_->Ask();
  EXPECT_THAT(feed_->status(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("revoked")));
  EXPECT_EQ(policy_->For(kUuid, clock_.Now()).revocation_epoch, 3u);
}

TEST_F(PolicyFeedTest, AVmThatIsStartedAndNotDefinedIsAskedAboutToo) {
  feed_->Want("another");
  feed_->Stop();
  EXPECT_THAT(verifier_.asked(),
              Contains(UnorderedElementsAre(kUuid, "another")));
}

}  // namespace
}  // namespace vmattest::daemon
