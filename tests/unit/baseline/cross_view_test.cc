#include "baseline/cross_view.h"

#include <gmock/gmock.h>

#include "support/matchers.h"

namespace vmattest::baseline {
namespace {

using evidence::StateRecord;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::optional<Difference> Look(const std::string& in_memory,
                               const std::string& configured) {
  return CompareConfigured({{"kernel/cmdline", in_memory}}, configured);
}

TEST(CompareConfiguredTest, TheSameWordsDoNotContradict) {
  EXPECT_FALSE(Look("quiet root=/dev/vda1", "quiet root=/dev/vda1"));
  EXPECT_FALSE(Look("quiet  root=/dev/vda1 ", "quiet root=/dev/vda1"));
  EXPECT_FALSE(Look("BOOT_IMAGE=/vmlinuz quiet", "quiet"));
  EXPECT_FALSE(CompareConfigured({}, "quiet")) << "memory does not tell";
}

TEST(CompareConfiguredTest, AnAddedWordContradicts) {
  const auto found = Look("quiet init=/bin/sh", "quiet");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->code, "cross-view-cmdline");
  EXPECT_EQ(found->kind, Kind::kContradiction);
  EXPECT_EQ(found->severity, snapshot::Severity::kCritical);
  EXPECT_EQ(found->expected, "quiet");
  EXPECT_TRUE(Look("quiet", "quiet mitigations=auto"));
  EXPECT_TRUE(Look("b a", "a b")) << "the last one wins";
  EXPECT_TRUE(Look("quiet BOOT_IMAGE=/x", "quiet"));
}

// A report and the snapshots around it, of a guest that tells the truth.
class CompareReportTest : public ::testing::Test {
 protected:
  CompareReportTest() {
    report_.vm_uuid = "00000000-0000-4000-8000-000000000001";
    report_.release = "6.1.0-13-amd64";
    report_.modules = {"evil", "virtio"};
    report_.tasks = {{1, "init"}, {7, "kworker/0:1-events"}, {9, "sh"}};
    records_ = {{"kernel/release", "6.1.0-13-amd64"},
                {"module/evil", "listed text=1"},
                {"module/virtio", "listed text=1"},
                {"process/0", "pid=0 comm=swapper/0 uid=0"},
                {"process/1", "pid=1 comm=init uid=0"},
                {"process/7", "pid=7 comm=kworker/0:1 uid=0"},
                {"process/9", "pid=9 comm=sh uid=0"}};
    earlier_ = report_;
    earlier_.after = DigestBytes(32, 1);
    before_.vm_uuid = after_.vm_uuid = report_.vm_uuid;
    before_.digest = DigestBytes(32, 2);
    after_.digest = DigestBytes(32, 3);
    before_.records = after_.records = records_;
  }
  // In order.
  std::vector<Difference> Compare(bool with_earlier = false) {
    before_.nonce = NonceOf(earlier_);
    report_.after = before_.digest;
    after_.nonce = NonceOf(report_);
    return CompareReport(
        {with_earlier ? &earlier_ : nullptr, before_, report_, after_});
  }
  static void Drop(MemoryLook& look, const std::string& name) {
    std::erase_if(look.records,
                  [&](const StateRecord& one) { return one.name == name; });
  }
  static std::vector<std::string> Elements(
      const std::vector<Difference>& differences) {
    std::vector<std::string> elements;
    for (const Difference& one : differences) {
      EXPECT_EQ(one.kind, Kind::kContradiction);
      EXPECT_EQ(one.severity, snapshot::Severity::kCritical);
      elements.push_back(std::string(one.code) + " " + one.element);
    }
    return elements;
  }

  GuestReport earlier_, report_;
  std::vector<StateRecord> records_;
  MemoryLook before_, after_;
};

TEST_F(CompareReportTest, TheTruthContradictsNothing) {
  EXPECT_THAT(Compare(), IsEmpty());
  EXPECT_THAT(Compare(true), IsEmpty());
}

TEST_F(CompareReportTest, WhatBothSnapshotsHaveMustBeTold) {
  report_.modules = {"virtio"};
  report_.tasks = {{1, "init"}, {7, "kworker/0:1"}};
  EXPECT_THAT(Elements(Compare()),
              ElementsAre("cross-view-modules module/evil",
                          "cross-view-tasks process/9 (sh)"));
}

TEST_F(CompareReportTest, WhatCameOrWentMeanwhileIsNoContradiction) {
  report_.modules = {"virtio"};
  report_.tasks = {{1, "init"}, {7, "kworker/0:1"}, {12, "ps"}};
  Drop(before_, "module/evil");  // loaded after the guest was asked
  Drop(after_, "process/9");     // ended before
  EXPECT_THAT(Compare(), IsEmpty());
  earlier_.modules.emplace();
  earlier_.tasks.emplace();
  EXPECT_THAT(Compare(true), IsEmpty());
  // Another process has the number now.
  after_.records.push_back({"process/9", "pid=9 comm=cron uid=0"});
  EXPECT_THAT(Compare(), IsEmpty());
}

TEST_F(CompareReportTest, ATaskUnderAnotherNameContradicts) {
  report_.tasks = {{1, "init"}, {7, "kworker/0:1"}, {9, "httpd"}};
  const auto found = Compare();
  EXPECT_THAT(Elements(found), ElementsAre("cross-view-tasks process/9 (sh)"));
  EXPECT_THAT(found[0].found, HasSubstr("httpd"));
}

TEST_F(CompareReportTest, WhatBothReportsTellMustBeInTheSnapshotBetween) {
  for (MemoryLook* look : {&before_, &after_}) {
    Drop(*look, "module/evil");
    Drop(*look, "process/9");
  }
  EXPECT_THAT(Compare(false), IsEmpty())
      << "it may have been there for a moment";
  EXPECT_THAT(Elements(Compare(true)),
              ElementsAre("cross-view-modules module/evil",
                          "cross-view-tasks process/9 (sh)"));
  earlier_.modules = {"virtio"};
  earlier_.tasks = {{1, "init"}};
  EXPECT_THAT(Compare(true), IsEmpty());
}

TEST_F(CompareReportTest, AnotherKernelOrCommandLineContradicts) {
  report_.release = "6.1.0-14-amd64";
  report_.cmdline = "quiet";
  for (MemoryLook* look : {&before_, &after_}) {
    look->records.push_back({"kernel/cmdline", "quiet evil=1"});
  }
  EXPECT_THAT(Elements(Compare()),
              ElementsAre("cross-view-kernel-release kernel/release",
                          "cross-view-cmdline kernel/cmdline"));
}

TEST_F(CompareReportTest, WhatIsNotToldOrNotMeasuredIsNotCompared) {
  report_.modules.reset();
  report_.tasks.reset();
  report_.release.clear();
  EXPECT_THAT(Compare(), IsEmpty());
  report_.tasks.emplace();
  for (MemoryLook* look : {&before_, &after_}) {
    std::erase_if(look->records, [](const StateRecord& one) {
      return one.name.rfind("process/", 0) == 0;
    });
  }
  EXPECT_THAT(Compare(), IsEmpty()) << "the policy asks for no tasks";
}

TEST_F(CompareReportTest, OutOfOrderIsToldAndNothingCompared) {
  report_.modules.emplace();  // would contradict
  const auto told = [&](const std::vector<Difference>& found, const char* why) {
    ASSERT_THAT(found, SizeIs(1));
    EXPECT_EQ(found[0].code, "cross-view-order");
    EXPECT_EQ(found[0].severity, snapshot::Severity::kInfo);
    EXPECT_EQ(found[0].kind, Kind::kUnmeasured);
    EXPECT_THAT(found[0].found, HasSubstr(why));
  };
  (void)Compare();
  const auto compare = [&](const GuestReport* earlier = nullptr) {
    return CompareReport({earlier, before_, report_, after_});
  };
  EXPECT_THAT(compare(), SizeIs(2));
  after_.nonce[0] ^= 1;
  told(compare(), "nonce");
  after_.nonce[0] ^= 1;
  before_.digest[0] ^= 1;
  told(compare(), "another snapshot");
  before_.digest[0] ^= 1;
  before_.nonce[0] ^= 1;
  EXPECT_THAT(compare(), SizeIs(2)) << "there is no earlier report";
  told(compare(&earlier_), "earlier report");
  const auto boot = [](uint64_t resets) {
    return evidence::Boot{Bytes(evidence::kBootListenerSize, 1), resets};
  };
  before_.boot = boot(1);
  EXPECT_THAT(compare(), SizeIs(2)) << "of the other's boot nobody knows";
  after_.boot = boot(1);
  EXPECT_THAT(compare(), SizeIs(2));
  after_.boot = boot(2);
  told(compare(), "reset");
  before_.run = "1";
  told(compare(), "anew");
  before_.vm_uuid.back() = '2';
  told(compare(), "different VMs");
}

}  // namespace
}  // namespace vmattest::baseline
