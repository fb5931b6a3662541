#include "cli/snapshot_show.h"

#include <gmock/gmock.h>

#include <sstream>

#include "cli/exit_code.h"
#include "snapshot/page_tree.h"
#include "support/evidence_builder.h"
#include "support/temp_dir.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SnapshotShowTest : public ::testing::Test {
 protected:
  SnapshotShowTest() {
    pages_.regions = {{"tables",
                       {{0x1a00200, 0x1a00e00}},
                       Bytes(32, 5),
                       {{"syscall_table", "ro_after_init", 0xffffffff82200200,
                         0xc00, 0, 0, 1}}}};
    pages_.records = {{"syscall/62", "evil\x1b[2J"}};
    statement_.policy_id = "linux";
    statement_.policy_version = 1;
    statement_.semantics = "linux";
    statement_.kernel_release = "6.1.0";
    statement_.regions = {{"tables", "critical", 0xc00, 1,
                           snapshot::SelectionDigest(statement_.algorithm,
                                                     {{0x1a00200, 0x1a00e00}}),
                           snapshot::PageTreeRoot(statement_.algorithm,
                                                  pages_.regions[0].digests),
                           0, 0, ""}};
    statement_.findings = {
        {"syscall-hooked", "critical", "sys_call_table[62]", "a", "b"}};
    statement_.record_count = 1;
    statement_.records_root =
        evidence::RecordsRoot(statement_.algorithm, pages_.records);
  }
  int Show() {
    const std::string file =
        dir_.Write("e", AsText(wire::EncodeEvidence(builder_.Seal(
                            std::string(evidence::kStatePayloadType),
                            wire::EncodeStateStatement(statement_)))))
            .string();
    const std::string pages =
        dir_.Write("p", AsText(wire::EncodeSnapshotPages(pages_))).string();
    return RunSnapshotShow({file, pages, true}, out_, err_);
  }

  testing::SoftHost host_;
  testing::EvidenceBuilder builder_{host_};
  evidence::StateStatement statement_;
  evidence::SnapshotPages pages_;
  testing::TempDir dir_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(SnapshotShowTest, NamesFindingsPartsAndRecords) {
  EXPECT_EQ(Show(), kExitGood) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("kernel      linux 6.1.0"));
  EXPECT_THAT(out_.str(), HasSubstr("finding     critical syscall-hooked "
                                    "sys_call_table[62]: expected a, found b"));
  EXPECT_THAT(out_.str(), HasSubstr("tables: syscall_table (ro_after_init) "
                                    "0xffffffff82200200, 3072 bytes, RAM "
                                    "0x1a00200"));
  EXPECT_THAT(out_.str(), HasSubstr("syscall/62 = "));
  EXPECT_THAT(out_.str(), Not(HasSubstr("\x1b")));
}

TEST_F(SnapshotShowTest, RefusesPagesOfAnotherSnapshot) {
  pages_.regions[0].digests[0] ^= 1;
  EXPECT_EQ(Show(), kExitNotTrustworthy);
  EXPECT_THAT(err_.str(), HasSubstr("region 'tables': other pages"));
  EXPECT_THAT(out_.str(), Not(HasSubstr("syscall_table")));
}

}  // namespace
}  // namespace vmattest::cli
