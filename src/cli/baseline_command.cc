#include "cli/baseline_command.h"

#include "base/clock.h"
#include "base/file.h"
#include "baseline/cross_view.h"
#include "baseline/difference.h"
#include "baseline/score.h"
#include "cli/exit_code.h"
#include "cli/message_json.h"
#include "cli/print.h"
#include "crypto/digest.h"
#include "document/document.h"
#include "document/key_files.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "vmattest/v1/baselines.grpc.pb.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

using baseline::Baseline;
using baseline::Difference;
using baseline::LoadedBaseline;
using Stub = v1::Baselines::Stub;

constexpr int64_t kDayMs = 24LL * 3600 * 1000;
constexpr uint32_t kMaxDays = 3650;
constexpr size_t kMaxEvidence = 16u << 20;
constexpr size_t kMaxGuestText = 16u << 20;

struct Snapshot {
  Bytes payload;  // the statement's bytes
  evidence::StateStatement statement;
  Bytes pages;
};

// Signatures are `vmattest verify`'s business.
absl::StatusOr<Snapshot> LoadStatement(const std::string& evidence) {
  Snapshot snapshot;
  ASSIGN_OR_RETURN(const Bytes file, ReadFile(evidence, kMaxEvidence));
  ASSIGN_OR_RETURN_WITH(evidence::Evidence parsed, wire::ParseEvidence(file),
                        evidence);
  snapshot.payload = std::move(parsed.envelope.payload);
  ASSIGN_OR_RETURN_WITH(snapshot.statement,
                        wire::ParseStateStatement(snapshot.payload), evidence);
  return snapshot;
}

absl::StatusOr<Snapshot> LoadSnapshot(const std::string& evidence,
                                      const std::string& pages) {
  ASSIGN_OR_RETURN(Snapshot snapshot, LoadStatement(evidence));
  ASSIGN_OR_RETURN(snapshot.pages, ReadFile(pages, baseline::kMaxPages));
  return snapshot;
}

// A draft, or what a document says it is.
absl::StatusOr<Baseline> LoadBaseline(const std::string& file) {
  ASSIGN_OR_RETURN(const Bytes bytes,
                   ReadFile(file, document::kMaxDocumentSize));
  if (const auto unchecked = document::Peek(bytes); unchecked.ok()) {
    return baseline::Parse(unchecked->payload);
  }
  return baseline::Parse(bytes);
}

void Print(const Baseline& baseline, std::ostream& out) {
  out << fmt::format("{} of {}, for {}, score at least {}\n",
                     Printable(baseline.id()), Printable(baseline.subset()),
                     fmt::join(baseline.vm_uuids, ", "), baseline.min_score);
  for (const baseline::Region& region : baseline.regions) {
    out << fmt::format("  region {}: {}, {} pages\n", Printable(region.name),
                       Printable(region.severity), region.pages);
  }
  out << fmt::format(
      "  {} records; kernel {}; code hash {}\n", baseline.record_count,
      baseline.kernel_release.empty() ? "not known"
                                      : Printable(baseline.kernel_release),
      baseline.code_hash.empty() ? "none" : ToHex(baseline.code_hash));
  for (const baseline::AcceptedFinding& finding : baseline.accepted) {
    out << fmt::format("  accepts {} {}\n", Printable(finding.code),
                       Printable(finding.element));
  }
}

absl::Status Set(const BaselineArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const Snapshot snapshot,
                   LoadSnapshot(args.file, args.pages));
  ASSIGN_OR_RETURN(
      Baseline draft,
      baseline::FromSnapshot(snapshot.statement, snapshot.pages, args.without));
  draft.name = args.name;
  draft.revision = args.revision;
  draft.vm_uuids = args.vms;
  if (draft.vm_uuids.empty()) {
    draft.vm_uuids = {draft.source.vm_uuid};
  }
  draft.min_score = args.min_score;
  draft.header = {0, 0, kDayMs, {}};  // the approver's
  for (const evidence::RegionState& region : snapshot.statement.regions) {
    if (!region.unavailable.empty()) {
      out << fmt::format("not in it: region {}: {}\n", Printable(region.name),
                         Printable(region.unavailable));
    }
  }
  for (const evidence::StateFinding& finding : snapshot.statement.findings) {
    out << fmt::format("finding: {} {} {}: {}\n", Printable(finding.severity),
                       Printable(finding.code), Printable(finding.element),
                       Printable(finding.found));
    if (args.accept_findings) {
      draft.accepted.push_back({finding.code, finding.element});
    }
  }
  const Bytes payload = Encode(draft);
  RETURN_IF_ERROR(baseline::Parse(payload).status());
  Print(draft, out);
  return WriteFileAtomic(args.out, payload);
}

absl::Status Approve(const BaselineArgs& args, std::ostream& out) {
  if (args.days == 0 || args.days > kMaxDays) {
    return absl::InvalidArgumentError(
        fmt::format("--days: must be 1 to {}", kMaxDays));
  }
  ASSIGN_OR_RETURN(Baseline draft, LoadBaseline(args.file));
  ASSIGN_OR_RETURN(const document::PrivateKey key,
                   document::LoadPrivateKey(args.key));
  const int64_t now = SystemClock().Now().time_since_epoch().count();
  draft.header = {now, now, now + args.days * kDayMs, key.algorithms()};
  ASSIGN_OR_RETURN(const Bytes file,
                   key.Sign(baseline::kPayloadType, Encode(draft)));
  RETURN_IF_ERROR(WriteFileAtomic(args.out, file));
  Print(draft, out);
  return absl::OkStatus();
}

absl::Status Show(const BaselineArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const Baseline baseline, LoadBaseline(args.file));
  Print(baseline, out);
  if (args.approvers.empty()) {
    out << "signatures are not checked without --approvers\n";
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Bytes bytes,
                   ReadFile(args.file, document::kMaxDocumentSize));
  ASSIGN_OR_RETURN(const std::vector<document::PublicKey> keys,
                   document::LoadPublicKeys(args.approvers));
  const document::Opened opened =
      document::Open(bytes, baseline::kPayloadType, keys);
  if (!opened.verdict.trusted()) {
    const Reason& why = opened.verdict.reasons.front();
    return absl::PermissionDeniedError(
        fmt::format("{} {}: {}", why.code, why.element, why.found));
  }
  out << fmt::format("signed by {}\n", Printable(opened.signer->name));
  return absl::OkStatus();
}

absl::Status Import(Stub& stub, const BaselineArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const Bytes document,
                   ReadFile(args.file, document::kMaxDocumentSize));
  ASSIGN_OR_RETURN(const Bytes pages,
                   ReadFile(args.pages, baseline::kMaxPages));
  v1::PutBaselineRequest request;
  request.set_document(document.data(), document.size());
  request.set_pages(pages.data(), pages.size());
  ASSIGN_OR_RETURN(
      const v1::PutBaselineResponse put,
      CallVerifier(args.connection, &Stub::PutBaseline, request, stub));
  out << (args.json ? Json(put)
                    : fmt::format("{}@{}", put.name(), put.revision()))
      << "\n";
  return absl::OkStatus();
}

absl::Status List(Stub& stub, const BaselineArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const v1::ListBaselinesResponse list,
                   CallVerifier(args.connection, &Stub::ListBaselines,
                                v1::ListBaselinesRequest(), stub));
  for (const v1::BaselineSummary& baseline : list.baselines()) {
    if (args.json) {
      out << Json(baseline) << "\n";
      continue;
    }
    out << fmt::format("{}@{}  {}  by {}  {}\n", Printable(baseline.name()),
                       baseline.revision(), Printable(baseline.subset()),
                       Printable(baseline.approver()),
                       fmt::join(baseline.vm_uuids(), ","));
  }
  return absl::OkStatus();
}

absl::Status Export(Stub& stub, const BaselineArgs& args) {
  v1::GetBaselineRequest request;
  request.set_name(args.name);
  request.set_revision(args.revision);
  request.set_with_pages(!args.out_pages.empty());
  ASSIGN_OR_RETURN(
      const v1::GetBaselineResponse got,
      CallVerifier(args.connection, &Stub::GetBaseline, request, stub));
  if (!args.out_pages.empty()) {
    RETURN_IF_ERROR(WriteFileAtomic(args.out_pages, AsBytes(got.pages())));
  }
  return WriteFileAtomic(args.out, AsBytes(got.document()));
}

class LocalNodes final : public baseline::NodeSource {
 public:
  explicit LocalNodes(const LoadedBaseline& baseline) : baseline_(baseline) {}
  absl::StatusOr<Bytes> Nodes(const std::string& region,
                              const std::vector<baseline::NodeRange>& ranges,
                              uint32_t prefix) override {
    return baseline::ReadNodes(baseline_, region, ranges, prefix);
  }
  absl::StatusOr<std::vector<evidence::StateRecord>> Records() override {
    return baseline_.records();
  }

 private:
  const LoadedBaseline& baseline_;
};

absl::StatusOr<std::vector<Difference>> Differences(
    const LoadedBaseline& baseline, const Snapshot& snapshot) {
  const Baseline& of = baseline.baseline();
  if (of.policy_digest != snapshot.statement.policy_digest ||
      of.algorithm != snapshot.statement.algorithm ||
      of.page_bytes != snapshot.statement.page_bytes) {
    return absl::InvalidArgumentError("the snapshot is by another policy");
  }
  ASSIGN_OR_RETURN(const evidence::SnapshotPages pages,
                   wire::ParseSnapshotPages(snapshot.pages));
  LocalNodes nodes(baseline);
  ASSIGN_OR_RETURN(
      baseline::Delta delta,
      MakeDelta(of, snapshot.statement, pages, nodes, /*prefix=*/0));
  const baseline::Applied applied =
      ApplyDelta(baseline, snapshot.statement, std::move(delta));
  if (applied.refused) {
    return absl::InvalidArgumentError(fmt::format(
        "the pages are not the snapshot's: {}", applied.refused->element));
  }
  std::vector<Difference> differences =
      CompareSnapshot(baseline, snapshot.statement, applied);
  SortByGravity(differences);
  return differences;
}

// Its records are those that it was signed with.
absl::StatusOr<baseline::MemoryLook> LookOf(const Snapshot& snapshot) {
  ASSIGN_OR_RETURN(evidence::SnapshotPages pages,
                   wire::ParseSnapshotPages(snapshot.pages));
  if (evidence::RecordsRoot(snapshot.statement.algorithm, pages.records) !=
      snapshot.statement.records_root) {
    return absl::InvalidArgumentError("the records are not the snapshot's");
  }
  return baseline::LookOf(snapshot.payload, snapshot.statement,
                          std::move(pages.records));
}

absl::StatusOr<baseline::GuestReport> LoadReport(const std::string& file) {
  ASSIGN_OR_RETURN(const Bytes bytes,
                   ReadFile(file, baseline::kMaxGuestReport));
  ASSIGN_OR_RETURN_WITH(baseline::GuestReport report,
                        baseline::ParseGuestReport(bytes), file);
  return report;
}

absl::StatusOr<std::vector<Difference>> ReportDifferences(
    const BaselineArgs& args, const Snapshot& now) {
  if (args.guest_report.empty()) {
    return std::vector<Difference>();
  }
  ASSIGN_OR_RETURN(const baseline::GuestReport report,
                   LoadReport(args.guest_report));
  std::optional<baseline::GuestReport> earlier;
  if (!args.earlier_report.empty()) {
    ASSIGN_OR_RETURN(earlier, LoadReport(args.earlier_report));
  }
  ASSIGN_OR_RETURN(const Snapshot snapshot,
                   LoadSnapshot(args.earlier, args.earlier_pages));
  ASSIGN_OR_RETURN_WITH(const baseline::MemoryLook before, LookOf(snapshot),
                        args.earlier_pages);
  ASSIGN_OR_RETURN_WITH(const baseline::MemoryLook after, LookOf(now),
                        args.snapshot_pages);
  return baseline::CompareReport(
      {earlier ? &*earlier : nullptr, before, report, after});
}

absl::StatusOr<std::string> ReadGuestText(const std::string& file) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(file, kMaxGuestText));
  return std::string(AsText(bytes));
}

absl::Status Report(const BaselineArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const Snapshot before, LoadStatement(args.earlier));
  baseline::GuestReport report;
  report.vm_uuid = before.statement.header.vm_uuid;
  report.after = Hash(HashAlgorithm::kSha256, before.payload);
  report.release = args.release;
  if (!args.cmdline.empty()) {
    ASSIGN_OR_RETURN(report.cmdline, ReadGuestText(args.cmdline));
    report.cmdline.erase(report.cmdline.find_last_not_of(" \n") + 1);
  }
  if (!args.modules.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadGuestText(args.modules));
    ASSIGN_OR_RETURN_WITH(report.modules, baseline::ParseProcModules(text),
                          args.modules);
  }
  if (!args.tasks.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadGuestText(args.tasks));
    ASSIGN_OR_RETURN_WITH(report.tasks, baseline::ParseTaskList(text),
                          args.tasks);
  }
  const Bytes file = Encode(report);
  RETURN_IF_ERROR(baseline::ParseGuestReport(file).status());
  RETURN_IF_ERROR(WriteFileAtomic(args.out, file));
  out << ToHex(NonceOf(report)) << "\n";
  return absl::OkStatus();
}

absl::StatusOr<bool> Compare(const BaselineArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(Baseline parsed, LoadBaseline(args.file));
  ASSIGN_OR_RETURN(const Bytes pages,
                   ReadFile(args.pages, baseline::kMaxPages));
  ASSIGN_OR_RETURN(const auto loaded,
                   LoadedBaseline::Load(std::move(parsed), pages));
  ASSIGN_OR_RETURN(const Snapshot snapshot,
                   LoadSnapshot(args.evidence, args.snapshot_pages));
  ASSIGN_OR_RETURN(std::vector<Difference> differences,
                   Differences(*loaded, snapshot));
  ASSIGN_OR_RETURN(const std::vector<Difference> contradictions,
                   ReportDifferences(args, snapshot));
  differences.insert(differences.end(), contradictions.begin(),
                     contradictions.end());
  SortByGravity(differences);
  for (const Difference& difference : differences) {
    out << fmt::format(
        "{:8}  {:13}  {}: expected {}, found {}\n",
        snapshot::ToString(difference.severity),
        baseline::ToString(difference.kind), Printable(difference.element),
        Printable(difference.expected), Printable(difference.found));
  }
  if (!IsSameRun(loaded->baseline(), snapshot.statement)) {
    out << "another run of the VM: pages were not compared\n";
  }
  const uint32_t score = baseline::Score(differences);
  out << fmt::format("score {}, at least {} is demanded\n", score,
                     loaded->baseline().min_score);
  return score >= loaded->baseline().min_score;
}

absl::Status CallTheVerifier(const BaselineArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  const auto stub = v1::Baselines::NewStub(channel);
  switch (args.action) {
    case BaselineArgs::Action::kImport:
      return Import(*stub, args, out);
    case BaselineArgs::Action::kExport:
      return Export(*stub, args);
    default:
      return List(*stub, args, out);
  }
}

}  // namespace

int RunBaseline(const BaselineArgs& args, std::ostream& out) {
  absl::Status done;
  switch (args.action) {
    case BaselineArgs::Action::kSet:
      done = Set(args, out);
      break;
    case BaselineArgs::Action::kApprove:
      done = Approve(args, out);
      break;
    case BaselineArgs::Action::kShow:
      done = Show(args, out);
      break;
    case BaselineArgs::Action::kReport:
      done = Report(args, out);
      break;
    case BaselineArgs::Action::kCompare: {
      const absl::StatusOr<bool> good = Compare(args, out);
      out.flush();
      return !good.ok() ? Fail(good.status())
             : *good    ? kExitGood
                        : kExitNotTrustworthy;
    }
    default:
      done = CallTheVerifier(args, out);
  }
  out.flush();
  return done.ok() ? kExitGood : Fail(done);
}

}  // namespace vmattest::cli
