#include "baseline/baseline.h"

#include <gmock/gmock.h>

#include "support/made_snapshot.h"
#include "support/matchers.h"

namespace vmattest::baseline {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

MadeSnapshot Made() {
  MadeSnapshot made;
  made.AddRegion("ram", 1000);
  made.pages.records = {{"syscall/62", "kill"}, {"syscall/1", "write"}};
  made.Seal();
  return made;
}

TEST(BaselineTest, WritesItselfAgain) {
  Baseline baseline = Made().ToBaseline();
  baseline.accepted = {{"process-code-writable", "process/7"}};
  const Bytes payload = Encode(baseline);
  const absl::StatusOr<Baseline> parsed = Parse(payload);
  ASSERT_THAT(parsed, IsOk());
  EXPECT_EQ(Encode(*parsed), payload);
  EXPECT_EQ(parsed->id(), "web@3");
  EXPECT_EQ(parsed->subset(), "made@1");
  EXPECT_EQ(parsed->accepted.size(), 1U);
}

TEST(BaselineTest, KeepsWhichBootItIsOf) {
  MadeSnapshot made = Made();
  const Bytes without = Encode(made.ToBaseline());
  EXPECT_EQ(Parse(without)->boot, std::nullopt);
  made.statement.boot = evidence::Boot{Bytes(8, 5), 2};
  const Bytes payload = Encode(made.ToBaseline());
  EXPECT_EQ(Parse(payload)->boot, made.statement.boot);
  EXPECT_EQ(Bytes(payload.begin(), payload.begin() + without.size()), without)
      << "those of before it was known are what they were";
}

TEST(BaselineTest, RefusesWhatIsNone) {
  const Baseline good = Made().ToBaseline();
  const auto refused = [&](auto change, const char* field) {
    Baseline bad = good;
    change(bad);
    EXPECT_THAT(Parse(Encode(bad)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  refused([](Baseline& b) { b.name = "Web"; }, "name");
  refused([](Baseline& b) { b.revision = 0; }, "revision");
  refused([](Baseline& b) { b.vm_uuids.clear(); }, "vm_uuids");
  refused([](Baseline& b) { b.vm_uuids.emplace_back("*"); }, "vm_uuids");
  refused([](Baseline& b) { b.policy_version = 0; }, "policy_id");
  refused([](Baseline& b) { b.regions[0].severity = "bad"; }, "regions 'ram'");
  refused([](Baseline& b) { b.regions[0].root.pop_back(); }, "regions 'ram'");
  refused([](Baseline& b) { b.regions.push_back(b.regions[0]); }, "regions");
  refused([](Baseline& b) { b.record_count = 0; }, "records_root");
  refused([](Baseline& b) { b.min_score = 101; }, "min_score");
  refused(
      [](Baseline& b) {
        b.boot = evidence::Boot{Bytes(7), 0};
      },
      "boot.listener");
  refused([](Baseline& b) { b.boot.emplace(); }, "boot.listener");
  refused([](Baseline& b) { b.header.not_after_unix_ms = 0; }, "header");
  refused(
      [](Baseline& b) {
        b.regions.clear();
        b.records_root.clear();
        b.record_count = 0;
      },
      "nothing is demanded");
}

TEST(BaselineTest, IsOfItsOwnPagesOnly) {
  MadeSnapshot made = Made();
  const Baseline baseline = made.ToBaseline();
  made.ChangePage(0, 5);
  EXPECT_THAT(
      LoadedBaseline::Load(baseline, wire::EncodeSnapshotPages(made.pages)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pages")));
  // The digest of the file is not the only thing that is checked.
  Baseline forged = baseline;
  forged.pages_digest =
      Hash(HashAlgorithm::kSha256, wire::EncodeSnapshotPages(made.pages));
  EXPECT_THAT(
      LoadedBaseline::Load(forged, wire::EncodeSnapshotPages(made.pages)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ram")));
}

TEST(BaselineTest, LeavesOutWhatIsNamed) {
  MadeSnapshot made = Made();
  made.AddRegion("sample", 10, 0x900000);
  made.Seal();
  const Bytes pages = wire::EncodeSnapshotPages(made.pages);
  const auto baseline = FromSnapshot(made.statement, pages, {"sample"});
  ASSERT_THAT(baseline, IsOk());
  ASSERT_EQ(baseline->regions.size(), 1U);
  EXPECT_THAT(FromSnapshot(made.statement, pages, {"typo"}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("typo")));
}

// Tasks are records alone: their region has no pages, and no root to compare.
TEST(BaselineTest, RegionsWithoutPagesAreLeftOut) {
  MadeSnapshot made = Made();
  made.AddRegion("tasks", 0).ranges.clear();
  made.AddRegion("gone", 1, 0x900000);
  made.Seal();
  made.statement.regions[1].root.clear();
  made.statement.regions[2].unavailable = "not-found: no such module";
  const Bytes pages = wire::EncodeSnapshotPages(made.pages);
  const auto baseline = FromSnapshot(made.statement, pages, {});
  ASSERT_THAT(baseline, IsOk());
  ASSERT_EQ(baseline->regions.size(), 1U);
  EXPECT_EQ(baseline->regions[0].name, "ram");
  EXPECT_EQ(baseline->record_count, 2U);
  EXPECT_THAT(FromSnapshot(made.statement, pages, {"tasks"}), IsOk())
      << "named and without pages";
}

}  // namespace
}  // namespace vmattest::baseline
