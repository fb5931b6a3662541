#include "cli/baseline_command.h"

#include "base/clock.h"
#include "base/file.h"
#include "baseline/difference.h"
#include "baseline/score.h"
#include "cli/exit_code.h"
#include "cli/message_json.h"
#include "cli/print.h"
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

struct Snapshot {
  evidence::StateStatement statement;
  Bytes pages;
};

// Signatures are `vmattest verify`'s business.
absl::StatusOr<Snapshot> LoadSnapshot(const std::string& evidence,
                                      const std::string& pages) {
  Snapshot snapshot;
  ASSIGN_OR_RETURN(const Bytes file, ReadFile(evidence, kMaxEvidence));
  ASSIGN_OR_RETURN_WITH(const evidence::Evidence parsed,
                        wire::ParseEvidence(file), evidence);
  ASSIGN_OR_RETURN_WITH(snapshot.statement,
                        wire::ParseStateStatement(parsed.envelope.payload),
                        evidence);
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

absl::StatusOr<bool> Compare(const BaselineArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(Baseline parsed, LoadBaseline(args.file));
  ASSIGN_OR_RETURN(const Bytes pages,
                   ReadFile(args.pages, baseline::kMaxPages));
  ASSIGN_OR_RETURN(const auto loaded,
                   LoadedBaseline::Load(std::move(parsed), pages));
  ASSIGN_OR_RETURN(const Snapshot snapshot,
                   LoadSnapshot(args.evidence, args.snapshot_pages));
  ASSIGN_OR_RETURN(const std::vector<Difference> differences,
                   Differences(*loaded, snapshot));
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
