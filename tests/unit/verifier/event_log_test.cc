#include "vmattest/verifier/event_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "eventlog/bundle.h"
#include "support/host_log_evidence.h"
#include "support/matchers.h"
#include "wire/codec.h"

namespace vmattest::verifier {
namespace {

using eventlog::Bundle;
using testing::BootLogWriter;
using testing::HostLogEvidence;

class EventLogTest : public ::testing::Test {
 protected:
  EventLogTest() { Pin(evidence.Identity()); }

  void Pin(const evidence::HostIdentity& identity) {
    anchors = Anchors();
    ASSERT_THAT(anchors.Add(wire::HostIdentityToJson(identity)),
                testing::IsOk());
  }

  EventLogAppraisal Appraise(const std::string& text) {
    auto appraisal = VerifyEventLog(text, anchors, policy, now);
    EXPECT_THAT(appraisal, testing::IsOk());
    return *std::move(appraisal);
  }
  EventLogAppraisal Appraise(const Bundle& bundle) {
    return Appraise(eventlog::EncodeBundle(bundle));
  }

  static std::string Codes(const EventLogAppraisal& appraisal) {
    std::string codes;
    for (const Reason& reason : appraisal.verdict.reasons) {
      codes += (codes.empty() ? "" : " ") + reason.code;
      EXPECT_FALSE(reason.element.empty());
    }
    return codes;
  }
  void ExpectReason(const Bundle& bundle, std::string_view code) {
    const EventLogAppraisal appraisal = Appraise(bundle);
    EXPECT_FALSE(appraisal.verdict.trusted());
    EXPECT_EQ(Codes(appraisal), code)
        << (appraisal.verdict.reasons.empty()
                ? ""
                : appraisal.verdict.reasons[0].found);
  }

  testing::SoftHost host;
  HostLogEvidence evidence{host};
  Anchors anchors;
  EventLogPolicy policy;
  WallTime now{
      std::chrono::milliseconds(testing::EvidenceBuilder::kTimeUnixMs)};
};

TEST_F(EventLogTest, BelievesASoundLog) {
  const EventLogAppraisal appraisal = Appraise(evidence.Build());
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
  EXPECT_TRUE(appraisal.genuine);
  EXPECT_EQ(appraisal.first_record, 1u);
  EXPECT_EQ(appraisal.last_record, 9u);
  EXPECT_EQ(appraisal.boot_record, 5u);
  EXPECT_EQ(appraisal.boot_count, 2u);
  EXPECT_EQ(appraisal.boot_log_events, 16u);
  EXPECT_TRUE(appraisal.facts.empty());
  EXPECT_EQ(appraisal.claims.host_id, host.host_id());
}

TEST_F(EventLogTest, BelievesASoundLogInTheSha384Bank) {
  HostLogEvidence wide(host, HashAlgorithm::kSha384);
  const EventLogAppraisal appraisal = Appraise(wide.Build());
  EXPECT_TRUE(appraisal.verdict.trusted()) << Codes(appraisal);
}

TEST_F(EventLogTest, BelievesRecordsThatCameBetweenStatementAndQuote) {
  evidence.edit_statement = [](evidence::HostLogStatement& statement) {
    const auto before = testing::HostLogBuilder::TwoBoots();
    statement.header.host->log_size = before.head().size;
    statement.header.host->log_head = before.head().head;
  };
  evidence.log.Launch("meanwhile");
  EXPECT_EQ(Codes(Appraise(evidence.Build())), "");
}

TEST_F(EventLogTest, S1_ARemovedRecordIsCaught) {
  for (size_t i = 0; i < 9; ++i) {
    Bundle bundle = evidence.Build();
    bundle.records.erase(bundle.records.begin() + i);
    EXPECT_FALSE(Appraise(bundle).verdict.trusted()) << i;
  }
  Bundle bundle = evidence.Build();
  bundle.records.erase(bundle.records.begin() + 6);
  ExpectReason(bundle, "eventlog-record-missing");
}

TEST_F(EventLogTest, S1_AnyTwoSwappedRecordsAreCaught) {
  for (size_t i = 0; i < 9; ++i) {
    for (size_t j = 0; j < i; ++j) {
      Bundle bundle = evidence.Build();
      std::swap(bundle.records[i], bundle.records[j]);
      EXPECT_FALSE(Appraise(bundle).verdict.trusted()) << i << " " << j;
    }
  }
  Bundle bundle = evidence.Build();
  std::swap(bundle.records[6], bundle.records[7]);
  ExpectReason(bundle, "eventlog-record-order");
}

TEST_F(EventLogTest, S1_SwappedAndRenumberedRecordsAreCaught) {
  Bundle bundle = evidence.Build();
  std::swap(bundle.records[6], bundle.records[7]);
  std::swap(bundle.records[6].number, bundle.records[7].number);
  ExpectReason(bundle, "eventlog-head-mismatch");
}

TEST_F(EventLogTest, S1_AChangedRecordIsCaught) {
  std::string text = eventlog::EncodeBundle(evidence.Build());
  text.replace(text.find("web-2"), 5, "web-9");
  EXPECT_EQ(Codes(Appraise(text)), "eventlog-record-digest");
}

TEST_F(EventLogTest, S1_AChangedRecordWithANewDigestIsCaught) {
  Bundle bundle = evidence.Build();
  bundle.records[7] = eventlog::MakeHostRecord(8, 13, HashAlgorithm::kSha256,
                                               {.kind = "vm-started"});
  ExpectReason(bundle, "eventlog-head-mismatch");
}

TEST_F(EventLogTest, S1_ACutTailIsCaught) {
  Bundle bundle = evidence.Build();
  bundle.records.pop_back();
  ExpectReason(bundle, "eventlog-records-short");
}

TEST_F(EventLogTest, S1_ATailCutDownToAnOlderStatementIsCaughtByTheAnchor) {
  const auto older = testing::HostLogBuilder::TwoBoots();
  evidence.edit_statement = [&older](evidence::HostLogStatement& statement) {
    statement.header.host->log_size = older.head().size;
    statement.header.host->log_head = older.head().head;
  };
  evidence.log.Launch("hidden");
  Bundle bundle = evidence.Build();
  bundle.records.pop_back();
  ExpectReason(bundle, "eventlog-records-short");
}

TEST_F(EventLogTest, S1_AnAddedRecordIsCaught) {
  Bundle bundle = evidence.Build();
  bundle.records.push_back(eventlog::MakeHostRecord(
      10, 13, HashAlgorithm::kSha256, {.kind = "vm-started"}));
  ExpectReason(bundle, "eventlog-records-uncovered");
}

TEST_F(EventLogTest, NoRecordsAreNoEmptyLog) {
  Bundle bundle = evidence.Build();
  bundle.records.clear();
  ExpectReason(bundle, "eventlog-record-missing");
}

TEST_F(EventLogTest, ALogOfAnEarlierBootIsCaught) {
  evidence.builder.quoted_at.reset_count = 8;
  evidence.builder.header.measured_at.reset_count = 8;
  evidence.certified_at.reset_count = 8;
  ExpectReason(evidence.Build(), "eventlog-boot-record");
}

TEST_F(EventLogTest, AWrongBootRecordIsCaught) {
  evidence.edit_statement = [](evidence::HostLogStatement& statement) {
    statement.boot_record = 1;
  };
  ExpectReason(evidence.Build(), "eventlog-boot-record");
}

TEST_F(EventLogTest, ALogThatBeginsLateMustBeAskedFor) {
  Bundle bundle = evidence.Build();
  bundle.records.erase(bundle.records.begin(), bundle.records.begin() + 4);
  ExpectReason(bundle, "eventlog-records-lost");
  policy.from_record = 5;
  EXPECT_EQ(Codes(Appraise(bundle)), "");
}

TEST_F(EventLogTest, LostRecordsAreNamedAndOnlyForgivenWhenAskedFor) {
  Bundle bundle = evidence.Build();
  bundle.records.erase(bundle.records.begin() + 2, bundle.records.begin() + 4);
  const EventLogAppraisal refused = Appraise(bundle);
  EXPECT_EQ(Codes(refused), "eventlog-records-lost");
  EXPECT_EQ(refused.verdict.reasons[0].element, "records 3 to 4");
  policy.from_record = 5;
  const EventLogAppraisal forgiven = Appraise(bundle);
  EXPECT_EQ(Codes(forgiven), "");
  ASSERT_EQ(forgiven.facts.size(), 1u);
  EXPECT_EQ(forgiven.facts[0].code, "records-lost");
}

TEST_F(EventLogTest, ALossThatTheLogTellsIsNoTrustBeforeItAndNoHarmAfterIt) {
  const eventlog::LogHead before = evidence.log.head();
  evidence.log.Add({.kind = "log-loss",
                    .facts = {{"reason", "the disk"},
                              {"previous_size", std::to_string(before.size)},
                              {"previous_head", ToHex(before.head)}}});
  evidence.log.Launch("after the loss");
  const EventLogAppraisal refused = Appraise(evidence.Build());
  EXPECT_EQ(Codes(refused), "eventlog-records-lost");
  EXPECT_EQ(refused.verdict.reasons[0].element, "before record 10");
  policy.from_record = 10;
  const EventLogAppraisal after = Appraise(evidence.Build());
  EXPECT_EQ(Codes(after), "");
  ASSERT_EQ(after.facts.size(), 1u);
  EXPECT_EQ(after.facts[0].detail, "the disk");
}

TEST_F(EventLogTest, S1_AnUncleanBootIsReported) {
  evidence.log = testing::HostLogBuilder();
  evidence.log.Boot(true);
  evidence.log.Boot(false);
  const EventLogAppraisal appraisal = Appraise(evidence.Build());
  EXPECT_EQ(Codes(appraisal), "");
  ASSERT_EQ(appraisal.facts.size(), 1u);
  EXPECT_EQ(appraisal.facts[0].code, "unclean-boot");
  EXPECT_EQ(appraisal.facts[0].record, 2u);
}

TEST_F(EventLogTest, AnAnchorThatIsNotPinnedIsUnknown) {
  evidence::HostIdentity identity = evidence.Identity();
  identity.log_index.clear();
  Pin(identity);
  ExpectReason(evidence.Build(), "eventlog-anchor-unknown");
}

TEST_F(EventLogTest, S1_AnotherIndexIsCaught) {
  evidence.index.index ^= 1;
  ExpectReason(evidence.Build(), "eventlog-anchor-index");
}

TEST_F(EventLogTest, S1_TheNameOfAnotherIndexIsCaught) {
  evidence.edit_anchor = [](evidence::Attest& info) {
    info.nv_index_name.back() ^= 1;
  };
  ExpectReason(evidence.Build(), "eventlog-anchor-index");
}

TEST_F(EventLogTest, S1_AnIndexThatForgetsOrThatOthersWriteIsRefused) {
  for (const uint32_t bit : {evidence::kNvOrderly, evidence::kNvClearStclear,
                             evidence::kNvOwnerWrite, evidence::kNvPpWrite,
                             4u << 4, evidence::kNvWritten}) {
    HostLogEvidence weak(host);
    weak.index.attributes ^= bit;
    Pin(weak.Identity());
    ExpectReason(weak.Build(), "eventlog-anchor-attributes");
  }
}

TEST_F(EventLogTest, S1_ARolledBackAnchorIsCaught) {
  auto older = testing::HostLogBuilder();
  older.Boot(true);
  evidence.anchored = older.head();
  ExpectReason(evidence.Build(), "eventlog-anchor-behind");
}

TEST_F(EventLogTest, S1_AnAnchorOfAnotherLogIsCaught) {
  eventlog::LogHead other = evidence.log.head();
  other.head[0] ^= 1;
  evidence.anchored = other;
  ExpectReason(evidence.Build(), "eventlog-anchor-contents");
}

TEST_F(EventLogTest, S1_ALargerAnchorShowsWhatIsMissing) {
  eventlog::LogHead ahead = evidence.log.head();
  ahead.Extend(DigestBytes(32, 1));
  evidence.anchored = ahead;
  ExpectReason(evidence.Build(), "eventlog-records-short");
}

TEST_F(EventLogTest, APartOfTheAnchorIsNotTheAnchor) {
  evidence.edit_anchor = [](evidence::Attest& info) { info.nv_offset = 8; };
  ExpectReason(evidence.Build(), "eventlog-anchor-contents");
}

TEST_F(EventLogTest, S1_TheAnchorOfAnotherHostIsCaught) {
  const testing::SoftHost other("host-2");
  evidence.anchor_key = &other.ak;
  ExpectReason(evidence.Build(), "eventlog-anchor-signature");
}

TEST_F(EventLogTest, S1_TheAnchorOfAnotherRequestIsCaught) {
  evidence.edit_anchor = [](evidence::Attest& info) {
    info.extra_data = evidence::LogAnchorQualifyingData(Bytes(32, 1));
  };
  ExpectReason(evidence.Build(), "eventlog-anchor-nonce");
}

TEST_F(EventLogTest, S6_AnAnchorFromAnotherTimeIsCaught) {
  evidence.certified_at.clock_ms = 61'001;
  ExpectReason(evidence.Build(), "eventlog-anchor-clock");
  evidence.certified_at = {.clock_ms = 1, .reset_count = 6};
  ExpectReason(evidence.Build(), "eventlog-anchor-clock");
}

TEST_F(EventLogTest, AnAnchorThatIsNoNvCertificationIsMalformed) {
  evidence.edit_anchor = [](evidence::Attest& info) {
    info.type = evidence::kTpmStAttestCertify;
  };
  ExpectReason(evidence.Build(), "eventlog-anchor-malformed");
  evidence.edit_anchor = [](evidence::Attest& info) { info.magic = 0; };
  ExpectReason(evidence.Build(), "eventlog-anchor-malformed");
  evidence.edit_anchor = nullptr;
  evidence.edit_statement = [](evidence::HostLogStatement& statement) {
    statement.anchor.nv_public.pop_back();
  };
  ExpectReason(evidence.Build(), "eventlog-anchor-malformed");
}

TEST_F(EventLogTest, S1_APcrThatWasExtendedWithSomethingElseIsCaught) {
  Bundle bundle = evidence.Build();
  evidence.log.Launch("that is in the PCR alone");
  evidence.edit_statement = [](evidence::HostLogStatement& statement) {
    const auto before = testing::HostLogBuilder::TwoBoots();
    statement.header.host->log_size = before.head().size;
    statement.header.host->log_head = before.head().head;
  };
  evidence.anchored = testing::HostLogBuilder::TwoBoots().head();
  bundle.evidence = evidence.Build().evidence;
  ExpectReason(bundle, "eventlog-pcr-mismatch");
}

TEST_F(EventLogTest, ALogPcrThatIsNotQuotedIsCaught) {
  evidence.edit_statement = [](evidence::HostLogStatement& statement) {
    statement.log_pcr = 14;
  };
  Bundle bundle = evidence.Build();
  for (eventlog::CelRecord& record : bundle.records) {
    record.pcr = 14;
  }
  ExpectReason(bundle, "pcr-required-missing");
}

TEST_F(EventLogTest, AChangedBootLogIsCaught) {
  Bundle bundle = evidence.Build();
  bundle.boot_log.back() ^= 1;
  ExpectReason(bundle, "boot-log-digest");
  bundle.boot_log.clear();
  ExpectReason(bundle, "boot-log-digest");
}

TEST_F(EventLogTest, ABootLogThatDoesNotReplayIsCaught) {
  // An event that no PCR was extended with.
  evidence.boot_log.U32(4)
      .U32(BootLogWriter::kPostCode)
      .U32(1)
      .U16(kTpmAlgIdSha256)
      .Raw(Bytes(32, 9))
      .U32(0);
  ExpectReason(evidence.Build(), "boot-log-pcr-mismatch");
}

TEST_F(EventLogTest, S9_ABootPcrWithoutASeparatorIsCaught) {
  evidence.boot_log = BootLogWriter();
  evidence.boot_log.Header();
  for (uint32_t pcr = 0; pcr < 8; ++pcr) {
    evidence.boot_log.Measure(pcr, "firmware");
    if (pcr != 5) {
      evidence.boot_log.Separator(pcr);
    }
  }
  const EventLogAppraisal appraisal = Appraise(evidence.Build());
  EXPECT_EQ(Codes(appraisal), "boot-log-separator");
  EXPECT_EQ(appraisal.verdict.reasons[0].element, "PCR 5");
}

TEST_F(EventLogTest, S9_AnEventThatOnlyCallsItselfASeparatorIsNone) {
  evidence.boot_log = BootLogWriter();
  evidence.boot_log.Header();
  for (uint32_t pcr = 0; pcr < 8; ++pcr) {
    evidence.boot_log.Event(pcr, BootLogWriter::kSeparator, Bytes(32, 7),
                            std::string_view("\0\0\0\0", 4));
  }
  ExpectReason(evidence.Build(), "boot-log-separator");
}

TEST_F(EventLogTest, ABootLogOfAnotherBankOrShapeIsCaught) {
  evidence.boot_log = BootLogWriter(kTpmAlgIdSha1).Header();
  ExpectReason(evidence.Build(), "boot-log-bank");
  evidence.boot_log = BootLogWriter().Raw("no log");
  ExpectReason(evidence.Build(), "boot-log-malformed");
}

TEST_F(EventLogTest, AHostWithoutABootLogSaysSo) {
  evidence.boot_log = BootLogWriter();
  const EventLogAppraisal appraisal = Appraise(evidence.Build());
  EXPECT_EQ(Codes(appraisal), "");
  ASSERT_EQ(appraisal.facts.size(), 1u);
  EXPECT_EQ(appraisal.facts[0].code, "no-boot-log");
}

TEST_F(EventLogTest, EveryFieldOfTheStatementIsChecked) {
  const std::function<void(evidence::HostLogStatement&)> edits[] = {
      [](auto& s) { s.header.vm_name = "web-1"; },
      [](auto& s) { s.header.host.reset(); },
      [](auto& s) { s.header.host->log_head.pop_back(); },
      [](auto& s) { s.log_pcr = 16; },
      [](auto& s) { s.log_pcr = 7; },
      [](auto& s) { s.log_pcr = 10; },
      [](auto& s) { s.boot_record = 0; },
      [](auto& s) { s.boot_record = 10; },
      [](auto& s) { s.boot_log_digest.pop_back(); },
      [](auto& s) { s.boot_log_size = 0; }};
  for (const auto& edit : edits) {
    evidence.edit_statement = edit;
    ExpectReason(evidence.Build(), "statement-field-invalid");
  }
}

TEST_F(EventLogTest, ChecksTheEvidenceAsVerifyDoes) {
  policy.evidence.nonce = Bytes(32, 1);
  ExpectReason(evidence.Build(), "nonce-mismatch");
  policy.evidence.nonce = evidence.builder.header.nonce;
  const EventLogAppraisal fresh = Appraise(evidence.Build());
  EXPECT_TRUE(fresh.verdict.trusted());
  EXPECT_EQ(fresh.claims.freshness, "nonce");
  policy.evidence.max_unmanaged_vms = 0;
  evidence.edit_statement = [](evidence::HostLogStatement& statement) {
    statement.header.host->unmanaged_vms = 1;
  };
  ExpectReason(evidence.Build(), "unmanaged-vms");
  Bundle bundle = evidence.Build();
  bundle.evidence.back() ^= 1;
  EXPECT_FALSE(Appraise(bundle).genuine);
}

TEST_F(EventLogTest, AFileThatIsNoBundleIsAVerdict) {
  EXPECT_EQ(Codes(Appraise(std::string("{}"))), "eventlog-malformed");
}

TEST_F(EventLogTest, ConfigurationEvidenceIsNoLog) {
  const testing::EvidenceBuilder config(host);
  Bundle bundle = evidence.Build();
  bundle.evidence = config.BuildFile();
  ExpectReason(bundle, "payload-type-unexpected");
}

TEST_F(EventLogTest, ALogIsNoConfigurationEvidence) {
  ASSERT_OK_AND_ASSIGN(
      const Appraisal appraisal,
      Verify(evidence.Build().evidence, anchors, Policy(), now));
  EXPECT_TRUE(appraisal.genuine);
  ASSERT_FALSE(appraisal.verdict.trusted());
  EXPECT_EQ(appraisal.verdict.reasons[0].code, "payload-type-unexpected");
  EXPECT_EQ(appraisal.claims.payload_type, evidence::kHostLogPayloadType);
}

TEST_F(EventLogTest, WithoutAnchorsNothingIsDecided) {
  EXPECT_THAT(VerifyEventLog("{}", Anchors(), policy, now),
              testing::StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(EventLogTest, AnIdentityFromBeforeTheLogMayBePinnedBesideANewOne) {
  evidence::HostIdentity old = evidence.Identity();
  old.log_index.clear();
  Pin(old);
  EXPECT_THAT(anchors.Add(wire::HostIdentityToJson(evidence.Identity())),
              testing::IsOk());
  EXPECT_EQ(Codes(Appraise(evidence.Build())), "");
  evidence.index.index ^= 1;
  EXPECT_THAT(anchors.Add(wire::HostIdentityToJson(evidence.Identity())),
              testing::StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::verifier
