// Who may write what: docs/formats/ledger.md, "type, by, means", line by line.
#include <functional>
#include <utility>

#include "contract/fault_writer.h"
#include "fakes/fake_log_store.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "ledger/log.h"
#include "ledger/score_rules.h"
#include "merkle/tree.h"
#include "support/ledger_rig.h"

namespace vmattest::ledger {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using vmattest::testing::FakeLogStore;
using vmattest::testing::IsOk;
using vmattest::testing::LedgerRig;
using vmattest::testing::LedgerVm;
using vmattest::testing::LedgerVmField;
using vmattest::testing::StatusIs;
using vmattest::testing::TreeOf;

constexpr char kNo[] = "ledger-not-permitted";
// Of an owner's document that is no vm-register: no authority signed it.
constexpr char kForged[] = "ledger-signature";

class World {
 public:
  World() {
    EXPECT_TRUE(store_.Lead("here")->mine);
    log = *Log::Open(store_, rig.Policy(), {});
    rig.Populate(*log);
  }
  std::string ByOwner(const std::function<void(v1::LedgerEntryBody&)>& fill) {
    v1::LedgerEntryBody body;
    body.set_log(LedgerRig::kOrigin);
    body.set_sequence(1);
    body.set_time_unix_ms(rig.time_ms);
    fill(body);
    const Bytes bytes = *SignAuthorityEntry(body, rig.owner_key());
    const CheckedEntry checked = LedgerRig::Check(*log, bytes);
    const std::optional<Reason> refusal =
        CheckSignature(rig.Policy(), checked.entry, checked.key);
    if (refusal) {
      return refusal->code;
    }
    const auto outcomes = log->Append(
        {checked}, WallTime(std::chrono::milliseconds(rig.time_ms)));
    return outcomes->at(0).refusal ? outcomes->at(0).refusal->code : "";
  }
  std::vector<LogState::Item> Scores() const {
    return log->With(
        [](const LogState& state) { return state.fold().Canonical(); });
  }
  int64_t Milli(uint8_t vm) const {
    log->Witnessed(log->head().size);
    return log->With([&](const LogState& state) {
      return state.fold().Read(LedgerVm(vm), rig.time_ms)->milli;
    });
  }

  LedgerRig rig;

 private:
  FakeLogStore store_;

 public:
  std::unique_ptr<Log> log;
};

using Fill = std::function<void(const World&, v1::LedgerEntryBody&)>;

struct Line {
  const char* name;
  Fill fill;
  // The refusal's code; "": taken.
  const char* by_host;
  const char* by_authority;
  const char* by_owner;
};

// An entry that fits the log of a World as it begins.
void About1(const World& world, auto& message) {
  message.set_vm_id(LedgerVmField(1));
  message.set_vm_previous(world.rig.Previous(1));
}

void Key(const World& world, auto& message) {
  message.set_key_spki(
      std::string(AsText(*EncodeSpki(world.rig.key("h2").public_key()))));
  message.set_key_evidence_hash(std::string(32, 'k'));
}

Fill Notice(v1::LedgerNotice::Kind kind) {
  return [kind](const World& world, v1::LedgerEntryBody& body) {
    v1::LedgerNotice& notice = *body.mutable_notice();
    notice.set_kind(kind);
    notice.set_host_id("h2");
    notice.set_document_hash(std::string(32, 'd'));
    notice.set_text("told");
    notice.set_not_after_unix_ms(world.rig.time_ms + 60'000);
    About1(world, notice);
  };
}

std::vector<Line> Lines() {
  return {
      {"host-authorise",
       [](const World& world, v1::LedgerEntryBody& body) {
         body.mutable_host_authorise()->set_host_id("h9");
         Key(world, *body.mutable_host_authorise());
       },
       kNo, "", kForged},
      {"key-delegate",
       [](const World& world, v1::LedgerEntryBody& body) {
         body.mutable_key_delegate()->set_host_id("h3");
         Key(world, *body.mutable_key_delegate());
       },
       kNo, "", kForged},
      {"host-revoke",
       [](const World&, v1::LedgerEntryBody& body) {
         body.mutable_host_revoke()->set_host_id("h2");
       },
       kNo, "", kForged},
      {"vm-register",
       [](const World&, v1::LedgerEntryBody& body) {
         body.mutable_vm_register()->set_vm_id(LedgerVmField(9));
         body.mutable_vm_register()->set_owner("alice");
       },
       kNo, "", ""},
      {"vm-register with a home",
       [](const World&, v1::LedgerEntryBody& body) {
         body.mutable_vm_register()->set_vm_id(LedgerVmField(9));
         body.mutable_vm_register()->set_owner("alice");
         body.mutable_vm_register()->set_home("h2");
       },
       kNo, "", kForged},
      {"launch-decision",
       [](const World& world, v1::LedgerEntryBody& body) {
         body.mutable_launch_decision()->set_allowed(true);
         About1(world, *body.mutable_launch_decision());
       },
       "", kNo, kForged},
      {"attest-result",
       [](const World& world, v1::LedgerEntryBody& body) {
         body.mutable_attest_result()->set_outcome(v1::LEDGER_OUTCOME_PASS);
         About1(world, *body.mutable_attest_result());
       },
       "", kNo, kForged},
      {"attest-batch",
       [](const World&, v1::LedgerEntryBody& body) {
         v1::LedgerAttestBatch& batch = *body.mutable_attest_batch();
         batch.set_tick(1);
         batch.set_results_root(std::string(32, 'r'));
         batch.set_vm_count(3);
         batch.set_unchanged(3);
       },
       "", kNo, kForged},
      {"migrate-out",
       [](const World& world, v1::LedgerEntryBody& body) {
         body.mutable_migrate_out()->set_to_host("h2");
         body.mutable_migrate_out()->set_epoch(1);
         About1(world, *body.mutable_migrate_out());
       },
       "", kNo, kForged},
      {"host-compromise",
       [](const World&, v1::LedgerEntryBody& body) {
         body.mutable_host_compromise()->set_host_id("h1");
       },
       kNo, "", kForged},
      {"host-compromise that is over",
       [](const World&, v1::LedgerEntryBody& body) {
         body.mutable_host_compromise()->set_host_id("h1");
         body.mutable_host_compromise()->set_cleared(true);
       },
       kNo, "", kForged},
      {"policy",
       [](const World&, v1::LedgerEntryBody& body) {
         *body.mutable_policy()->mutable_score() = ToMessage(trust::RulesV1());
       },
       kNo, "", kForged},
      {"state-root",
       [](const World& world, v1::LedgerEntryBody& body) {
         body.mutable_state_root()->set_size(world.log->head().size);
         body.mutable_state_root()->set_root(std::string(AsText(world.log->With(
             [](const LogState& state) { return state.StateRoot(); }))));
       },
       kNo, "", kForged},
      {"ticket", Notice(v1::LedgerNotice::KIND_TICKET), "", "", kForged},
      {"lease", Notice(v1::LedgerNotice::KIND_LEASE), "", kNo, kForged},
      {"host-advert", Notice(v1::LedgerNotice::KIND_HOST_ADVERT), "", kNo,
       kForged},
      {"host-event", Notice(v1::LedgerNotice::KIND_HOST_EVENT), "", kNo,
       kForged},
      {"reference-approved", Notice(v1::LedgerNotice::KIND_REFERENCE_APPROVED),
       kNo, "", kForged},
      {"break-glass", Notice(v1::LedgerNotice::KIND_BREAK_GLASS), kNo, "",
       kForged},
      {"evacuation", Notice(v1::LedgerNotice::KIND_EVACUATION), kNo, "",
       kForged},
      {"a notice of no kind", Notice(v1::LedgerNotice::KIND_UNSPECIFIED), kNo,
       kNo, kForged},
      {"a notice of a kind to come",
       Notice(static_cast<v1::LedgerNotice::Kind>(99)), kNo, kNo, kForged},
  };
}

TEST(WritersTest, EachTypeIsTakenFromThoseWhoMayWriteItAndNobodyElse) {
  for (const Line& line : Lines()) {
    SCOPED_TRACE(line.name);
    World host;
    EXPECT_EQ(
        host.rig.Submit(
            *host.log,
            host.rig.ByHost("h1", [&](auto& body) { line.fill(host, body); })),
        line.by_host);
    World authority;
    EXPECT_EQ(authority.rig.Submit(*authority.log,
                                   authority.rig.ByAuthority([&](auto& body) {
                                     line.fill(authority, body);
                                   })),
              line.by_authority);
    World owner;
    EXPECT_EQ(owner.ByOwner([&](auto& body) { line.fill(owner, body); }),
              line.by_owner);
  }
}

// migrate-in fits only after a migrate-out.
TEST(WritersTest, OnlyTheDestinationTakesAVmIn) {
  const auto fill = [](const World& world, v1::LedgerEntryBody& body) {
    body.mutable_migrate_in()->set_from_host("h1");
    body.mutable_migrate_in()->set_epoch(1);
    About1(world, *body.mutable_migrate_in());
  };
  World world;
  ASSERT_EQ(world.rig.Submit(*world.log,
                             world.rig.ByHost("h1",
                                              [&](auto& body) {
                                                auto& out =
                                                    *body.mutable_migrate_out();
                                                out.set_to_host("h2");
                                                out.set_epoch(1);
                                                About1(world, out);
                                              })),
            "");
  const auto by_host = [&](const char* id) {
    return world.rig.Submit(*world.log, world.rig.ByHost(id, [&](auto& body) {
      fill(world, body);
    }));
  };
  EXPECT_EQ(world.rig.Submit(*world.log, world.rig.ByAuthority([&](auto& body) {
    fill(world, body);
  })),
            kNo);
  EXPECT_EQ(world.ByOwner([&](auto& body) { fill(world, body); }), kForged);
  EXPECT_EQ(by_host("h3"), "ledger-vm-home");
  EXPECT_EQ(by_host("h2"), "");
}

// What an auditor, who looks at signatures last, makes of them.
TEST(WritersTest, WhatIsRefusedOnWriteIsRefusedOnRead) {
  const World world;
  for (const Line& line : Lines()) {
    SCOPED_TRACE(line.name);
    const auto refused = [&](const Bytes& bytes) {
      const CheckedEntry checked = LedgerRig::Check(*world.log, bytes);
      return world.log
                 ->With([&](const LogState& state) {
                   return state.Check(checked.entry, checked.key,
                                      world.rig.time_ms);
                 })
                 .has_value() ||
             CheckSignature(world.rig.Policy(), checked.entry, checked.key)
                 .has_value();
    };
    const auto fill = [&](auto& body) { line.fill(world, body); };
    EXPECT_EQ(refused(world.rig.ByHost("h1", fill)), line.by_host[0] != '\0');
    EXPECT_EQ(refused(world.rig.ByAuthority(fill)),
              line.by_authority[0] != '\0');
  }
}

// An id that a type cannot do without, taken out of an entry that fits.
struct Needed {
  const char* name;
  bool by_host;
  std::function<void(const World&, v1::LedgerEntryBody&)> fill;
  const char* code;
};

std::vector<Needed> NeededIds() {
  return {
      {"host-authorise: host_id", false,
       [](const World& world, auto& body) {
         Key(world, *body.mutable_host_authorise());
       },
       "ledger-malformed"},
      {"key-delegate: host_id", false,
       [](const World& world, auto& body) {
         Key(world, *body.mutable_key_delegate());
       },
       "ledger-host"},
      {"host-revoke: host_id", false,
       [](const World&, auto& body) {
         body.mutable_host_revoke()->set_reason("told");
       },
       "ledger-host"},
      {"host-compromise: host_id", false,
       [](const World&, auto& body) {
         body.mutable_host_compromise()->set_reason("told");
       },
       "ledger-malformed"},
      {"host-compromise that is over: host_id", false,
       [](const World&, auto& body) {
         body.mutable_host_compromise()->set_cleared(true);
       },
       "ledger-malformed"},
      {"host-compromise: a document's signer is no host", false,
       [](const World&, auto& body) {
         body.mutable_host_compromise()->set_host_id("key/00");
       },
       "ledger-malformed"},
      {"host-compromise: a host_id that is too long", false,
       [](const World&, auto& body) {
         body.mutable_host_compromise()->set_host_id(std::string(129, 'h'));
       },
       "ledger-malformed"},
      {"vm-register: vm_id", false,
       [](const World&, auto& body) {
         body.mutable_vm_register()->set_owner("alice");
       },
       "ledger-malformed"},
      {"vm-register: owner", false,
       [](const World&, auto& body) {
         body.mutable_vm_register()->set_vm_id(LedgerVmField(9));
       },
       "ledger-malformed"},
      {"launch-decision: vm_id", true,
       [](const World&, auto& body) {
         body.mutable_launch_decision()->set_allowed(true);
       },
       "ledger-malformed"},
      {"attest-result: vm_id", true,
       [](const World&, auto& body) {
         body.mutable_attest_result()->set_outcome(v1::LEDGER_OUTCOME_PASS);
       },
       "ledger-malformed"},
      {"attest-batch: vm_id of a change", true,
       [](const World&, auto& body) {
         v1::LedgerAttestBatch& batch = *body.mutable_attest_batch();
         batch.set_tick(1);
         batch.set_results_root(std::string(32, 'r'));
         batch.add_changes()->set_outcome(v1::LEDGER_OUTCOME_PASS);
       },
       "ledger-malformed"},
      {"migrate-out: vm_id", true,
       [](const World&, auto& body) {
         body.mutable_migrate_out()->set_to_host("h2");
         body.mutable_migrate_out()->set_epoch(1);
       },
       "ledger-malformed"},
      {"migrate-out: to_host", true,
       [](const World& world, auto& body) {
         body.mutable_migrate_out()->set_epoch(1);
         About1(world, *body.mutable_migrate_out());
       },
       "ledger-host"},
      {"migrate-in: vm_id", true,
       [](const World&, auto& body) {
         body.mutable_migrate_in()->set_from_host("h1");
         body.mutable_migrate_in()->set_epoch(1);
       },
       "ledger-malformed"},
      {"migrate-in: from_host", true,
       [](const World& world, auto& body) {
         body.mutable_migrate_in()->set_epoch(1);
         About1(world, *body.mutable_migrate_in());
       },
       "ledger-vm-home"},
      {"any by a host: host_id", true,
       [](const World& world, auto& body) {
         Notice(v1::LedgerNotice::KIND_HOST_EVENT)(world, body);
         body.clear_host_id();
       },
       "ledger-malformed"},
  };
}

TEST(WritersTest, AnEntryWithoutAnIdThatItNeedsIsRefusedOnWriteAndOnRead) {
  for (const Needed& needed : NeededIds()) {
    SCOPED_TRACE(needed.name);
    World world;
    const auto fill = [&](auto& body) { needed.fill(world, body); };
    const Bytes bytes = needed.by_host ? world.rig.ByHost("h1", fill)
                                       : world.rig.ByAuthority(fill);
    const LogHead before = world.log->head();
    EXPECT_EQ(world.rig.Submit(*world.log, bytes), needed.code);
    EXPECT_EQ(world.log->head(), before);
    // Somebody put it into the store all the same.
    LogBatch batch{.before = before,
                   .after = before,
                   .records = {EncodeRecord(world.rig.time_ms, bytes)}};
    tlog::TreeEdge edge = *TreeOf(world.log->store());
    (void)edge.TakeChanged();
    edge.Append(
        merkle::LeafHash(HashAlgorithm::kSha256, batch.records.front()));
    for (auto& tile : edge.TakeChanged()) {
      batch.tiles.push_back({tile.level, tile.index, std::move(tile.hashes)});
    }
    batch.after.size += 1;
    batch.after.root = edge.Root();
    ASSERT_THAT(world.log->store().Append(batch), IsOk());
    EXPECT_THAT(Log::Open(world.log->store(), world.rig.Policy(), {}),
                StatusIs(absl::StatusCode::kDataLoss,
                         HasSubstr(fmt::format("record {} of the ledger",
                                               before.size))));
  }
}

TEST(WritersTest, NoticesAreRecordedAndMoveNoScore) {
  for (const Line& line : Lines()) {
    World world;
    v1::LedgerEntryBody probe;
    line.fill(world, probe);
    if (!probe.has_notice()) {
      continue;
    }
    SCOPED_TRACE(line.name);
    const std::vector<LogState::Item> before = world.Scores();
    const uint64_t index = world.log->head().size;
    const auto fill = [&](auto& body) { line.fill(world, body); };
    const bool by_host = line.by_host[0] == '\0';
    const std::string refusal =
        world.rig.Submit(*world.log, by_host ? world.rig.ByHost("h1", fill)
                                             : world.rig.ByAuthority(fill));
    if (line.by_host[0] != '\0' && line.by_authority[0] != '\0') {
      EXPECT_NE(refusal, "");
      continue;
    }
    ASSERT_EQ(refusal, "");
    EXPECT_EQ(world.Scores(), before);
    EXPECT_THAT(world.log->With([](const LogState& state) {
      return state.History(LedgerVm(1), UINT64_MAX, 1);
    }),
                ElementsAre(index));
    // About a VM that nobody registered, it is refused as any entry is.
    const auto unknown = [&](auto& body) {
      line.fill(world, body);
      body.mutable_notice()->set_vm_id(LedgerVmField(77));
      body.mutable_notice()->clear_vm_previous();
    };
    EXPECT_EQ(
        world.rig.Submit(*world.log, by_host ? world.rig.ByHost("h1", unknown)
                                             : world.rig.ByAuthority(unknown)),
        "ledger-vm-unknown");
  }
}

TEST(WritersTest, AHostThatIsCompromisedHalvesItsVmsUntilItIsCleared) {
  World world;
  const auto order = [&](bool cleared) {
    return world.rig.Submit(
        *world.log, world.rig.ByAuthority([&](v1::LedgerEntryBody& body) {
          body.mutable_host_compromise()->set_host_id("h1");
          body.mutable_host_compromise()->set_cleared(cleared);
        }));
  };
  const auto pass = [&] {
    return world.rig.Submit(*world.log, world.rig.Result("h1", 1, true));
  };
  ASSERT_EQ(order(false), "");
  EXPECT_EQ(world.Milli(1), 50'000);
  EXPECT_EQ(world.Milli(2), 50'000);
  ASSERT_EQ(order(false), "");  // once
  ASSERT_EQ(pass(), "");
  EXPECT_EQ(world.Milli(1), 50'000);
  // It is over: nothing comes back, and passes count again.
  ASSERT_EQ(order(true), "");
  EXPECT_EQ(world.Milli(1), 50'000);
  ASSERT_EQ(pass(), "");
  EXPECT_EQ(world.Milli(1), 55'000);
}

}  // namespace
}  // namespace vmattest::ledger
