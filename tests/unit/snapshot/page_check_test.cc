#include "snapshot/page_check.h"

#include "gmock/gmock.h"
#include "snapshot/page_tree.h"

namespace vmattest::snapshot {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckPagesTest : public ::testing::Test {
 protected:
  CheckPagesTest() {
    constexpr auto kAlgorithm = HashAlgorithm::kSha256;
    pages_.regions = {{"text",
                       {{0x2010, 0x3000}, {0x1000, 0x2000}},
                       Bytes(64, 5),
                       {{"symbol/a", "code", 0x10, 0xff0, 0, 0, 1},
                        {"symbol/b", "data", 0x2000, 0x1000, 0, 1, 1}}}};
    pages_.records = {{"process/1", "pid=1"}, {"syscall/1", "write"}};
    statement_.regions = {
        {"text", "high", 0x1ff0, 2,
         SelectionDigest(kAlgorithm, {{0x2010, 0x3000}, {0x1000, 0x2000}}),
         PageTreeRoot(kAlgorithm, Bytes(64, 5)), 0, 0, ""},
        {"gone", "low", 0, 0, {}, {}, 0, 0, "no-linux"},
        {"tasks",
         "low",
         0,
         0,
         {},
         evidence::RecordsRoot(kAlgorithm, {{"process/1", "pid=1"}}),
         0,
         0,
         ""}};
    statement_.records_root = evidence::RecordsRoot(kAlgorithm, pages_.records);
    statement_.record_count = 2;
  }
  std::vector<std::string> Check() { return CheckPages(statement_, pages_); }

  evidence::StateStatement statement_;
  evidence::SnapshotPages pages_;
};

TEST_F(CheckPagesTest, TakesThoseOfTheStatement) {
  EXPECT_THAT(Check(), IsEmpty());
}

TEST_F(CheckPagesTest, NamesWhatIsAnother) {
  const evidence::SnapshotPages good = pages_;
  const auto says = [&](auto change, const char* what) {
    pages_ = good;
    change(pages_);
    EXPECT_THAT(Check(), ElementsAre(HasSubstr(what)));
  };
  says([](auto& p) { p.regions[0].digests[40] ^= 1; }, "'text': other pages");
  says([](auto& p) { p.regions[0].digests.pop_back(); }, "number of pages");
  says([](auto& p) { ++p.regions[0].ranges[0].begin; }, "other addresses");
  says([](auto& p) { p.regions[0].ranges[0].end = 0; }, "a range that is none");
  says([](auto& p) { p.regions[0].ranges[0].end = UINT64_MAX; }, "is none");
  says([](auto& p) { p.regions[0].parts[1].first_page = 0; }, "'symbol/b'");
  says([](auto& p) { p.regions[0].parts[1].pages = UINT64_MAX; }, "'symbol/b'");
  says([](auto& p) { p.regions[0].parts.pop_back(); }, "pages of no part");
  says([](auto& p) { p.regions.clear(); }, "'text': not there");
  says([](auto& p) { p.records[1].text = "x"; }, "records");
  pages_ = good;
  pages_.records[0].text = "pid=2";
  EXPECT_THAT(Check(), ElementsAre(HasSubstr("'tasks': not there"),
                                   HasSubstr("records")));
}

}  // namespace
}  // namespace vmattest::snapshot
