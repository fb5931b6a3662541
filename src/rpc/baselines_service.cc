#include "rpc/baselines_service.h"

#include <utility>

#include "fmt/format.h"
#include "rpc/run_authorized.h"
#include "rpc/verifier_conversions.h"
#include "wire/messages.h"

namespace vmattest::rpc {
namespace {

using baseline::LoadedBaseline;
using verification::BaselineBook;
using verification::BaselineEntry;
using verification::SnapshotComparer;
using wire::ToField;

constexpr size_t kMostTold = 200;  // differences of an answer
constexpr int kMaxRanges = 65'536;

absl::Status BaselineReason(absl::Status status) {
  return Reasoned(std::move(status),
                  {{absl::StatusCode::kNotFound, "BASELINE_NOT_FOUND"},
                   {absl::StatusCode::kAlreadyExists, "VM_HAS_BASELINE"},
                   {absl::StatusCode::kPermissionDenied, "VM_DENIED"},
                   {absl::StatusCode::kFailedPrecondition, "BASELINE_REVISION"},
                   {absl::StatusCode::kInvalidArgument, "BASELINE_INVALID"}});
}

absl::Status ComparisonReason(absl::Status status) {
  return Reasoned(
      std::move(status),
      {{absl::StatusCode::kNotFound, "COMPARISON_NOT_FOUND"},
       {absl::StatusCode::kPermissionDenied, "VM_DENIED"},
       {absl::StatusCode::kOutOfRange, "NO_SUCH_NODES"},
       {absl::StatusCode::kResourceExhausted, "TOO_MANY_COMPARISONS"}});
}

v1::BaselineSummary ToWire(const BaselineEntry& entry) {
  v1::BaselineSummary summary;
  summary.set_name(entry.name);
  summary.set_revision(entry.revision);
  summary.set_subset(entry.subset);
  summary.mutable_vm_uuids()->Assign(entry.vm_uuids.begin(),
                                     entry.vm_uuids.end());
  summary.set_not_before_unix_ms(entry.not_before_unix_ms);
  summary.set_not_after_unix_ms(entry.not_after_unix_ms);
  summary.set_approver(entry.approver);
  summary.set_signer_key_id(ToField(entry.signer_key_id));
  return summary;
}

v1::SnapshotVerdict ToWire(const SnapshotComparer::Result& result) {
  v1::SnapshotVerdict verdict;
  const verification::DecisionEntry& decision = result.decision;
  const v1::Decision told = rpc::ToWire(decision);
  verdict.set_trusted(decision.trusted);
  verdict.set_score(result.score);
  *verdict.mutable_failures() = told.failures();
  for (const baseline::Difference& difference : result.differences) {
    if (static_cast<size_t>(verdict.differences_size()) == kMostTold) {
      break;
    }
    v1::SnapshotDifference& added = *verdict.add_differences();
    added.set_code(std::string(difference.code));
    added.set_kind(std::string(baseline::ToString(difference.kind)));
    added.set_severity(std::string(snapshot::ToString(difference.severity)));
    added.set_extent(difference.extent);
    added.set_element(difference.element);
    added.set_expected(difference.expected);
    added.set_found(difference.found);
  }
  verdict.set_baseline(decision.reference);
  verdict.set_decision(decision.sequence);
  verdict.set_ear(decision.ear);
  verdict.set_genuine(decision.genuine);
  verdict.set_vm_uuid(decision.vm_uuid);
  verdict.set_other_run(result.other_run);
  verdict.set_compared(result.compared);
  return verdict;
}

}  // namespace

template <class Request, class Response, class Work>
grpc::ServerUnaryReactor* BaselinesService::Run(
    const grpc::CallbackServerContext& context, std::string_view method,
    const Request& request, Response* response, Work work) {
  return RunAuthorized(authorizer_,
                       fmt::format("vmattest.v1.Baselines/{}", method), context,
                       parts_.requests, request, response, std::move(work));
}

absl::StatusOr<BaselinesService::Caller> BaselinesService::CallerOf(
    const Authority& authority) {
  if (!authority.Is(Role::kHost)) {
    return Caller{"client:" + authority.identity(), std::nullopt};
  }
  const auto host = parts_.hosts.EnrolledHostOf(authority.identity());
  if (!host.ok()) {
    return Reasoned(host.status(),
                    {{absl::StatusCode::kNotFound, "HOST_NOT_ENROLLED"},
                     {absl::StatusCode::kFailedPrecondition, "HOST_STATE"}});
  }
  return Caller{"host:" + host->host_id, host->host_id};
}

grpc::ServerUnaryReactor* BaselinesService::PutBaseline(
    grpc::CallbackServerContext* context, const v1::PutBaselineRequest* request,
    v1::PutBaselineResponse* response) {
  return Run(
      *context, "PutBaseline", *request, response,
      [this](const Authority& authority, const v1::PutBaselineRequest& put)
          -> absl::StatusOr<v1::PutBaselineResponse> {
        const absl::StatusOr<BaselineBook::Put> stored =
            parts_.baselines.PutDocument(AsBytes(put.document()),
                                         ToBytes(put.pages()),
                                         MayOf(authority));
        if (!stored.ok()) {
          return BaselineReason(stored.status());
        }
        if (!stored->verdict.trusted()) {
          return Refusal(stored->verdict, "DOCUMENT_REFUSED");
        }
        v1::PutBaselineResponse wire;
        wire.set_name(stored->baseline.name);
        wire.set_revision(stored->baseline.revision);
        return wire;
      });
}

grpc::ServerUnaryReactor* BaselinesService::ListBaselines(
    grpc::CallbackServerContext* context,
    const v1::ListBaselinesRequest* request,
    v1::ListBaselinesResponse* response) {
  return Run(*context, "ListBaselines", *request, response,
             [this](const Authority& authority, const v1::ListBaselinesRequest&)
                 -> absl::StatusOr<v1::ListBaselinesResponse> {
               ASSIGN_OR_RETURN(const std::vector<BaselineEntry> baselines,
                                parts_.baselines.List(MayOf(authority)));
               v1::ListBaselinesResponse wire;
               for (const BaselineEntry& entry : baselines) {
                 *wire.add_baselines() = ToWire(entry);
               }
               return wire;
             });
}

grpc::ServerUnaryReactor* BaselinesService::GetBaseline(
    grpc::CallbackServerContext* context, const v1::GetBaselineRequest* request,
    v1::GetBaselineResponse* response) {
  return Run(
      *context, "GetBaseline", *request, response,
      [this](const Authority& authority, const v1::GetBaselineRequest& get)
          -> absl::StatusOr<v1::GetBaselineResponse> {
        const absl::StatusOr<BaselineEntry> entry =
            parts_.baselines.Get(get.name(), get.revision(), MayOf(authority));
        if (!entry.ok()) {
          return BaselineReason(entry.status());
        }
        v1::GetBaselineResponse wire;
        wire.set_document(ToField(entry->document));
        if (get.with_pages()) {
          ASSIGN_OR_RETURN(const Bytes pages, parts_.baselines.Pages(*entry));
          wire.set_pages(ToField(pages));
        }
        return wire;
      });
}

absl::StatusOr<v1::BeginComparisonResponse> BaselinesService::DoBegin(
    const Authority& authority, const v1::BeginComparisonRequest& request) {
  ASSIGN_OR_RETURN(const Caller caller, CallerOf(authority));
  SnapshotComparer::Request wanted{
      .evidence = ToBytes(request.evidence()),
      .guest_report = ToBytes(request.guest_report()),
      .caller = caller.name,
      .may = MayOf(authority),
      .host_id = caller.host_id};
  ASSIGN_OR_RETURN(wanted.nonce, DemandedNonce(request.nonce()));
  const absl::StatusOr<SnapshotComparer::Begun> begun =
      parts_.comparer.Begin(wanted);
  if (!begun.ok()) {
    return ComparisonReason(begun.status());
  }
  v1::BeginComparisonResponse wire;
  wire.set_comparison(ToField(begun->comparison));
  wire.set_baseline(ToField(begun->baseline));
  if (begun->result) {
    *wire.mutable_verdict() = ToWire(*begun->result);
  }
  return wire;
}

grpc::ServerUnaryReactor* BaselinesService::BeginComparison(
    grpc::CallbackServerContext* context,
    const v1::BeginComparisonRequest* request,
    v1::BeginComparisonResponse* response) {
  return Run(*context, "BeginComparison", *request, response,
             [this](const Authority& authority,
                    const v1::BeginComparisonRequest& begin) {
               return DoBegin(authority, begin);
             });
}

absl::StatusOr<v1::ReadNodesResponse> BaselinesService::DoReadNodes(
    const Authority& authority, const v1::ReadNodesRequest& request) {
  ASSIGN_OR_RETURN(const Caller caller, CallerOf(authority));
  const absl::StatusOr<std::shared_ptr<const LoadedBaseline>> baseline =
      parts_.comparer.BaselineOf(caller.name, AsBytes(request.comparison()));
  if (!baseline.ok()) {
    return ComparisonReason(baseline.status());
  }
  if (request.nodes_size() > kMaxRanges) {
    return absl::InvalidArgumentError("nodes: too many ranges");
  }
  std::vector<baseline::NodeRange> ranges;
  for (const v1::TreeNodes& nodes : request.nodes()) {
    ranges.push_back({nodes.level(), nodes.first(), nodes.count()});
  }
  const absl::StatusOr<Bytes> nodes = baseline::ReadNodes(
      **baseline, request.region(), ranges, request.prefix());
  if (!nodes.ok()) {
    return ComparisonReason(nodes.status());
  }
  v1::ReadNodesResponse wire;
  wire.set_nodes(ToField(*nodes));
  return wire;
}

grpc::ServerUnaryReactor* BaselinesService::ReadNodes(
    grpc::CallbackServerContext* context, const v1::ReadNodesRequest* request,
    v1::ReadNodesResponse* response) {
  return Run(
      *context, "ReadNodes", *request, response,
      [this](const Authority& authority, const v1::ReadNodesRequest& read) {
        return DoReadNodes(authority, read);
      });
}

grpc::ServerUnaryReactor* BaselinesService::ReadRecords(
    grpc::CallbackServerContext* context, const v1::ReadRecordsRequest* request,
    v1::ReadRecordsResponse* response) {
  return Run(
      *context, "ReadRecords", *request, response,
      [this](const Authority& authority, const v1::ReadRecordsRequest& read)
          -> absl::StatusOr<v1::ReadRecordsResponse> {
        ASSIGN_OR_RETURN(const Caller caller, CallerOf(authority));
        const auto baseline =
            parts_.comparer.BaselineOf(caller.name, AsBytes(read.comparison()));
        if (!baseline.ok()) {
          return ComparisonReason(baseline.status());
        }
        v1::ReadRecordsResponse wire;
        for (const evidence::StateRecord& record : (*baseline)->records()) {
          v1::StateRecord& added = *wire.add_records();
          added.set_name(record.name);
          added.set_text(record.text);
        }
        return wire;
      });
}

grpc::ServerUnaryReactor* BaselinesService::FinishComparison(
    grpc::CallbackServerContext* context,
    const v1::FinishComparisonRequest* request, v1::SnapshotVerdict* response) {
  return Run(*context, "FinishComparison", *request, response,
             [this](const Authority& authority,
                    const v1::FinishComparisonRequest& finish)
                 -> absl::StatusOr<v1::SnapshotVerdict> {
               ASSIGN_OR_RETURN(const Caller caller, CallerOf(authority));
               const absl::StatusOr<SnapshotComparer::Result> result =
                   parts_.comparer.Finish(caller.name,
                                          AsBytes(finish.comparison()),
                                          AsBytes(finish.delta()));
               if (!result.ok()) {
                 return ComparisonReason(result.status());
               }
               return ToWire(*result);
             });
}

}  // namespace vmattest::rpc
