#include "cli/snapshot_command.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <ctime>

#include "base/bytes.h"
#include "base/file.h"
#include "baseline/guest_report.h"
#include "cli/ask_options.h"
#include "cli/exit_code.h"
#include "cli/policy_command.h"
#include "cli/print.h"
#include "cli/snapshot_show.h"
#include "rpc/status/status_mapping.h"
#include "snapshot/page_check.h"
#include "vmattest/v1/memory.grpc.pb.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

constexpr std::chrono::minutes kSlow{10};
constexpr mode_t kMode = 0644;
constexpr size_t kMaxPolicyFile = 1 << 20;
constexpr size_t kPartsShown = 8;  // of each region

void SetDeadline(const SnapshotArgs& args, grpc::ClientContext& context) {
  const std::chrono::seconds timeout = args.connection.timeout.count() > 0
                                           ? args.connection.timeout
                                           : std::chrono::seconds(kSlow);
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

absl::StatusOr<std::unique_ptr<v1::Memory::Stub>> Open(
    const SnapshotArgs& args) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  return v1::Memory::NewStub(channel);
}

void ShowProgress(const v1::SnapshotProgress& progress, std::ostream& err) {
  if (isatty(STDERR_FILENO) != 0 && progress.bytes_total() != 0) {
    err << fmt::format("\r{} {} of {} MiB", progress.phase(),
                       progress.bytes_done() >> 20,
                       progress.bytes_total() >> 20)
        << std::flush;
  }
}

absl::StatusOr<v1::CapturedSnapshot> Ask(
    const SnapshotArgs& args, const v1::CaptureSnapshotRequest& request,
    std::ostream& err) {
  ASSIGN_OR_RETURN(const auto stub, Open(args));
  grpc::ClientContext context;
  SetDeadline(args, context);
  const auto reader = stub->CaptureSnapshot(&context, request);
  v1::CaptureSnapshotResponse response;
  v1::CapturedSnapshot snapshot;
  while (reader->Read(&response)) {
    if (response.has_progress()) {
      ShowProgress(response.progress(), err);
    } else {
      snapshot = std::move(*response.mutable_snapshot());
    }
  }
  RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
  return snapshot;
}

std::string Time(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  return gmtime_r(&seconds, &utc) == nullptr
             ? fmt::format("{} ms", unix_ms)
             : fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", utc);
}

std::string Line(const v1::SnapshotSummary& summary) {
  return fmt::format(
      "{}  {}  {}@{}  {}  {}  {} pages, {} unreadable, {} torn, pause {} us, "
      "cause {}",
      Printable(summary.id()), Time(summary.time_unix_ms()),
      Printable(summary.policy_id()), summary.policy_version(),
      Printable(summary.consistency()), Printable(summary.reader()),
      summary.pages(), summary.unreadable_pages(), summary.torn_pages(),
      summary.pause_us(), Printable(summary.cause()));
}

// Evidence, and with `pages` the page digests beside it.
absl::Status Fetch(const SnapshotArgs& args, const std::string& id,
                   std::string& evidence, std::string* pages) {
  ASSIGN_OR_RETURN(const auto stub, Open(args));
  grpc::ClientContext context;
  SetDeadline(args, context);
  v1::GetSnapshotRequest request;
  request.set_vm(args.vm);
  request.set_id(id);
  request.set_with_pages(pages != nullptr);
  const auto reader = stub->GetSnapshot(&context, request);
  v1::GetSnapshotResponse piece;
  while (reader->Read(&piece)) {
    evidence += piece.evidence();
    if (pages != nullptr) {
      *pages += piece.pages();
    }
  }
  return rpc::FromGrpc(reader->Finish());
}

// What the guest's kernel said, for people.
absl::Status Tell(const SnapshotArgs& args,
                  const v1::CapturedSnapshot& snapshot, std::ostream& err) {
  ASSIGN_OR_RETURN(const evidence::StateStatement statement,
                   StatementOf(AsBytes(snapshot.evidence())));
  PrintFindings(statement.semantics, statement.kernel_release,
                statement.findings, err);
  if (statement.semantics != "linux") {
    return absl::OkStatus();
  }
  std::string evidence;
  std::string bytes;
  RETURN_IF_ERROR(Fetch(args, snapshot.summary().id(), evidence, &bytes));
  ASSIGN_OR_RETURN(const evidence::SnapshotPages pages,
                   wire::ParseSnapshotPages(AsBytes(bytes)));
  if (const std::vector<std::string> problems =
          snapshot::CheckPages(statement, pages);
      !problems.empty()) {
    return absl::DataLossError("the pages that the daemon kept: " +
                               problems[0]);
  }
  PrintParts(pages, kPartsShown, err);
  return absl::OkStatus();
}

absl::Status Capture(const SnapshotArgs& args, std::ostream& out,
                     std::ostream& err) {
  RETURN_IF_ERROR(CheckBinaryOutput("evidence", args.out));
  v1::CaptureSnapshotRequest request;
  request.set_vm(args.vm);
  request.set_policy(args.policy);
  ASSIGN_OR_RETURN(Bytes nonce, NonceOrRandom(args.nonce));
  if (!args.guest_report.empty()) {
    ASSIGN_OR_RETURN(const Bytes file,
                     ReadFile(args.guest_report, baseline::kMaxGuestReport));
    ASSIGN_OR_RETURN_WITH(const baseline::GuestReport report,
                          baseline::ParseGuestReport(file), args.guest_report);
    nonce = baseline::NonceOf(report);
    request.set_guest_report(file.data(), file.size());
  }
  request.set_nonce(nonce.data(), nonce.size());
  ASSIGN_OR_RETURN(const v1::CapturedSnapshot snapshot,
                   Ask(args, request, err));
  err << Line(snapshot.summary()) << "\n";
  RETURN_IF_ERROR(WriteSignedFile({.what = "evidence",
                                   .vm = args.vm,
                                   .nonce = request.nonce(),
                                   .content = snapshot.evidence(),
                                   .path = args.out,
                                   .json = args.json},
                                  out, err));
  return Tell(args, snapshot, err);
}

absl::Status List(const SnapshotArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto stub, Open(args));
  grpc::ClientContext context;
  SetDeadline(args, context);
  v1::ListSnapshotsRequest request;
  request.set_vm(args.vm);
  v1::ListSnapshotsResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(stub->ListSnapshots(&context, request, &response)));
  for (const v1::SnapshotSummary& summary : response.snapshots()) {
    out << Line(summary) << "\n";
  }
  return absl::OkStatus();
}

absl::Status Get(const SnapshotArgs& args, std::ostream& out,
                 std::ostream& err) {
  RETURN_IF_ERROR(CheckBinaryOutput("evidence", args.out));
  std::string evidence;
  std::string pages;
  RETURN_IF_ERROR(
      Fetch(args, args.id, evidence, args.pages.empty() ? nullptr : &pages));
  if (!args.pages.empty()) {
    RETURN_IF_ERROR(WriteFileAtomic(args.pages, AsBytes(pages), kMode));
  }
  if (args.out.empty()) {
    out << evidence << std::flush;
    return absl::OkStatus();
  }
  err << fmt::format("evidence in {}\n", args.out);
  return WriteFileAtomic(args.out, AsBytes(evidence), kMode);
}

absl::Status Policies(const SnapshotArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto stub, Open(args));
  grpc::ClientContext context;
  SetDeadline(args, context);
  v1::ListSnapshotPoliciesResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(stub->ListSnapshotPolicies(&context, {}, &response)));
  for (const v1::SnapshotPolicySummary& policy : response.policies()) {
    out << fmt::format("{}@{}  sha256:{}  {}  {}\n", Printable(policy.id()),
                       policy.version(), ToHex(AsBytes(policy.digest())),
                       Printable(policy.reaction()),
                       Printable(policy.description()));
  }
  return absl::OkStatus();
}

absl::Status Estimate(const SnapshotArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const Bytes text, ReadFile(args.policy, kMaxPolicyFile));
  ASSIGN_OR_RETURN(const snapshot::Policy policy,
                   snapshot::ParsePolicy(AsText(text), args.policy));
  ASSIGN_OR_RETURN(const auto stub, Open(args));
  grpc::ClientContext context;
  SetDeadline(args, context);
  v1::EstimateSnapshotRequest request;
  request.set_vm(args.vm);
  request.set_policy(std::string(AsText(text)));
  v1::EstimateSnapshotResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(stub->EstimateSnapshot(&context, request, &response)));
  std::vector<RegionCost> costs;
  for (const v1::RegionEstimate& region : response.regions()) {
    costs.push_back(
        {region.bytes(), region.parts(), Printable(region.unavailable())});
  }
  ExplainPolicy(policy, costs, fmt::format("VM {}", args.vm), out);
  if (!response.semantics().empty()) {
    out << fmt::format("kernel      {} {}\n", Printable(response.semantics()),
                       Printable(response.kernel_release()));
  }
  return absl::OkStatus();
}

int Done(const absl::Status& status) {
  return status.ok() ? kExitGood : Fail(status);
}

}  // namespace

int RunSnapshotCapture(const SnapshotArgs& args, std::ostream& out,
                       std::ostream& err) {
  return Done(Capture(args, out, err));
}

int RunSnapshotList(const SnapshotArgs& args, std::ostream& out) {
  return Done(List(args, out));
}

int RunSnapshotGet(const SnapshotArgs& args, std::ostream& out,
                   std::ostream& err) {
  return Done(Get(args, out, err));
}

int RunPolicyEstimate(const SnapshotArgs& args, std::ostream& out) {
  return Done(Estimate(args, out));
}

int RunPolicyList(const SnapshotArgs& args, std::ostream& out) {
  return Done(Policies(args, out));
}

}  // namespace vmattest::cli
