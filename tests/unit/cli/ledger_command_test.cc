#include "cli/ledger_command.h"

#include <sstream>

#include "base/file.h"
#include "cli/exit_code.h"
#include "document/key_files.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "ledger/checkpointer.h"
#include "ledger/sqlite/sqlite_log_store.h"
#include "nlohmann/json.hpp"
#include "support/ledger_rig.h"
#include "support/local_witness.h"
#include "support/temp_dir.h"

namespace vmattest::cli {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::FakeWitnessStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::LocalWitness;
using vmattest::testing::TempDir;

// A node's SQLite ledger with a witnessed checkpoint, and what an auditor has.
class LedgerCommandTest : public ::testing::Test {
 protected:
  LedgerCommandTest() {
    const auto key =
        std::make_shared<const EcPrivateKey>(EcPrivateKey::Generate());
    signer_ = *tlog::EcdsaNoteSigner(LedgerRig::kOrigin, key);
    witness_ = std::make_shared<LocalWitness>(
        "w", std::vector{*tlog::NoteVerifier::Parse(signer_->vkey())},
        [] { return int64_t{1'767'139'200}; });
    Write("policy", fmt::format("log {}\nwitness w {}\nquorum w\n",
                                signer_->vkey(), witness_->vkey()));
    std::filesystem::create_directory(dir_.path() / "keys");
    Write("keys/authority.pub",
          document::PublicKeyToJson(rig_.authority_key().public_key()));
  }
  void Write(const std::string& name, const std::string& content) {
    ASSERT_THAT(WriteFileAtomic(dir_.path() / name, AsBytes(content)), IsOk());
  }
  std::string Path(const std::string& name) { return dir_.path() / name; }
  // Returns the node's note.
  std::string MakeLedger(const std::string& name, LedgerRig& rig) {
    const auto store = *ledger::SqliteLogStore::Open(Path(name));
    EXPECT_TRUE(store->Lead("here")->mine);
    const auto log = *ledger::Log::Open(*store, rig.Policy(), {});
    rig.Populate(*log);
    EXPECT_EQ(rig.Submit(*log, rig.Result("h1", 1, false)), "");
    FakeWitnessStore memory;
    const auto policy = *tlog::WitnessPolicy::Parse(
        std::string(AsText(*ReadFile(Path("policy"), 1u << 20))));
    const SystemClock clock;
    ledger::Checkpointer checkpointer({.log = *log,
                                       .policy = policy,
                                       .signers = {signer_},
                                       .witnesses = {witness_},
                                       .memory = memory,
                                       .clock = clock});
    const absl::Status round = checkpointer.Round();
    const auto fork = checkpointer.state().fork;
    EXPECT_EQ(round.code(),
              fork ? absl::StatusCode::kDataLoss : absl::StatusCode::kOk)
        << round;
    if (fork) {
      Write("proof", tlog::EncodeForkProof(*fork));
    }
    return checkpointer.state().note;
  }
  LedgerAuditArgs Audit() {
    return {.folder = Path("log"),
            .policy = Path("policy"),
            .authorities = Path("keys"),
            .json = true};
  }

  TempDir dir_;
  LedgerRig rig_;
  std::shared_ptr<tlog::NoteSigner> signer_;
  std::shared_ptr<LocalWitness> witness_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(LedgerCommandTest, ExportsAndAudits) {
  MakeLedger("ledger.db", rig_);
  ASSERT_EQ(
      RunLedgerExport(
          {.store = Path("ledger.db"), .folder = Path("log"), .quiet = true},
          out_, err_),
      kExitGood)
      << err_.str();
  out_.str("");
  ASSERT_EQ(RunLedgerAudit(Audit(), out_, err_), kExitGood)
      << out_.str() << err_.str();
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json["checked"], json["size"]);
  EXPECT_EQ(json["vms"].size(), 3u);
  EXPECT_EQ(json["unwitnessed"], false);
  LedgerAuditArgs people = Audit();
  people.json = false;
  out_.str("");
  ASSERT_EQ(RunLedgerAudit(people, out_, err_), kExitGood);
  EXPECT_THAT(out_.str(), HasSubstr("10 of 10 records are good"));
  EXPECT_THAT(err_.str(), HasSubstr("100 %"));
}

TEST_F(LedgerCommandTest, AnAuditNamesWhatIsWrong) {
  MakeLedger("ledger.db", rig_);
  ASSERT_EQ(
      RunLedgerExport(
          {.store = Path("ledger.db"), .folder = Path("log"), .quiet = true},
          out_, err_),
      kExitGood);
  const std::string bundle = Path("log/tile/entries/000.p/10");
  Bytes bytes = *ReadFile(bundle, 1u << 20);
  bytes.back() ^= 1;
  ASSERT_THAT(WriteFileAtomic(bundle, bytes), IsOk());
  out_.str("");
  EXPECT_EQ(RunLedgerAudit(Audit(), out_, err_), kExitNotTrustworthy);
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json["findings"][0]["element"], "record 9");
  EXPECT_EQ(json["findings"][0]["code"], "ledger-signature");
}

TEST_F(LedgerCommandTest, AForksProofIsConfirmed) {
  MakeLedger("ledger.db", rig_);
  LedgerRig other;
  MakeLedger("other.db", other);
  ASSERT_TRUE(std::filesystem::exists(Path("proof")));
  EXPECT_EQ(RunLedgerCheckProof(
                {.file = Path("proof"), .policy = Path("policy"), .json = true},
                out_, err_),
            kExitGood)
      << out_.str() << err_.str();
  EXPECT_EQ(nlohmann::json::parse(out_.str())["proves_fork"], true);
  out_.str("");
  Write("none", "one note\n=====\nanother\n");
  EXPECT_EQ(RunLedgerCheckProof(
                {.file = Path("none"), .policy = Path("policy")}, out_, err_),
            kExitNotTrustworthy);
  EXPECT_EQ(
      RunLedgerCheckProof({.file = Path("missing"), .policy = Path("policy")},
                          out_, err_),
      kExitUsage);
}

TEST_F(LedgerCommandTest, SignsWhatALedgerTakes) {
  ASSERT_THAT(document::WritePrivateKey(Path("key"), rig_.authority_key()),
              IsOk());
  Write("body.json", R"({"vm_register": {"vm_id": "AAAAAAAAAAAAAAAAAAAAAQ==",
                                         "owner": "alice"}})");
  ASSERT_EQ(RunLedgerSign({.file = Path("body.json"),
                           .key = Path("key"),
                           .log = LedgerRig::kOrigin,
                           .out = Path("entry")},
                          out_, err_),
            kExitGood)
      << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("vm-register by key/"));
  const auto store = *ledger::SqliteLogStore::Open(Path("ledger.db"));
  ASSERT_TRUE(store->Lead("here")->mine);
  const auto log = *ledger::Log::Open(*store, rig_.Policy(), {});
  rig_.time_ms = SystemClock().Now().time_since_epoch().count();
  EXPECT_EQ(rig_.Submit(*log, *ReadFile(Path("entry"), 1u << 20)), "");
}

TEST_F(LedgerCommandTest, SignsNothingThatIsNotAnEntry) {
  ASSERT_THAT(document::WritePrivateKey(Path("key"), rig_.authority_key()),
              IsOk());
  for (const char* body :
       {"{}", "no", R"({"sequence": 7, "host_revoke": {"host_id": "h1"}})",
        R"({"vm_register": {"vm_id": "AAAA", "owner": "alice"}})"}) {
    Write("body.json", body);
    EXPECT_EQ(RunLedgerSign({.file = Path("body.json"),
                             .key = Path("key"),
                             .log = LedgerRig::kOrigin,
                             .out = Path("entry")},
                            out_, err_),
              kExitUsage)
        << body;
  }
}

TEST_F(LedgerCommandTest, WhatCannotBeReadIsNoVerdict) {
  EXPECT_EQ(RunLedgerAudit(Audit(), out_, err_), kExitUsage);
  EXPECT_EQ(RunLedgerExport({.store = Path("no/such.db"), .folder = Path("x")},
                            out_, err_),
            kExitUsage);
  ASSERT_OK_AND_ASSIGN(const auto store,
                       ledger::SqliteLogStore::Open(Path("empty.db")));
  EXPECT_EQ(RunLedgerExport({.store = Path("empty.db"), .folder = Path("x")},
                            out_, err_),
            kExitUndecided);
}

}  // namespace
}  // namespace vmattest::cli
