#include "ledger/audit.h"

#include <fstream>

#include "base/file.h"
#include "fakes/fake_log_store.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "ledger/log.h"
#include "support/ledger_rig.h"
#include "support/temp_dir.h"
#include "tlog/tile.h"
#include "tlog/witness.h"

namespace vmattest::ledger {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using vmattest::testing::FakeLogStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::StatusIs;
using vmattest::testing::TempDir;

class AuditTest : public ::testing::Test {
 protected:
  AuditTest()
      : signer_(*tlog::EcdsaNoteSigner(
            LedgerRig::kOrigin,
            std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate()))),
        policy_(*tlog::WitnessPolicy::Parse(
            fmt::format("log {}\nquorum none\n", signer_->vkey()))) {
    EXPECT_TRUE(store_.Lead("here")->mine);
    log_ = *Log::Open(store_, rig_.Policy(), {});
    rig_.Populate(*log_);
  }
  void Grow(uint64_t size) {
    while (log_->head().size < size) {
      ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
    }
  }
  std::string Note(uint64_t size) {
    tlog::Note note{.text =
                        tlog::EncodeCheckpoint({.origin = LedgerRig::kOrigin,
                                                .size = size,
                                                .root = *log_->RootAt(size)})};
    EXPECT_THAT(tlog::AddSignature(note, *signer_, 0), IsOk());
    return tlog::EncodeNote(note);
  }
  std::filesystem::path Export(uint64_t size, const std::string& name = "log") {
    const std::filesystem::path folder = dir_.path() / name;
    EXPECT_THAT(ExportLog(store_, Note(size), folder), IsOk());
    return folder;
  }
  AuditReport Run(const std::filesystem::path& folder,
                  std::optional<std::string> known = std::nullopt) {
    DirectorySource source(folder);
    absl::StatusOr<AuditReport> report =
        Audit(source, {.log = rig_.Policy(),
                       .witnesses = policy_,
                       .known_checkpoint = std::move(known),
                       .now_unix_ms = rig_.time_ms});
    EXPECT_THAT(report, IsOk());
    return report.ok() ? *std::move(report) : AuditReport();
  }
  // Flips a bit of a file of the export.
  static void Damage(const std::filesystem::path& file, size_t at) {
    Bytes bytes = *ReadFile(file, 64u << 20);
    bytes.at(at) ^= 1;
    ASSERT_THAT(WriteFileAtomic(file, bytes), IsOk());
  }

  TempDir dir_;
  LedgerRig rig_;
  std::unique_ptr<tlog::NoteSigner> signer_;
  tlog::WitnessPolicy policy_;
  FakeLogStore store_;
  std::unique_ptr<Log> log_;
};

TEST_F(AuditTest, AnExportIsAuditedOffline) {
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 2, false)), "");
  Grow(600);
  const AuditReport report = Run(Export(580));
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.size, 580u);
  EXPECT_EQ(report.checked, 580u);
  EXPECT_TRUE(report.unwitnessed);
  EXPECT_THAT(report.vms, SizeIs(3));
  EXPECT_EQ(report.vms[1].milli, 80'000);
  EXPECT_EQ(report.vms[1].band, "free");
  EXPECT_EQ(report.types.at("host-authorise"), 3u);
}

TEST_F(AuditTest, AnExportHasTheLayoutOfTheSpecification) {
  Grow(300);
  const std::filesystem::path folder = Export(300);
  for (const char* file :
       {"checkpoint", "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1",
        "tile/entries/000", "tile/entries/001.p/44"}) {
    EXPECT_TRUE(std::filesystem::is_regular_file(folder / file)) << file;
  }
  dir_.Write("other/file", "of somebody's");
  EXPECT_THAT(ExportLog(store_, Note(300), dir_.path() / "other"),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(AuditTest, AnExportIsContinuedWithWhatItLacks) {
  Grow(600);
  const std::filesystem::path folder = Export(300);
  uint64_t asked_from = UINT64_MAX;
  const auto read = [&](uint64_t begin, size_t limit) {
    asked_from = std::min(asked_from, begin);
    return store_.Records(begin, limit);
  };
  for (const uint64_t size : {301, 301, 512, 599}) {
    ASSERT_THAT(ExportLog(read, Note(size), folder), IsOk());
    const AuditReport report = Run(folder);
    EXPECT_THAT(report.findings, IsEmpty());
    EXPECT_EQ(report.checked, size);
  }
  EXPECT_EQ(asked_from, 300u);
  // The same files as one that was made at once, but for empty folders.
  const std::filesystem::path whole = Export(599, "whole");
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().filename() != "checkpoint") {
      const auto path = std::filesystem::relative(entry.path(), folder);
      EXPECT_EQ(*ReadFile(entry.path(), 64u << 20),
                *ReadFile(whole / path, 64u << 20))
          << path;
    }
  }
  // A log that went back, and a copy that was changed.
  EXPECT_THAT(ExportLog(store_, Note(400), folder),
              StatusIs(absl::StatusCode::kDataLoss));
  Damage(folder / "tile/0/002.p/87", 3);
  EXPECT_THAT(ExportLog(store_, Note(600), folder),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(AuditTest, NamesWhatWasTamperedWith) {
  Grow(300);
  const std::filesystem::path tile = Export(300, "tile");
  Damage(tile / "tile/0/001.p/44", 3);
  EXPECT_THAT(Run(tile).findings,
              ElementsAre(Field(&Finding::element, "tile 0/1")));
  const std::filesystem::path entry = Export(300, "entry");
  const size_t bytes =
      std::filesystem::file_size(entry / "tile/entries/001.p/44");
  Damage(entry / "tile/entries/001.p/44", bytes - 1);
  const AuditReport report = Run(entry);
  ASSERT_THAT(report.findings, SizeIs(1));
  EXPECT_EQ(report.findings[0].element, "record 299");
  EXPECT_EQ(report.findings[0].reason.code, "ledger-signature");
  const std::filesystem::path note = Export(300, "note");
  Damage(note / "checkpoint", 30);
  EXPECT_THAT(Run(note).findings,
              ElementsAre(Field(&Finding::element, "checkpoint")));
  const std::filesystem::path missing = Export(300, "missing");
  std::filesystem::remove(missing / "tile/entries/000");
  EXPECT_THAT(Run(missing).findings,
              ElementsAre(Field(&Finding::element, "record 0")));
}

TEST_F(AuditTest, ARecordOfALogThatNobodyWroteShowsByItsRoot) {
  Grow(20);
  const std::filesystem::path folder = Export(20);
  // Everything recomputed by somebody with the disk, but not the log's key.
  const Record record = *ParseRecord(store_.Records(19, 1)->at(0));
  std::vector<Bytes> records = *store_.Records(0, 20);
  records[19] = EncodeRecord(record.time_unix_ms + 5, record.entry);
  ASSERT_THAT(WriteFileAtomic(folder / tlog::EntryTilePath(0, 20),
                              tlog::EncodeEntryBundle(records)),
              IsOk());
  EXPECT_THAT(Run(folder).findings,
              ElementsAre(Field(&Finding::element, "tile 0/0"),
                          Field(&Finding::element, "root")));
}

TEST_F(AuditTest, AForkedLogIsCaughtWithProof) {
  Grow(20);
  const std::string known = Note(20);
  EXPECT_THAT(Run(Export(20), known).findings, IsEmpty());
  // The node's key signs another story of the same length.
  FakeLogStore other_store;
  ASSERT_TRUE(other_store.Lead("here")->mine);
  rig_ = LedgerRig();
  log_ = *Log::Open(other_store, rig_.Policy(), {});
  rig_.Populate(*log_);
  Grow(20);
  const std::filesystem::path folder = dir_.path() / "fork";
  ASSERT_THAT(ExportLog(other_store, Note(20), folder), IsOk());
  const AuditReport report = Run(folder, known);
  ASSERT_TRUE(report.fork.has_value());
  EXPECT_EQ(report.findings[0].reason.code, "ledger-fork");
  EXPECT_THAT(tlog::CheckFork(*report.fork, policy_.verifiers()), IsOk());
}

TEST_F(AuditTest, ALogThatWasRolledBackAndGrewPastIsCaughtWithProof) {
  Grow(20);
  const std::string known = Note(20);
  FakeLogStore other_store;
  ASSERT_TRUE(other_store.Lead("here")->mine);
  rig_ = LedgerRig();
  log_ = *Log::Open(other_store, rig_.Policy(), {});
  rig_.Populate(*log_);
  Grow(33);
  const std::filesystem::path folder = dir_.path() / "later";
  ASSERT_THAT(ExportLog(other_store, Note(33), folder), IsOk());
  const AuditReport report = Run(folder, known);
  ASSERT_TRUE(report.fork.has_value());
  ASSERT_OK_AND_ASSIGN(const tlog::Fork fork,
                       tlog::CheckFork(*report.fork, policy_.verifiers()));
  EXPECT_EQ(fork.size, 20u);
  EXPECT_EQ(fork.later_size, 33u);
}

TEST_F(AuditTest, ARolledBackLogIsCaught) {
  Grow(30);
  const std::string known = Note(30);
  const AuditReport report = Run(Export(20), known);
  ASSERT_THAT(report.findings, SizeIs(1));
  EXPECT_EQ(report.findings[0].element, "known-checkpoint");
  EXPECT_THAT(report.findings[0].reason.found, HasSubstr("rolled back"));
}

}  // namespace
}  // namespace vmattest::ledger
