#include "ledger/audit.h"

#include <fstream>
#include <functional>

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
using vmattest::testing::LedgerVm;
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
  EXPECT_TRUE(report.complete()) << "nobody to ask";
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

TEST_F(AuditTest, ATpmThatWentBackIsNamed) {
  const auto event = [this](const std::string& host, uint32_t resets,
                            uint32_t restarts, uint64_t clock_ms) {
    ASSERT_EQ(
        rig_.Submit(*log_, rig_.ByHost(host,
                                       [&](v1::LedgerEntryBody& body) {
                                         v1::TpmClock& clock =
                                             *body.mutable_clock();
                                         clock.set_reset_count(resets);
                                         clock.set_restart_count(restarts);
                                         clock.set_clock_ms(clock_ms);
                                         body.mutable_notice()->set_kind(
                                             v1::LedgerNotice::KIND_HOST_EVENT);
                                       })),
        "");
  };
  event("h1", 7, 0, 5'000);
  event("h2", 1, 0, 10);  // another host's says nothing of it
  event("h1", 7, 0, 5'000);
  event("h1", 7, 1, 100);  // resumed
  event("h1", 8, 0, 50);   // restarted
  EXPECT_THAT(Run(Export(log_->head().size, "good")).findings, IsEmpty());
  event("h1", 7, 1, 200);
  const AuditReport report = Run(Export(log_->head().size, "bad"));
  ASSERT_THAT(report.findings, SizeIs(1));
  EXPECT_EQ(report.findings[0].element,
            fmt::format("record {}", log_->head().size - 1));
  EXPECT_EQ(report.findings[0].reason.code, "ledger-tpm-clock");
  EXPECT_EQ(report.findings[0].reason.element, "host h1");
  EXPECT_EQ(report.checked, log_->head().size) << "the rest is audited, too";
  // Enrolled anew, as after its TPM was cleared.
  ASSERT_EQ(rig_.Submit(*log_, rig_.Authorise("h2")), "");
  event("h2", 0, 0, 1);
  EXPECT_THAT(Run(Export(log_->head().size, "anew")).findings, SizeIs(1));
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

// A running node over the log of the test, that can lie about its VMs.
class LyingNode final : public AuditSource {
 public:
  LyingNode(Log& log, std::string newest, int64_t time_ms)
      : note(std::move(newest)), log_(log), time_ms_(time_ms) {}
  [[nodiscard]] bool has_tiles() const override { return false; }
  [[nodiscard]] bool has_trust() const override { return true; }
  absl::StatusOr<std::string> CheckpointNote() override { return note; }
  absl::StatusOr<std::vector<Bytes>> Records(uint64_t begin, size_t limit,
                                             uint64_t /*size*/) override {
    return log_.store().Records(begin, limit);
  }
  absl::StatusOr<Bytes> Tile(uint32_t, uint64_t, uint64_t) override {
    return absl::UnimplementedError("");
  }
  absl::StatusOr<ToldTrust> Trust(const Uuid& vm) override {
    ++asked;
    if (before_asked) {
      before_asked();
    }
    ToldTrust told = log_.With([&](const LogState& state) {
      const trust::Reading reading = *state.Read(vm, time_ms_);
      return ToldTrust{.time_unix_ms = time_ms_,
                       .size = state.size(),
                       .witnessed = state.fold().witnessed(),
                       .milli = reading.milli,
                       .band = std::string(ToString(reading.band)),
                       .witnessed_milli = reading.witnessed_milli,
                       .passes = reading.vm.passes,
                       .fails = reading.vm.fails,
                       .silences = reading.silences,
                       .host_compromised = reading.host_compromised};
    });
    return lie ? lie(vm, told) : told;
  }

  std::function<absl::StatusOr<ToldTrust>(const Uuid& vm, ToldTrust told)> lie;
  std::function<void()> before_asked;
  int asked = 0;
  std::string note;

 private:
  Log& log_;
  const int64_t time_ms_;
};

class AuditOfANodeTest : public AuditTest {
 protected:
  AuditOfANodeTest() {
    EXPECT_EQ(rig_.Submit(*log_, rig_.Result("h1", 2, false)), "");
    Grow(20);
    log_->Witnessed(20);
  }
  // A minute and a half later: decay and a silence count.
  LyingNode Node() { return {*log_, Note(20), rig_.time_ms + 90'000}; }
  AuditReport Ask(LyingNode& node, uint64_t max_compared = 100) {
    absl::StatusOr<AuditReport> report =
        Audit(node, {.log = rig_.Policy(),
                     .witnesses = policy_,
                     .now_unix_ms = rig_.time_ms + 90'000,
                     .max_compared = max_compared});
    EXPECT_THAT(report, IsOk());
    return report.ok() ? *std::move(report) : AuditReport();
  }
  // That it lies about VM 2 alone.
  void ExpectCaught(const std::function<void(ToldTrust&)>& how) {
    LyingNode node = Node();
    node.lie = [&how](const Uuid& vm, ToldTrust told) {
      if (vm == LedgerVm(2)) {
        how(told);
      }
      return told;
    };
    const AuditReport report = Ask(node);
    ASSERT_THAT(report.findings, SizeIs(1));
    EXPECT_EQ(report.findings[0].element, "vm " + ToString(LedgerVm(2)));
    EXPECT_EQ(report.findings[0].reason.code, "ledger-score");
    EXPECT_EQ(report.scores->compared, 3u);
    EXPECT_EQ(report.scores->not_compared, 0u);
  }
};

TEST_F(AuditOfANodeTest, ScoresThatItTellsAreThoseThatItsRecordsGive) {
  LyingNode node = Node();
  const AuditReport report = Ask(node);
  EXPECT_THAT(report.findings, IsEmpty());
  ASSERT_TRUE(report.scores.has_value());
  EXPECT_EQ(report.scores->compared, 3u);
  EXPECT_EQ(report.scores->not_compared, 0u);
  EXPECT_LT(report.vms[1].milli, 80'000);
  EXPECT_FALSE(Run(Export(20)).scores.has_value());  // nobody is asked
}

TEST_F(AuditOfANodeTest, ALieAboutAVmIsNamed) {
  ExpectCaught([](ToldTrust& told) { told.milli += 1; });
  ExpectCaught([](ToldTrust& told) { told.witnessed_milli += 1; });
  ExpectCaught([](ToldTrust& told) { told.band = "free!"; });
  ExpectCaught([](ToldTrust& told) { told.fails = 0; });
  ExpectCaught([](ToldTrust& told) { told.passes += 1; });
  ExpectCaught([](ToldTrust& told) { told.silences = 77; });
  ExpectCaught([](ToldTrust& told) { told.host_compromised = true; });
}

TEST_F(AuditOfANodeTest, AReadingOfLongAgoHidesNothing) {
  const int64_t then = rig_.time_ms;
  const auto as_of_then = [this, then](ToldTrust& told) {
    const trust::Reading reading = *log_->With(
        [&](const LogState& state) { return state.Read(LedgerVm(2), then); });
    told.time_unix_ms = then;
    told.milli = reading.milli;
    told.witnessed_milli = reading.witnessed_milli;
    told.silences = reading.silences;
    told.band = ToString(reading.band);
  };
  ExpectCaught(as_of_then);
}

TEST_F(AuditOfANodeTest, PassesThatNoQuorumSawDoNotCount) {
  ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 2, true)), "");
  LogState all(rig_.Policy());
  const std::vector<Bytes> records = store_.Records(0, 21).value();
  for (const Bytes& bytes : records) {
    const Record record = *ParseRecord(bytes);
    all.Apply(*ParseEntry(record.entry), record.time_unix_ms);
  }
  all.Witnessed(21);
  ExpectCaught([&all](ToldTrust& told) {
    const trust::Reading reading = *all.Read(LedgerVm(2), told.time_unix_ms);
    EXPECT_GT(reading.milli, told.milli);
    told.milli = reading.milli;
    told.witnessed_milli = reading.witnessed_milli;
    told.band = ToString(reading.band);
    told.witnessed = 21;
  });
}

TEST_F(AuditOfANodeTest, AVmThatItDeniesIsNamed) {
  LyingNode node = Node();
  node.lie = [](const Uuid& vm, ToldTrust told) {
    return vm == LedgerVm(3)
               ? absl::StatusOr<ToldTrust>(absl::NotFoundError("no such VM"))
               : told;
  };
  EXPECT_THAT(
      Ask(node).findings,
      ElementsAre(Field(&Finding::element, "vm " + ToString(LedgerVm(3)))));
}

TEST_F(AuditOfANodeTest, WhatItReadsAfterTheCheckpointIsReadToo) {
  LyingNode node = Node();
  node.before_asked = [this, &node] {
    ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 1, true)), "");
    ASSERT_EQ(rig_.Submit(*log_, rig_.Result("h1", 3, false)), "");
    log_->Witnessed(log_->head().size - 1);
    node.note = Note(log_->head().size - 1);
  };
  const AuditReport report = Ask(node);
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.scores->compared, 3u);
  EXPECT_EQ(report.checked, 20u);
  EXPECT_EQ(report.types.at("attest-result"), 11u);
  // Records that it read and does not give, or that nobody wrote.
  node.before_asked = {};
  node.lie = [](const Uuid&, ToldTrust told) {
    told.size += 1;
    return told;
  };
  const AuditReport more = Ask(node);
  ASSERT_THAT(more.findings, SizeIs(1)) << more.scores->why;
  EXPECT_EQ(more.findings[0].reason.code, "ledger-score");
  EXPECT_EQ(more.scores->not_compared, 3u);
}

TEST_F(AuditOfANodeTest, WhatIsNotComparedIsSaid) {
  LyingNode node = Node();
  const auto expect_skipped = [&](uint64_t skipped, const char* why) {
    const AuditReport report = Ask(node, 2);
    EXPECT_THAT(report.findings, IsEmpty());
    EXPECT_EQ(report.scores->compared + report.scores->not_compared, 3u);
    EXPECT_EQ(report.scores->not_compared, skipped);
    EXPECT_TRUE(report.clean());
    EXPECT_FALSE(report.complete());
    EXPECT_THAT(report.scores->why, HasSubstr(why));
  };
  expect_skipped(1, "too many");
  EXPECT_EQ(node.asked, 2);
  node.lie = [](const Uuid& vm, ToldTrust told) {
    told.size -= vm == LedgerVm(1) ? 1 : 0;
    return told;
  };
  expect_skipped(2, "too many");
  node.lie = [](const Uuid&, ToldTrust told) {
    told.size = 0;
    return told;
  };
  expect_skipped(3, "does not say");
  node.lie = [](const Uuid&, ToldTrust) {
    return absl::StatusOr<ToldTrust>(absl::DataLossError("forked"));
  };
  expect_skipped(3, "forked");
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
