#include "baseline/guest_report.h"

#include <gmock/gmock.h>

#include "support/matchers.h"

namespace vmattest::baseline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

GuestReport Report() {
  GuestReport report;
  report.vm_uuid = "00000000-0000-4000-8000-000000000001";
  report.after = DigestBytes(32, 7);
  report.release = "6.1.0-13-amd64";
  report.modules = {"evil", "virtio"};
  report.tasks = {{1, "init"}, {9, "a%20b"}};
  return report;
}

TEST(GuestReportTest, ReadsWhatItWrites) {
  for (const bool whole : {true, false}) {
    GuestReport report = Report();
    if (!whole) {
      report.modules.reset();
      report.tasks.emplace();
    }
    ASSERT_OK_AND_ASSIGN(const GuestReport read,
                         ParseGuestReport(Encode(report)));
    EXPECT_EQ(read.modules, report.modules);
    EXPECT_EQ(read.tasks, report.tasks);
    EXPECT_EQ(read.release, report.release);
    EXPECT_EQ(NonceOf(read), NonceOf(report));
  }
}

TEST(GuestReportTest, RefusesWhatNoGuestHas) {
  const auto refused = [](auto change, const char* field) {
    GuestReport report = Report();
    change(report);
    EXPECT_THAT(ParseGuestReport(Encode(report)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  refused([](auto& r) { r.vm_uuid = "x"; }, "vm_uuid");
  refused([](auto& r) { r.after.pop_back(); }, "after");
  refused([](auto& r) { r.release = std::string(200, 'a'); }, "release");
  refused([](auto& r) { r.cmdline = "a\nb"; }, "cmdline");
  refused([](auto& r) { r.modules = {"b", "a"}; }, "modules");
  refused([](auto& r) { r.modules = {"a", "a"}; }, "modules");
  refused([](auto& r) { r.modules = {"a b"}; }, "modules");
  refused([](auto& r) { r.modules->assign(5000, "a"); }, "modules");
  refused([](auto& r) { r.tasks = {{2, "a"}, {1, "b"}}; }, "tasks");
  refused([](auto& r) { r.tasks = {{0, "swapper"}}; }, "tasks");
  refused([](auto& r) { r.tasks = {{5'000'000, "a"}}; }, "tasks");
  refused([](auto& r) { r.tasks = {{5, "a b"}}; }, "tasks");
  Bytes other = Encode(Report());
  other.push_back(0x50);
  other.push_back(1);
  EXPECT_THAT(ParseGuestReport(other),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(GuestReportTest, ReadsProcModules) {
  ASSERT_OK_AND_ASSIGN(
      const auto modules,
      ParseProcModules("virtio_net 73728 0 - Live 0xffffffffc0412000\n"
                       "evil 16384 0 - Live 0x0000000000000000 (OE)\n"));
  EXPECT_THAT(modules, ElementsAre("evil", "virtio_net"));
  ASSERT_OK_AND_ASSIGN(const auto none, ParseProcModules(""));
  EXPECT_THAT(none, IsEmpty());
  EXPECT_THAT(
      ParseProcModules("a 1\n" + std::string(80, 'x') + " 1\n"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("line 2")));
  EXPECT_THAT(ParseProcModules("a 1\na 2\n"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("once")));
}

TEST(GuestReportTest, ReadsWhatPsWrites) {
  ASSERT_OK_AND_ASSIGN(const std::vector<GuestTask> tasks,
                       ParseTaskList("    PID COMMAND\n"
                                     "     20 Web Content\n"
                                     "      1 systemd\n"
                                     "    300 100%\n"));
  EXPECT_THAT(tasks, ElementsAre(GuestTask{1, "systemd"},
                                 GuestTask{20, "Web%20Content"},
                                 GuestTask{300, "100%25"}));
  EXPECT_THAT(ParseTaskList("1 init\n"), IsOk());
  for (const char* bad : {"x init\n", "1\n", "-1 init\n", "1init\n",
                          "99999999999999 a\n", "1 a\n1 b\n", "0 swapper\n"}) {
    EXPECT_THAT(ParseTaskList(bad),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << bad;
  }
}

}  // namespace
}  // namespace vmattest::baseline
