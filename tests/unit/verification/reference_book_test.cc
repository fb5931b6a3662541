#include "verification/reference_book.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/matchers.h"
#include "support/verifier_rig.h"

namespace vmattest::verification {
namespace {

using testing::EvidenceBuilder;
using testing::IsOk;
using testing::SoftHost;
using testing::StatusIs;
using testing::VerifierRig;

constexpr char kOther[] = "00000000-0000-4000-8000-00000000ffff";

class ReferenceBookTest : public ::testing::Test {
 protected:
  absl::StatusOr<ReferenceBook::Put> Put(
      const reference::Reference& reference,
      const MayVm& may = VerifierRig::AllVms) {
    return rig_.references.PutDocument(rig_.Sign(reference), may);
  }
  reference::Reference Learned(uint64_t revision = 1,
                               const std::string& name = "web") {
    return rig_.Learned(builder_, name, revision);
  }
  [[nodiscard]] MayVm Owner() const {
    return [vm = vm()](const std::string& asked) { return asked == vm; };
  }
  static MayVm Stranger() {
    return [](const std::string& asked) { return asked == kOther; };
  }
  [[nodiscard]] std::string vm() const { return builder_.header.vm_uuid; }

  VerifierRig rig_;
  SoftHost host_;
  EvidenceBuilder builder_{host_};
};

TEST_F(ReferenceBookTest, KeepsTheBytesThatWereSigned) {
  const Bytes document = rig_.Sign(Learned());
  ASSERT_OK_AND_ASSIGN(const auto put, rig_.references.PutDocument(
                                           document, VerifierRig::AllVms));
  ASSERT_TRUE(put.verdict.trusted());
  EXPECT_EQ(put.reference.approver, "alice");
  ASSERT_OK_AND_ASSIGN(const ReferenceEntry got,
                       rig_.references.Get("web", 0, VerifierRig::AllVms));
  EXPECT_EQ(got.document, document);
  EXPECT_EQ(rig_.references.For(vm(), rig_.clock.Now())->size(), 1u);
}

TEST_F(ReferenceBookTest, WhoIsNoApproverChangesNothing) {
  const auto stranger =
      document::PrivateKey::Generate("mallory", std::nullopt).value();
  reference::Reference reference = Learned();
  reference.header.signature_algorithms = stranger.algorithms();
  const Bytes document =
      stranger
          .Sign(document::kReferencePayloadType, reference::Encode(reference))
          .value();
  ASSERT_OK_AND_ASSIGN(const auto put, rig_.references.PutDocument(
                                           document, VerifierRig::AllVms));
  EXPECT_FALSE(put.verdict.trusted());
  Bytes broken = rig_.Sign(Learned());
  broken.back() ^= 1;
  ASSERT_OK_AND_ASSIGN(const auto torn, rig_.references.PutDocument(
                                            broken, VerifierRig::AllVms));
  EXPECT_FALSE(torn.verdict.trusted());
  EXPECT_TRUE(rig_.references.List(VerifierRig::AllVms)->empty());
}

TEST_F(ReferenceBookTest, RevisionsGrow) {
  ASSERT_THAT(Put(Learned(3)), IsOk());
  for (const uint64_t revision : {1, 2, 3}) {
    EXPECT_THAT(Put(Learned(revision)),
                StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  EXPECT_THAT(Put(Learned(4)), IsOk());
  EXPECT_EQ(rig_.references.For(vm(), rig_.clock.Now())->front().revision, 4u);
}

TEST_F(ReferenceBookTest, WhatHasRunOutIsNotTaken) {
  reference::Reference old = Learned();
  old.header.not_before_unix_ms = 1;
  old.header.not_after_unix_ms = VerifierRig::kNow;
  EXPECT_THAT(Put(old), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ReferenceBookTest, OlderRevisionCountsUntilTheNewerBegins) {
  ASSERT_THAT(Put(Learned(1)), IsOk());
  reference::Reference later = Learned(2);
  later.header.not_before_unix_ms = VerifierRig::kNow + 1'000;
  ASSERT_THAT(Put(later), IsOk());
  EXPECT_EQ(rig_.references.For(vm(), rig_.clock.Now())->front().revision, 1u);
  rig_.clock.Advance(std::chrono::seconds(1));
  EXPECT_EQ(rig_.references.For(vm(), rig_.clock.Now())->front().revision, 2u);
}

TEST_F(ReferenceBookTest, VmThatIsLeftOutHasNoReference) {
  ASSERT_THAT(Put(Learned(1)), IsOk());
  reference::Reference without = Learned(2);
  without.vm_uuids = {kOther};
  ASSERT_THAT(Put(without), IsOk());
  EXPECT_TRUE(rig_.references.For(vm(), rig_.clock.Now())->empty());
}

TEST_F(ReferenceBookTest, EachSeesAndChangesOnlyItsVms) {
  EXPECT_THAT(Put(Learned(), Stranger()),
              StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_THAT(Put(Learned(), Owner()), IsOk());
  EXPECT_EQ(rig_.references.List(Owner())->size(), 1u);
  EXPECT_TRUE(rig_.references.List(Stranger())->empty());
  EXPECT_THAT(rig_.references.Get("web", 0, Stranger()),
              StatusIs(absl::StatusCode::kNotFound));
  // Taking over a name of others.
  reference::Reference mine = Learned(2);
  mine.vm_uuids = {kOther};
  EXPECT_THAT(Put(mine, Stranger()),
              StatusIs(absl::StatusCode::kPermissionDenied));
  reference::Reference all = Learned(1, "all");
  all.vm_uuids = {"*"};
  EXPECT_THAT(Put(all, Owner()), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_F(ReferenceBookTest, AVmHasReferencesOfOneName) {
  ASSERT_THAT(Put(Learned(1, "web")), IsOk());
  EXPECT_THAT(Put(Learned(1, "other")),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

}  // namespace
}  // namespace vmattest::verification
