// The claims; verifier_store_contract.h says how a program runs them.
#include "contract/verifier_store_contract.h"

#include <atomic>
#include <thread>

namespace vmattest::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;
using verification::BaselineEntry;
using verification::DecisionEntry;
using verification::DecisionQuery;
using verification::HostEntry;
using verification::RebindPermit;
using verification::ReferenceEntry;
using verification::VerifierStore;

constexpr auto kAborted = absl::StatusCode::kAborted;
constexpr auto kExists = absl::StatusCode::kAlreadyExists;

TEST_P(VerifierStoreContract, KnowsNothingAtFirst) {
  EXPECT_THAT(store_->FindHost("a").value(), Eq(std::nullopt));
  EXPECT_THAT(store_->FindHostOfClient("a").value(), Eq(std::nullopt));
  EXPECT_THAT(store_->ListHosts("", 10).value(), IsEmpty());
  EXPECT_THAT(store_->FindPermit("a").value(), Eq(std::nullopt));
  EXPECT_THAT(store_->FindReference("a", 0).value(), Eq(std::nullopt));
  EXPECT_THAT(store_->ListReferences("", 10).value(), IsEmpty());
  EXPECT_THAT(store_->ReferencesOf("a", 1).value(), IsEmpty());
  EXPECT_THAT(store_->Decisions({}).value(), IsEmpty());
  EXPECT_THAT(store_->After(0, 10).value(), IsEmpty());
  EXPECT_EQ(store_->LastSequence().value(), 0u);
  EXPECT_EQ(store_->RevocationEpoch().value(), 0u);
  EXPECT_THAT(store_->FindEvidence(1).value(), IsEmpty());
}

TEST_P(VerifierStoreContract, OrdersAreKeptUntilTheyRunOut) {
  const auto order = [](uint8_t serial, const std::string& host,
                        int64_t until) {
    return verification::BreakGlassEntry{.serial = Bytes(16, serial),
                                         .vm_uuid = "vm",
                                         .host_id = host,
                                         .not_after_unix_ms = until,
                                         .stored_unix_ms = 50,
                                         .document = Bytes(300, serial)};
  };
  const auto put = [this](const verification::BreakGlassEntry& entry,
                          size_t most = 2) {
    return store_->PutBreakGlass(
        {.order = entry, .most = most, .event = Decision("vm", true)});
  };
  EXPECT_THAT(store_->BreakGlassOf("h", 1).value(), IsEmpty());
  EXPECT_EQ(put(order(2, "h", 100)).value(), 1u);
  EXPECT_EQ(put(order(1, "h", 200)).value(), 2u);
  EXPECT_EQ(put(order(3, "other", 100)).value(), 3u);
  EXPECT_THAT(store_->BreakGlassOf("h", 100).value(),
              ElementsAre(order(1, "h", 200), order(2, "h", 100)));
  EXPECT_THAT(store_->BreakGlassOf("h", 101).value(),
              ElementsAre(order(1, "h", 200)));
  EXPECT_THAT(put(order(1, "h", 300), 9), StatusIs(kExists));
  EXPECT_THAT(put(order(4, "h", 300)),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(store_->LastSequence().value(), 3u);
  auto later = order(4, "h", 300);
  later.stored_unix_ms = 150;
  EXPECT_EQ(put(later).value(), 4u);
  EXPECT_THAT(store_->BreakGlassOf("h", 0).value(),
              ElementsAre(order(1, "h", 200), later));
  EXPECT_THAT(store_->BreakGlassOf("other", 0).value(), IsEmpty());
}

TEST_P(VerifierStoreContract, ReturnsTheHostThatWasPut) {
  const HostEntry host = Host("a");
  EXPECT_EQ(store_->PutHost({.host = host}).value(), 0u);
  EXPECT_THAT(store_->FindHost("a").value(), Optional(host));
  EXPECT_THAT(store_->FindHostOfClient("spiffe://t/a").value(), Optional(host));
  HostEntry next = host;
  next.revision = 2;
  next.identity = Bytes(5, 5);
  next.hostname = "other";
  next.record.clear();
  EXPECT_THAT(store_->PutHost({.host = next}), IsOk());
  EXPECT_THAT(store_->FindHost("a").value(), Optional(next));
}

TEST_P(VerifierStoreContract, WhoHasNotSeenTheNewestHostIsAborted) {
  ASSERT_THAT(store_->PutHost({.host = Host("a")}), IsOk());
  for (const uint64_t revision : {0, 1, 3}) {
    EXPECT_THAT(store_->PutHost({.host = Host("a", revision)}),
                StatusIs(kAborted))
        << revision;
  }
  EXPECT_THAT(store_->PutHost({.host = Host("b", 2)}), StatusIs(kAborted));
  EXPECT_THAT(store_->ListHosts("", 10).value(), ElementsAre(Host("a")));
}

TEST_P(VerifierStoreContract, OnlyOneOfManyWritersOfARevisionWins) {
  ASSERT_THAT(store_->PutHost({.host = Host("a")}), IsOk());
  std::atomic<int> won = 0;
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back(
        [&] { won += store_->PutHost({.host = Host("a", 2)}).ok() ? 1 : 0; });
  }
  for (std::thread& writer : writers) {
    writer.join();
  }
  EXPECT_EQ(won, 1);
}

TEST_P(VerifierStoreContract, AClientHasOneHost) {
  ASSERT_THAT(store_->PutHost({.host = Host("a")}), IsOk());
  HostEntry other = Host("b");
  other.client_identity = Host("a").client_identity;
  EXPECT_THAT(store_->PutHost({.host = other}), StatusIs(kExists));
  EXPECT_THAT(store_->FindHost("b").value(), Eq(std::nullopt));
}

TEST_P(VerifierStoreContract, AClientOfARevokedHostMayHaveAnother) {
  HostEntry revoked = Host("a");
  revoked.state = HostEntry::State::kRevoked;
  ASSERT_THAT(store_->PutHost({.host = revoked}), IsOk());
  EXPECT_THAT(store_->FindHostOfClient("spiffe://t/a").value(),
              Optional(revoked));
  HostEntry other = Host("b");
  other.client_identity = revoked.client_identity;
  ASSERT_THAT(store_->PutHost({.host = other}), IsOk());
  EXPECT_THAT(store_->FindHostOfClient("spiffe://t/a").value(),
              Optional(other));
  HostEntry back = revoked;
  back.revision = 2;
  back.state = HostEntry::State::kEnrolled;
  EXPECT_THAT(store_->PutHost({.host = back}), StatusIs(kExists));
}

TEST_P(VerifierStoreContract, AKeyIsOneHosts) {
  ASSERT_THAT(store_->PutHost({.host = Host("a")}), IsOk());
  HostEntry same_ak = Host("b");
  same_ak.ak_name = Host("a").ak_name;
  EXPECT_THAT(store_->PutHost({.host = same_ak}), StatusIs(kExists));
  HostEntry same_ek = Host("b");
  same_ek.ek_fingerprint = Host("a").ek_fingerprint;
  EXPECT_THAT(store_->PutHost({.host = same_ek}), StatusIs(kExists));
  const auto found =
      store_->FindHostsOfKeys(Host("a").ak_name, ToBytes("none"));
  EXPECT_THAT(found.value(), ElementsAre(Host("a")));
  EXPECT_THAT(store_->FindHostsOfKeys(ToBytes("none"), Host("a").ek_fingerprint)
                  .value(),
              ElementsAre(Host("a")));
  EXPECT_THAT(store_->FindHostsOfKeys(ToBytes("none"), ToBytes("none")).value(),
              IsEmpty());
}

TEST_P(VerifierStoreContract, ListsHostsPageByPage) {
  for (const char* id : {"c", "a", "b"}) {
    ASSERT_THAT(store_->PutHost({.host = Host(id)}), IsOk());
  }
  EXPECT_THAT(store_->ListHosts("", 2).value(),
              ElementsAre(Host("a"), Host("b")));
  EXPECT_THAT(store_->ListHosts("b", 2).value(), ElementsAre(Host("c")));
  EXPECT_THAT(store_->ListHosts("c", 2).value(), IsEmpty());
}

TEST_P(VerifierStoreContract, RevocationRaisesTheEpochOnce) {
  ASSERT_THAT(store_->PutHost({.host = Host("a")}), IsOk());
  HostEntry host = Host("a", 2);
  host.state = HostEntry::State::kRevoked;
  host.revocation_reason = "stolen";
  DecisionEntry event;
  event.kind = DecisionEntry::Kind::kHost;
  event.host_id = "a";
  EXPECT_EQ(store_->PutHost({.host = host, .event = event}).value(), 1u);
  EXPECT_EQ(store_->RevocationEpoch().value(), 1u);
  host.revision = 3;
  ASSERT_THAT(store_->PutHost({.host = host}), IsOk());
  EXPECT_EQ(store_->RevocationEpoch().value(), 1u);
  const auto events = store_->After(0, 10).value();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].kind, DecisionEntry::Kind::kHost);
  EXPECT_THAT(store_->Decisions({}).value(), IsEmpty());
}

TEST_P(VerifierStoreContract, AnAbortedWriteLeavesNothingBehind) {
  HostEntry host = Host("a", 2);
  host.state = HostEntry::State::kRevoked;
  ASSERT_THAT(store_->PutPermit({"a", Bytes(34, 1), 5}), IsOk());
  EXPECT_THAT(
      store_->PutHost(
          {.host = host, .spend_permit = true, .event = DecisionEntry()}),
      StatusIs(kAborted));
  EXPECT_EQ(store_->RevocationEpoch().value(), 0u);
  EXPECT_EQ(store_->LastSequence().value(), 0u);
  EXPECT_THAT(store_->FindPermit("a").value(),
              Optional(RebindPermit{"a", Bytes(34, 1), 5}));
}

TEST_P(VerifierStoreContract, APermitIsReplacedAndSpent) {
  ASSERT_THAT(store_->PutPermit({"a", Bytes(34, 1), 5}), IsOk());
  const RebindPermit permit{"a", Bytes(34, 2), 6};
  ASSERT_THAT(store_->PutPermit(permit), IsOk());
  EXPECT_THAT(store_->FindPermit("a").value(), Optional(permit));
  ASSERT_THAT(store_->PutHost({.host = Host("a"), .spend_permit = true}),
              IsOk());
  EXPECT_THAT(store_->FindPermit("a").value(), Eq(std::nullopt));
}

TEST_P(VerifierStoreContract, KeepsEveryRevisionOfAReferenceAsReceived) {
  const ReferenceEntry one = Reference("web", 1, {"vm-1", "vm-2"});
  const ReferenceEntry five = Reference("web", 5, {"vm-2"});
  ASSERT_THAT(store_->PutReference({.reference = one}), IsOk());
  ASSERT_THAT(store_->PutReference({.reference = five, .seen_revision = 1}),
              IsOk());
  EXPECT_THAT(store_->FindReference("web", 1).value(), Optional(one));
  EXPECT_THAT(store_->FindReference("web", 5).value(), Optional(five));
  EXPECT_THAT(store_->FindReference("web", 0).value(), Optional(five));
  EXPECT_THAT(store_->FindReference("web", 2).value(), Eq(std::nullopt));
  EXPECT_THAT(store_->ListReferences("", 10).value(),
              ElementsAre(Headline(five)));
}

TEST_P(VerifierStoreContract, AReferenceNeverGoesBack) {
  ASSERT_THAT(store_->PutReference({.reference = Reference("web", 5, {"a"})}),
              IsOk());
  for (const uint64_t revision : {1, 4, 5}) {
    EXPECT_THAT(
        store_->PutReference({.reference = Reference("web", revision, {"a"}),
                              .seen_revision = 5}),
        StatusIs(kAborted));
  }
  for (const uint64_t seen : {0, 4, 6}) {
    EXPECT_THAT(store_->PutReference({.reference = Reference("web", 9, {"a"}),
                                      .seen_revision = seen}),
                StatusIs(kAborted));
  }
  EXPECT_EQ(store_->FindReference("web", 0).value()->revision, 5u);
}

TEST_P(VerifierStoreContract, AVmHasOneReference) {
  ASSERT_THAT(
      store_->PutReference({.reference = Reference("web", 1, {"a", "b"})}),
      IsOk());
  EXPECT_THAT(
      store_->PutReference({.reference = Reference("db", 1, {"c", "b"})}),
      StatusIs(kExists));
  EXPECT_THAT(store_->FindReference("db", 0).value(), Eq(std::nullopt));
  // What the newest revision no longer claims is free.
  ASSERT_THAT(store_->PutReference({.reference = Reference("web", 2, {"a"}),
                                    .seen_revision = 1}),
              IsOk());
  EXPECT_THAT(
      store_->PutReference({.reference = Reference("db", 1, {"c", "b"})}),
      IsOk());
}

TEST_P(VerifierStoreContract, FindsWhatIsValidForAVm) {
  ReferenceEntry now = Reference("web", 1, {"a"});
  ReferenceEntry later = Reference("web", 2, {"a"});
  later.not_before_unix_ms = 500;
  ASSERT_THAT(store_->PutReference({.reference = now}), IsOk());
  ASSERT_THAT(store_->PutReference({.reference = later, .seen_revision = 1}),
              IsOk());
  ASSERT_THAT(store_->PutReference({.reference = Reference("all", 1, {"*"})}),
              IsOk());
  const auto at = [&](const char* vm, int64_t time) {
    return store_->ReferencesOf(vm, time).value();
  };
  EXPECT_THAT(at("a", 99), IsEmpty());
  EXPECT_THAT(at("a", 100), ElementsAre(Headline(now)));
  EXPECT_THAT(at("a", 499), ElementsAre(Headline(now)));
  EXPECT_THAT(at("a", 500), ElementsAre(Headline(later)));
  EXPECT_THAT(at("a", 1'000), IsEmpty());
  EXPECT_THAT(at("b", 500), IsEmpty());
  EXPECT_THAT(at("*", 500), ElementsAre(Headline(Reference("all", 1, {"*"}))));
}

TEST_P(VerifierStoreContract, ListsReferencesPageByPage) {
  for (const char* name : {"c", "a", "b"}) {
    ASSERT_THAT(store_->PutReference({.reference = Reference(name, 1, {name})}),
                IsOk());
  }
  EXPECT_THAT(store_->ListReferences("", 2).value(),
              ElementsAre(Headline(Reference("a", 1, {"a"})),
                          Headline(Reference("b", 1, {"b"}))));
  EXPECT_THAT(store_->ListReferences("b", 2).value(), SizeIs(1));
}

TEST_P(VerifierStoreContract, KeepsEveryRevisionOfABaselineWithItsPages) {
  const BaselineEntry one = Baseline("web", 1, {"vm-1", "vm-2"});
  const BaselineEntry five = Baseline("web", 5, {"vm-2"});
  const Bytes pages(2'000'000, 3);
  ASSERT_THAT(store_->PutBaseline({.baseline = one, .pages = pages}), IsOk());
  ASSERT_THAT(store_->PutBaseline(
                  {.baseline = five, .pages = Bytes(5), .seen_revision = 1}),
              IsOk());
  EXPECT_THAT(store_->FindBaseline("web", 1).value(), Optional(one));
  EXPECT_THAT(store_->FindBaseline("web", 0).value(), Optional(five));
  EXPECT_THAT(store_->FindBaseline("web", 2).value(), Eq(std::nullopt));
  EXPECT_EQ(store_->BaselinePages("web", 1).value(), pages);
  EXPECT_EQ(store_->BaselinePages("web", 5).value(), Bytes(5));
  EXPECT_THAT(store_->BaselinePages("web", 2),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->ListBaselines("", 10).value(),
              ElementsAre(Headline(five)));
  EXPECT_THAT(store_->ListBaselines("web", 10).value(), IsEmpty());
  EXPECT_THAT(store_->BaselineRevisions("web").value(), ElementsAre(1, 5));
  EXPECT_THAT(store_->BaselineRevisions("db").value(), IsEmpty());
}

TEST_P(VerifierStoreContract, ABaselineNeverGoesBack) {
  ASSERT_THAT(store_->PutBaseline({.baseline = Baseline("web", 5, {"a"})}),
              IsOk());
  for (const uint64_t revision : {1, 5}) {
    EXPECT_THAT(
        store_->PutBaseline(
            {.baseline = Baseline("web", revision, {"a"}), .seen_revision = 5}),
        StatusIs(kAborted));
  }
  EXPECT_THAT(store_->PutBaseline(
                  {.baseline = Baseline("web", 9, {"a"}), .seen_revision = 4}),
              StatusIs(kAborted));
}

TEST_P(VerifierStoreContract, AVmHasOneBaselineOfASubset) {
  const BaselineEntry web = Baseline("web", 1, {"a", "b"});
  ASSERT_THAT(store_->PutBaseline({.baseline = web}), IsOk());
  EXPECT_THAT(store_->PutBaseline({.baseline = Baseline("db", 1, {"b", "c"})}),
              StatusIs(kExists));
  BaselineEntry other = Baseline("db", 1, {"b", "c"});
  other.subset = "ram@1";
  ASSERT_THAT(store_->PutBaseline({.baseline = other}), IsOk());
  EXPECT_THAT(store_->BaselineOf("b", "kernel@1").value(), Optional(web));
  EXPECT_THAT(store_->BaselineOf("b", "ram@1").value(), Optional(other));
  EXPECT_THAT(store_->BaselineOf("c", "kernel@1").value(), Eq(std::nullopt));
  // What the newest revision no longer claims is free.
  const BaselineEntry two = Baseline("web", 2, {"a"});
  ASSERT_THAT(store_->PutBaseline({.baseline = two, .seen_revision = 1}),
              IsOk());
  EXPECT_THAT(store_->BaselineOf("b", "kernel@1").value(), Eq(std::nullopt));
  EXPECT_THAT(store_->BaselineOf("a", "kernel@1").value(), Optional(two));
  EXPECT_THAT(store_->PutBaseline({.baseline = Baseline("new", 1, {"b"})}),
              IsOk());
  EXPECT_THAT(
      store_->PutBaseline(
          {.baseline = Baseline("many", 1, std::vector<std::string>(49, "x"))}),
      StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(VerifierStoreContract, ABaselinesEventIsInTheSequence) {
  DecisionEntry event = Decision("a", true);
  event.kind = DecisionEntry::Kind::kReference;
  EXPECT_EQ(
      store_
          ->PutBaseline({.baseline = Baseline("web", 1, {"a"}), .event = event})
          .value(),
      1u);
  EXPECT_THAT(store_->After(0, 10).value(), SizeIs(1));
}

TEST_P(VerifierStoreContract, ReturnsWhatWasDecided) {
  EXPECT_EQ(Append("a", false, "evidence"), 1u);
  ASSERT_OK_AND_ASSIGN(const auto found, store_->FindDecision(1));
  ASSERT_TRUE(found.has_value());
  const DecisionEntry wanted = Decision("a", false);
  EXPECT_EQ(found->sequence, 1u);
  EXPECT_EQ(found->time_unix_ms, wanted.time_unix_ms);
  EXPECT_EQ(found->vm_uuid, "a");
  EXPECT_EQ(found->vm_name, "web");
  EXPECT_EQ(found->host_id, "host-1");
  EXPECT_FALSE(found->trusted);
  EXPECT_TRUE(found->genuine);
  ASSERT_THAT(found->reasons, SizeIs(2));
  EXPECT_EQ(found->reasons[0].code, "reference-leaf-changed");
  EXPECT_EQ(found->reasons[0].element, "cpu/mode");
  EXPECT_EQ(found->reasons[0].expected, "a");
  EXPECT_EQ(found->reasons[0].found, "b");
  EXPECT_EQ(found->fixes, wanted.fixes);
  EXPECT_EQ(found->reference, "web@3");
  EXPECT_EQ(found->root, wanted.root);
  EXPECT_EQ(found->ear, "e.a.r");
  EXPECT_EQ(store_->FindEvidence(1).value(), ToBytes("evidence"));
  EXPECT_THAT(store_->FindDecision(2).value(), Eq(std::nullopt));
}

TEST_P(VerifierStoreContract, SequencesAreGapless) {
  EXPECT_EQ(store_
                ->Append({{Decision("a", true), {}},
                          {Decision("b", true), {}},
                          {Decision("c", true), {}}},
                         1)
                .value(),
            1u);
  EXPECT_EQ(Append("d", true), 4u);
  EXPECT_EQ(store_->LastSequence().value(), 4u);
  EXPECT_THAT(store_->After(1, 2).value(), SizeIs(2));
  EXPECT_EQ(store_->After(1, 2).value()[0].sequence, 2u);
}

TEST_P(VerifierStoreContract, FindsDecisionsNewestFirst) {
  Append("a", true);
  Append("b", false);
  Append("a", false);
  EXPECT_THAT(Sequences({}), ElementsAre(3, 2, 1));
  EXPECT_THAT(Sequences({.vm_uuid = "a"}), ElementsAre(3, 1));
  EXPECT_THAT(Sequences({.refused_only = true}), ElementsAre(3, 2));
  EXPECT_THAT(Sequences({.vm_uuid = "a", .refused_only = true}),
              ElementsAre(3));
  EXPECT_THAT(Sequences({.before_sequence = 3}), ElementsAre(2, 1));
  EXPECT_THAT(Sequences({.limit = 1}), ElementsAre(3));
}

TEST_P(VerifierStoreContract, KeepsTheNewestEvidenceOfEachVm) {
  Append("a", true, "a1", 2);
  Append("b", true, "b1", 2);
  Append("a", true, "a2", 2);
  Append("a", false, "a3", 2);
  EXPECT_THAT(store_->FindEvidence(1).value(), IsEmpty());
  EXPECT_EQ(store_->FindEvidence(2).value(), ToBytes("b1"));
  ASSERT_OK_AND_ASSIGN(const auto of_a, store_->NewestEvidence("a", 0, 10));
  ASSERT_THAT(of_a, SizeIs(2));
  EXPECT_EQ(of_a[0].sequence, 4u);
  EXPECT_EQ(of_a[0].evidence, ToBytes("a3"));
  EXPECT_FALSE(of_a[0].trusted);
  EXPECT_EQ(of_a[1].evidence, ToBytes("a2"));
  EXPECT_THAT(store_->NewestEvidence("", 0, 10).value(), SizeIs(3));
  EXPECT_THAT(store_->NewestEvidence("", 4, 1).value(), SizeIs(1));
  EXPECT_EQ(store_->NewestEvidence("", 4, 1).value()[0].sequence, 3u);
  EXPECT_THAT(store_->FindDecision(1).value(), Optional(::testing::_));
}

TEST_P(VerifierStoreContract, KnowsTheVmsOfAHost) {
  Append("b", true);
  Append("a", true);
  Append("a", true);
  DecisionEntry forged = Decision("c", false);
  forged.genuine = false;
  ASSERT_THAT(store_->Append({{forged, {}}}, 1), IsOk());
  EXPECT_THAT(store_->VmsOfHost("host-1", 10).value(), ElementsAre("a", "b"));
  EXPECT_THAT(store_->VmsOfHost("host-1", 1).value(), ElementsAre("a"));
  EXPECT_THAT(store_->VmsOfHost("host-2", 10).value(), IsEmpty());
}

TEST_P(VerifierStoreContract, TrimKeepsTheNewest) {
  for (int i = 0; i < 5; ++i) {
    Append("a", true, "e");
  }
  ASSERT_THAT(store_->Trim(2), IsOk());
  EXPECT_THAT(Sequences({}), ElementsAre(5, 4));
  EXPECT_THAT(store_->NewestEvidence("", 0, 10).value(), SizeIs(2));
  EXPECT_EQ(Append("a", true), 6u);
}

TEST_P(VerifierStoreContract, ListsEveryRevisionOldestFirst) {
  EXPECT_THAT(store_->RevisionsOf("web").value(), IsEmpty());
  uint64_t seen = 0;
  for (const uint64_t revision : {2, 5, 300}) {
    ASSERT_THAT(
        store_->PutReference({.reference = Reference("web", revision, {"a"}),
                              .seen_revision = seen}),
        IsOk());
    seen = revision;
  }
  EXPECT_THAT(store_->RevisionsOf("web").value(), ElementsAre(2, 5, 300));
  EXPECT_THAT(store_->RevisionsOf("we").value(), IsEmpty());
}

TEST_P(VerifierStoreContract, RefusesMoreDecisionsAtOnceThanItSays) {
  std::vector<VerifierStore::DecisionWrite> writes(
      VerifierStore::kMostAtOnce, {Decision("a", false), ToBytes("e")});
  for (size_t i = 0; i < writes.size(); ++i) {
    writes[i].decision.vm_uuid = std::to_string(i);
  }
  // Again, so that there is evidence to drop.
  EXPECT_EQ(store_->Append(writes, 1).value(), 1u);
  EXPECT_EQ(store_->Append(writes, 1).value(), writes.size() + 1);
  EXPECT_THAT(store_->NewestEvidence("", 0, 100).value(),
              SizeIs(writes.size()));
  writes.push_back(writes.back());
  EXPECT_THAT(store_->Append(writes, 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(store_->LastSequence().value(), 2 * (writes.size() - 1));
}

TEST_P(VerifierStoreContract, KeepsLargeEvidenceAndDocuments) {
  Bytes large(3'000'000, 7);
  for (size_t i = 0; i < large.size(); i += 1'000) {
    large[i] = static_cast<uint8_t>(i / 1'000);
  }
  ASSERT_THAT(store_->Append({{Decision("a", true), large}}, 1), IsOk());
  EXPECT_EQ(store_->FindEvidence(1).value(), large);
  ReferenceEntry reference = Reference("web", 1, {"a"});
  reference.document = large;
  ASSERT_THAT(store_->PutReference({.reference = reference}), IsOk());
  EXPECT_EQ(store_->FindReference("web", 0).value()->document, large);
  ASSERT_THAT(store_->Append({{Decision("a", true), ToBytes("new")}}, 1),
              IsOk());
  EXPECT_THAT(store_->FindEvidence(1).value(), IsEmpty());
}

TEST_P(VerifierStoreContract, AReferenceMayBeAboutManyVms) {
  std::vector<std::string> vms;
  for (int i = 0; i < 300; ++i) {
    vms.push_back("vm-" + std::to_string(1'000 + i));
  }
  const ReferenceEntry many = Reference("web", 1, vms);
  ASSERT_THAT(store_->PutReference({.reference = many}), IsOk());
  EXPECT_THAT(store_->FindReference("web", 0).value(), Optional(many));
  EXPECT_THAT(store_->ReferencesOf("vm-1299", 500).value(), SizeIs(1));
  EXPECT_THAT(
      store_->PutReference({.reference = Reference("db", 1, {"vm-1250"})}),
      StatusIs(kExists));
}

}  // namespace
}  // namespace vmattest::testing
