// The rules, through a log as a ledger node has it.
#include "ledger/log_state.h"

#include "ledger/score_rules.h"

#include "fakes/fake_log_store.h"
#include "gmock/gmock.h"
#include "ledger/log.h"
#include "support/ledger_rig.h"

namespace vmattest::ledger {
namespace {

using ::testing::ElementsAre;
using vmattest::testing::FakeLogStore;
using vmattest::testing::LedgerRig;
using vmattest::testing::LedgerVm;
using vmattest::testing::LedgerVmField;

class LogStateTest : public ::testing::Test {
 protected:
  LogStateTest() {
    EXPECT_TRUE(store_.Lead("here")->mine);
    log_ = *Log::Open(store_, rig_.Policy(), {});
    rig_.Populate(*log_);
  }
  std::string Submit(const Bytes& bytes) { return rig_.Submit(*log_, bytes); }
  // An entry of h1 about VM 1 that `change` spoils.
  std::string Changed(const std::function<void(v1::LedgerEntryBody&)>& change) {
    return Submit(rig_.ByHost("h1", [&](v1::LedgerEntryBody& body) {
      v1::LedgerAttestResult& result = *body.mutable_attest_result();
      result.set_vm_id(LedgerVmField(1));
      result.set_outcome(v1::LEDGER_OUTCOME_PASS);
      result.set_vm_previous(rig_.Previous(1));
      change(body);
    }));
  }
  std::string Order(const std::function<void(v1::LedgerEntryBody&)>& fill) {
    return Submit(rig_.ByAuthority(fill));
  }
  int64_t Milli(uint8_t vm) {
    log_->Witnessed(log_->head().size);
    return log_->With([&](const LogState& state) {
      return state.fold().Read(LedgerVm(vm), rig_.time_ms)->milli;
    });
  }

  LedgerRig rig_;
  FakeLogStore store_;
  std::unique_ptr<Log> log_;
};

TEST_F(LogStateTest, TakesWhatAnAuthorisedHostSays) {
  EXPECT_EQ(Submit(rig_.Result("h1", 1, false)), "");
  EXPECT_EQ(Milli(1), 80'000);
  EXPECT_EQ(Submit(rig_.Tick("h1", 2, {{1, v1::LEDGER_OUTCOME_PASS}})), "");
  EXPECT_EQ(Submit(rig_.Tick("h1", 3, {})), "");
  EXPECT_EQ(Milli(1), 90'000);
  EXPECT_EQ(Milli(2), 100'000);
}

TEST_F(LogStateTest, RefusesAnotherLogsEntries) {
  EXPECT_EQ(Changed([](v1::LedgerEntryBody& body) { body.set_log("other"); }),
            "ledger-origin");
}

TEST_F(LogStateTest, RefusesAForgedSignature) {
  Bytes forged = rig_.Result("h1", 1, true);
  forged.back() ^= 1;
  EXPECT_EQ(Submit(forged), "ledger-signature");
  const v1::LedgerEntryBody body = ParseEntry(rig_.Result("h1", 1, true))->body;
  EXPECT_EQ(Submit(SignHostEntry(body, rig_.key("h2"))), "ledger-signature");
}

TEST_F(LogStateTest, RefusesAHostThatNobodyAuthorised) {
  EXPECT_EQ(Changed([](v1::LedgerEntryBody& body) { body.set_host_id("h9"); }),
            "ledger-writer-unknown");
}

TEST_F(LogStateTest, RevocationHoldsFromItsIndexOn) {
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "");
  EXPECT_EQ(Order([](v1::LedgerEntryBody& body) {
              body.mutable_host_revoke()->set_host_id("h1");
            }),
            "");
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "ledger-writer-revoked");
  // What it said before stays true for whoever reads the log again.
  EXPECT_TRUE(Log::Open(store_, rig_.Policy(), {}).ok());
}

TEST_F(LogStateTest, ADelegatedKeySignsUntilItExpires) {
  const EcPrivateKey other = EcPrivateKey::Generate();
  EXPECT_EQ(Order([&](v1::LedgerEntryBody& body) {
              v1::LedgerKeyDelegate& message = *body.mutable_key_delegate();
              message.set_host_id("h1");
              message.set_key_spki(
                  std::string(AsText(*EncodeSpki(other.public_key()))));
              message.set_not_after_unix_ms(rig_.time_ms + 3'600'000);
              message.set_key_evidence_hash(std::string(32, 'e'));
            }),
            "");
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "ledger-signature");
  const auto by_other = [&] {
    return Submit(
        SignHostEntry(ParseEntry(rig_.Result("h1", 1, true))->body, other));
  };
  EXPECT_EQ(by_other(), "");
  rig_.time_ms += 3'600'001;
  EXPECT_EQ(by_other(), "ledger-key-expired");
}

TEST_F(LogStateTest, AKeyThatChangedMeanwhileDoesNotCount) {
  const Bytes bytes = rig_.Result("h1", 1, true);
  const CheckedEntry checked = LedgerRig::Check(*log_, bytes);
  EXPECT_EQ(Submit(rig_.Authorise("h1")), "");
  const auto outcomes = log_->Append(
      {checked}, WallTime(std::chrono::milliseconds(rig_.time_ms)));
  EXPECT_EQ(outcomes->at(0).refusal->code, "ledger-signature");
}

TEST_F(LogStateTest, RefusesGapsReplaysAndOtherChains) {
  const Bytes first = rig_.Result("h1", 1, true);
  EXPECT_EQ(Submit(first), "");
  EXPECT_EQ(Changed([](v1::LedgerEntryBody& body) {
              body.set_sequence(body.sequence() + 1);
            }),
            "ledger-sequence");
  EXPECT_EQ(Changed([](v1::LedgerEntryBody& body) {
              body.set_sequence(body.sequence() - 1);
            }),
            "ledger-sequence");
  EXPECT_EQ(Changed([](v1::LedgerEntryBody& body) {
              body.set_previous(std::string(32, 'x'));
            }),
            "ledger-previous");
  EXPECT_EQ(
      Changed([](v1::LedgerEntryBody& body) {
        body.mutable_attest_result()->set_vm_previous(std::string(32, 'x'));
      }),
      "ledger-vm-previous");
}

TEST_F(LogStateTest, ARetryIsTheEntryThatIsIn) {
  const Bytes bytes = rig_.Result("h1", 1, true);
  EXPECT_EQ(Submit(bytes), "");
  const uint64_t size = log_->head().size;
  const auto outcomes =
      log_->Append({LedgerRig::Check(*log_, bytes)},
                   WallTime(std::chrono::milliseconds(rig_.time_ms)));
  EXPECT_EQ(outcomes->at(0).index, size - 1);
  EXPECT_EQ(log_->head().size, size);
}

TEST_F(LogStateTest, S30_FutureDatedEntriesAreRefused) {
  EXPECT_EQ(Changed([this](v1::LedgerEntryBody& body) {
              body.set_time_unix_ms(rig_.time_ms + 60'001);
            }),
            "ledger-clock");
  EXPECT_EQ(Changed([this](v1::LedgerEntryBody& body) {
              body.set_time_unix_ms(rig_.time_ms + 60'000);
            }),
            "");
}

TEST_F(LogStateTest, S30_LatePassesCountForNothingAndLateFailuresCount) {
  EXPECT_EQ(Submit(rig_.Result("h1", 1, false)), "");
  EXPECT_EQ(Milli(1), 80'000);
  const auto late = [this](v1::LedgerEntryBody& body) {
    body.set_time_unix_ms(rig_.time_ms - 60'001);
  };
  EXPECT_EQ(Changed(late), "");
  EXPECT_EQ(Milli(1), 80'000);
  EXPECT_EQ(
      Changed([&](v1::LedgerEntryBody& body) {
        late(body);
        body.mutable_attest_result()->set_outcome(v1::LEDGER_OUTCOME_FAIL);
      }),
      "");
  EXPECT_EQ(Milli(1), 60'000);
}

TEST_F(LogStateTest, S30_LedgerTimeNeverGoesBack) {
  rig_.time_ms += 600'000;
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "");
  rig_.time_ms -= 600'000;  // the sequencer's clock jumps back
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "");
  EXPECT_EQ(log_->head().time_unix_ms, LedgerRig::kStart + 600'000);
}

TEST_F(LogStateTest, HostsWriteOnlyWhatHostsMay) {
  EXPECT_EQ(
      Submit(rig_.ByHost("h1",
                         [](v1::LedgerEntryBody& body) {
                           body.mutable_host_compromise()->set_host_id("h2");
                         })),
      "ledger-not-permitted");
  EXPECT_EQ(
      Order([](v1::LedgerEntryBody& body) {
        body.mutable_attest_result()->set_vm_id(LedgerVmField(1));
        body.mutable_attest_result()->set_outcome(v1::LEDGER_OUTCOME_PASS);
      }),
      "ledger-not-permitted");
}

TEST_F(LogStateTest, AStrangersDocumentIsRefused) {
  const auto stranger = *document::PrivateKey::Generate("eve", std::nullopt);
  v1::LedgerEntryBody body;
  body.set_log(LedgerRig::kOrigin);
  body.set_sequence(1);
  body.mutable_host_revoke()->set_host_id("h1");
  EXPECT_EQ(Submit(*SignAuthorityEntry(body, stranger)), "ledger-signature");
}

TEST_F(LogStateTest, S31_OwnersRegisterTheirOwnVmsOnce) {
  v1::LedgerEntryBody body;
  body.set_log(LedgerRig::kOrigin);
  body.set_sequence(1);
  v1::LedgerVmRegister& message = *body.mutable_vm_register();
  message.set_vm_id(LedgerVmField(9));
  message.set_owner("alice");
  message.set_ek_fingerprint("vtpm 9");
  message.set_disk_lineage("disk 9");
  v1::LedgerEntryBody other = body;
  other.mutable_vm_register()->set_owner("bob");
  EXPECT_EQ(Submit(*SignAuthorityEntry(other, rig_.owner_key())),
            "ledger-not-permitted");
  other = body;
  other.mutable_vm_register()->set_home("h1");
  EXPECT_EQ(Submit(*SignAuthorityEntry(other, rig_.owner_key())),
            "ledger-signature");
  const Bytes good = *SignAuthorityEntry(body, rig_.owner_key());
  const auto outcomes =
      log_->Append({LedgerRig::Check(*log_, good)},
                   WallTime(std::chrono::milliseconds(rig_.time_ms)));
  EXPECT_TRUE(outcomes->at(0).index.has_value());
  // Neither its EK nor its disks make another VM with a fresh score.
  for (const bool ek : {true, false}) {
    EXPECT_EQ(Order([&](v1::LedgerEntryBody& order) {
                v1::LedgerVmRegister& copy = *order.mutable_vm_register();
                copy.set_vm_id(LedgerVmField(10));
                copy.set_owner("alice");
                copy.set_ek_fingerprint(ek ? "vtpm 9" : "vtpm 10");
                copy.set_disk_lineage(ek ? "disk 10" : "disk 9");
              }),
              "ledger-vm-identity");
  }
}

TEST_F(LogStateTest, S31_RegisteringAgainContinuesTheScore) {
  EXPECT_EQ(Submit(rig_.Result("h1", 1, false)), "");
  EXPECT_EQ(Submit(rig_.Register(1, "carol")), "");
  EXPECT_EQ(Milli(1), 80'000);
}

TEST_F(LogStateTest, S28_ABatchMustCountAllThatPassedAsBefore) {
  EXPECT_EQ(Submit(rig_.Tick("h1", 2, {})), "ledger-unchanged");
  EXPECT_EQ(Submit(rig_.Tick("h1", 4, {})), "ledger-unchanged");
  EXPECT_EQ(Submit(rig_.Tick("h1", 3, {}, 7)), "");
  EXPECT_EQ(Submit(rig_.Tick("h1", 3, {}, 7)), "ledger-sequence");
  EXPECT_EQ(Submit(rig_.Tick("h1", 2, {{2, v1::LEDGER_OUTCOME_FAIL}}, 8)), "");
  EXPECT_EQ(Submit(rig_.Tick("h1", 3, {}, 9)), "ledger-unchanged");
  EXPECT_EQ(Submit(rig_.Tick("h1", 1, {{1, v1::LEDGER_OUTCOME_STOPPED}}, 10)),
            "");
  EXPECT_EQ(Milli(2), 80'000);
}

TEST_F(LogStateTest, HostsReportOnVmsThatAreTheirs) {
  EXPECT_EQ(Submit(rig_.Result("h2", 1, false)), "ledger-vm-home");
  EXPECT_EQ(Submit(rig_.Tick("h2", 0, {{1, v1::LEDGER_OUTCOME_FAIL}})),
            "ledger-vm-home");
  EXPECT_EQ(Submit(rig_.Result("h1", 77, true)), "ledger-vm-unknown");
}

TEST_F(LogStateTest, S20_AVmHasOneHome) {
  EXPECT_EQ(Submit(rig_.Launch("h2", 1)), "ledger-vm-home");
  EXPECT_EQ(Submit(rig_.Launch("h2", 1, false)), "");  // a refusal is told
  EXPECT_EQ(Submit(rig_.Launch("h1", 1)), "");
}

TEST_F(LogStateTest, ARefusedLaunchIsAFailureUnlessTheVmLivesElsewhere) {
  EXPECT_EQ(Submit(rig_.Launch("h2", 1, false)), "");
  EXPECT_EQ(Milli(1), 100'000);
  EXPECT_EQ(Submit(rig_.Launch("h1", 1, false)), "");
  EXPECT_EQ(Milli(1), 80'000);
  EXPECT_EQ(Submit(rig_.Register(9)), "");  // never started anywhere
  EXPECT_EQ(Submit(rig_.Launch("h2", 9, false)), "");
  EXPECT_EQ(Milli(9), 80'000);
}

TEST_F(LogStateTest, S33_AKeyWithoutEvidenceIsNone) {
  const std::string spki(
      AsText(*EncodeSpki(EcPrivateKey::Generate().public_key())));
  EXPECT_EQ(Order([&](v1::LedgerEntryBody& body) {
              body.mutable_key_delegate()->set_host_id("h1");
              body.mutable_key_delegate()->set_key_spki(spki);
            }),
            "ledger-malformed");
  EXPECT_EQ(Order([&](v1::LedgerEntryBody& body) {
              body.mutable_host_authorise()->set_host_id("h9");
              body.mutable_host_authorise()->set_key_spki(spki);
              body.mutable_host_authorise()->set_key_evidence_hash("short");
            }),
            "ledger-malformed");
}

TEST_F(LogStateTest, S36_HandOverTakesBothHostsAndTheEpoch) {
  const auto out = [&](const std::string& to, uint64_t epoch) {
    return Submit(rig_.ByHost("h1", [&](v1::LedgerEntryBody& body) {
      v1::LedgerMigrateOut& message = *body.mutable_migrate_out();
      message.set_vm_id(LedgerVmField(1));
      message.set_to_host(to);
      message.set_epoch(epoch);
      message.set_vm_previous(rig_.Previous(1));
    }));
  };
  const auto in = [&](const std::string& host, uint64_t epoch) {
    return Submit(rig_.ByHost(host, [&](v1::LedgerEntryBody& body) {
      v1::LedgerMigrateIn& message = *body.mutable_migrate_in();
      message.set_vm_id(LedgerVmField(1));
      message.set_from_host("h1");
      message.set_epoch(epoch);
      message.set_vm_previous(rig_.Previous(1));
    }));
  };
  EXPECT_EQ(in("h2", 1), "ledger-vm-home");
  EXPECT_EQ(out("h9", 1), "ledger-host");
  EXPECT_EQ(out("h2", 4), "ledger-epoch");
  EXPECT_EQ(out("h2", 1), "");
  EXPECT_EQ(in("h3", 1), "ledger-vm-home");
  EXPECT_EQ(in("h2", 1), "");
  EXPECT_EQ(in("h2", 1), "ledger-vm-home");
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "ledger-vm-home");
  EXPECT_EQ(Submit(rig_.Result("h2", 1, true)), "");
}

TEST_F(LogStateTest, RulesOfTheScoreComeFromTheLog) {
  const auto policy = [&](const trust::ScoreRules& rules) {
    return Order([&](v1::LedgerEntryBody& body) {
      *body.mutable_policy()->mutable_score() = ToMessage(rules);
    });
  };
  trust::ScoreRules bad = trust::RulesV1();
  bad.grace_ms = 0;
  EXPECT_EQ(policy(bad), "ledger-rules");
  const auto weights = [&](std::vector<std::pair<std::string, int64_t>> all) {
    return Order([&](v1::LedgerEntryBody& body) {
      v1::LedgerScoreRules& score = *body.mutable_policy()->mutable_score();
      score = ToMessage(trust::RulesV2());
      for (const auto& [reason, debit] : all) {
        v1::LedgerScoreWeight& weight = *score.add_weights();
        weight.set_reason(reason);
        weight.set_debit(debit);
      }
    });
  };
  EXPECT_EQ(weights({{"a", 1}, {"a", 2}}), "ledger-rules");
  EXPECT_EQ(weights({{"b", 1}, {"a", 2}}), "ledger-rules");
  EXPECT_EQ(weights({{"a", -1}}), "ledger-rules");
  EXPECT_EQ(weights({{"a", 1}, {"b", 2}}), "");
  EXPECT_EQ(policy(trust::RulesV2()), "");
  EXPECT_EQ(Submit(rig_.Result("h1", 1, false)), "");
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "");
  EXPECT_EQ(Milli(1), 80'000);
}

TEST_F(LogStateTest, StateRootsMustBeTheRecomputations) {
  const auto root = [&](uint64_t size, const Bytes& value) {
    return Order([&](v1::LedgerEntryBody& body) {
      body.mutable_state_root()->set_size(size);
      body.mutable_state_root()->set_root(std::string(AsText(value)));
    });
  };
  const Bytes right =
      log_->With([](const LogState& state) { return state.StateRoot(); });
  EXPECT_EQ(root(log_->head().size, Bytes(32, 1)), "ledger-state-root");
  EXPECT_EQ(root(log_->head().size + 1, right), "ledger-state-root");
  EXPECT_EQ(root(log_->head().size, right), "");
}

TEST_F(LogStateTest, HistoryIsNewestFirst) {
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "");
  EXPECT_EQ(Submit(rig_.Result("h1", 1, true)), "");
  log_->With([&](const LogState& state) {
    EXPECT_THAT(state.History(LedgerVm(1), UINT64_MAX, 3),
                ElementsAre(10, 9, 4));
    EXPECT_THAT(state.History(LedgerVm(1), 9, 3), ElementsAre(4, 3));
    return 0;
  });
}

}  // namespace
}  // namespace vmattest::ledger
