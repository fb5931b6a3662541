#include "capture/snapshot_store.h"

#include "gmock/gmock.h"
#include "support/evidence_builder.h"
#include "support/matchers.h"
#include "support/soft_tpm.h"
#include "support/temp_dir.h"
#include "wire/codec.h"

namespace vmattest::capture {
namespace {

using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;
using testing::StatusIs;

class SnapshotStoreTest : public ::testing::Test {
 protected:
  Bytes Evidence(const std::string& policy) {
    evidence::StateStatement statement;
    statement.header = builder_.header;
    statement.policy_id = policy;
    builder_.key = KeyPurpose::kState;
    return wire::EncodeEvidence(
        builder_.Seal(std::string(evidence::kStatePayloadType),
                      wire::EncodeStateStatement(statement)));
  }
  testing::SoftHost host_;
  testing::EvidenceBuilder builder_{host_};
  testing::TempDir dir_;
  SnapshotStore store_{dir_.path() / "snapshots", 2};
  Uuid vm_ = *ParseUuid("9f3c5b0a-2f1e-4a77-9b64-0d4a2b1c7e55");
};

TEST_F(SnapshotStoreTest, KeepsTheNewestOfEachVm) {
  ASSERT_THAT(store_.Add(vm_, 1000, Evidence("one"), Bytes(3)).status(),
              IsOk());
  ASSERT_THAT(store_.Add(vm_, 3000, Evidence("three"), Bytes(3)).status(),
              IsOk());
  const Bytes two = Evidence("two");
  ASSERT_OK_AND_ASSIGN(const std::string id,
                       store_.Add(vm_, 2000, two, Bytes(2)));
  ASSERT_OK_AND_ASSIGN(const auto records, store_.List(vm_, 10));
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[0].statement.policy_id, "three");
  EXPECT_EQ(records[1].statement.policy_id, "two");
  EXPECT_EQ(records[1].id, id);
  EXPECT_EQ(*store_.Pages(vm_, id), Bytes(2));
  EXPECT_EQ(*store_.Evidence(vm_, id), two);
  EXPECT_THAT(*store_.List(vm_, 1), SizeIs(1));
  EXPECT_THAT(*store_.List(Uuid(), 10), IsEmpty());
}

TEST_F(SnapshotStoreTest, ThoseThatAVmAskedForPushOutNoOthers) {
  ASSERT_OK_AND_ASSIGN(const std::string ours,
                       store_.Add(vm_, 1000, Evidence("one"), Bytes(3)));
  std::string last;
  for (int64_t time = 2000; time < 8000; time += 1000) {
    ASSERT_OK_AND_ASSIGN(
        last, store_.Add(vm_, time, Evidence("asked"), Bytes(3), true));
  }
  ASSERT_OK_AND_ASSIGN(const auto records, store_.List(vm_, 10));
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[0].id, last);
  EXPECT_EQ(records[1].id, ours);
  EXPECT_THAT(store_.Evidence(vm_, last).status(), IsOk());
}

TEST_F(SnapshotStoreTest, TakesNoPathForAnId) {
  for (const std::string id : {"../x", "", "a/b", "nothing", "0-0"}) {
    EXPECT_THAT(store_.Evidence(vm_, id),
                StatusIs(absl::StatusCode::kNotFound));
  }
}

}  // namespace
}  // namespace vmattest::capture
