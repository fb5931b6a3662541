#include "rpc/memory_service.h"

#include <algorithm>
#include <utility>

#include "baseline/guest_report.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "rpc/answer_stream.h"
#include "rpc/call_context.h"
#include "rpc/conversions.h"
#include "rpc/pumped_stream.h"

namespace vmattest::rpc {
namespace {

constexpr size_t kPiece = 256u << 10;
constexpr size_t kDefaultSnapshots = 100;
constexpr size_t kMaxSnapshots = 1000;

v1::SnapshotSummary ToWire(const capture::SnapshotRecord& record) {
  const evidence::StateStatement& statement = record.statement;
  v1::SnapshotSummary summary;
  summary.set_id(record.id);
  summary.set_vm_uuid(statement.header.vm_uuid);
  summary.set_vm_name(statement.header.vm_name);
  summary.set_policy_id(statement.policy_id);
  summary.set_policy_version(statement.policy_version);
  summary.set_policy_digest(std::string(AsText(statement.policy_digest)));
  summary.set_time_unix_ms(statement.header.time_unix_ms);
  summary.set_cause(statement.cause);
  summary.set_algorithm(static_cast<v1::HashAlgorithm>(statement.algorithm));
  summary.set_root(std::string(AsText(statement.root)));
  summary.set_consistency(statement.consistency);
  summary.set_pause_us(statement.pause_us);
  summary.set_reader(statement.reader);
  uint64_t pages = 0;
  uint64_t unreadable = 0;
  uint64_t torn = 0;
  for (const evidence::RegionState& region : statement.regions) {
    pages += region.pages;
    unreadable += region.unreadable_pages;
    torn += region.torn_pages;
  }
  summary.set_pages(pages);
  summary.set_unreadable_pages(unreadable);
  summary.set_torn_pages(torn);
  return summary;
}

template <class Request>
absl::StatusOr<capture::CaptureRequest> FromWire(const Request& request,
                                                 const std::string& policy) {
  RETURN_IF_ERROR(CheckVm(request.vm()));
  capture::CaptureRequest capture;
  capture.vm = request.vm();
  capture.policy = policy;
  ASSIGN_OR_RETURN(capture.nonce, Nonce(request.nonce()));
  return capture;
}

absl::Status AddGuestReport(const std::string& report,
                            capture::CaptureRequest& capture) {
  if (report.empty()) {
    return absl::OkStatus();
  }
  if (report.size() > baseline::kMaxGuestReport) {
    return absl::InvalidArgumentError(
        fmt::format("guest_report: {} bytes, at most {}", report.size(),
                    baseline::kMaxGuestReport));
  }
  Bytes nonce = Hash(HashAlgorithm::kSha256, AsBytes(report));
  if (!capture.nonce.empty() && capture.nonce != nonce) {
    return absl::InvalidArgumentError(
        "nonce: with a guest_report it is that report's SHA-256");
  }
  capture.nonce = std::move(nonce);
  capture.guest_report = ToBytes(report);
  return absl::OkStatus();
}

absl::Status CheckTimestamp(const v1::AttestStateRequest& request,
                            const MemoryService::Parts& parts) {
  const int64_t now = parts.clock.Now().time_since_epoch().count();
  const int64_t apart = request.timestamp_unix_ms() > now
                            ? request.timestamp_unix_ms() - now
                            : now - request.timestamp_unix_ms();
  if (apart > parts.tolerance.count() || apart < 0) {
    return WithReason(
        absl::InvalidArgumentError(fmt::format(
            "timestamp_unix_ms: {} ms from this host's clock, at most {}",
            apart, parts.tolerance.count())),
        {"TIMESTAMP_OUT_OF_WINDOW", {}});
  }
  return absl::OkStatus();
}

v1::AttestStateResponse ToResponse(const capture::CapturedSnapshot& captured) {
  const evidence::StateStatement& statement = captured.record.statement;
  v1::AttestStateResponse response;
  response.set_vm_uuid(statement.header.vm_uuid);
  response.set_timestamp_unix_ms(statement.header.time_unix_ms);
  response.set_algorithm(static_cast<v1::HashAlgorithm>(statement.algorithm));
  response.set_subset(
      snapshot::SubsetId(statement.policy_id, statement.policy_version));
  response.set_hash(std::string(AsText(statement.root)));
  response.set_evidence(captured.evidence.data(), captured.evidence.size());
  return response;
}

v1::EstimateSnapshotResponse ToResponse(
    const capture::StateEstimate& estimate) {
  v1::EstimateSnapshotResponse response;
  response.set_reader(estimate.reader);
  response.set_semantics(estimate.semantics);
  response.set_kernel_release(estimate.kernel_release);
  for (const snapshot::SelectedRegion& region : estimate.regions) {
    v1::RegionEstimate& added = *response.add_regions();
    added.set_name(region.name);
    added.set_bytes(region.bytes());
    added.set_parts(region.parts.size());
    added.set_unavailable(region.unavailable);
  }
  return response;
}

std::string TextOf(const snapshot::Policy::Reaction& reaction) {
  if (reaction.action == "alert" || reaction.below_score == 0) {
    return "alert";
  }
  return fmt::format("{} below {}, at most {} an hour{}", reaction.action,
                     reaction.below_score,
                     std::max(1U, reaction.at_most_per_hour),
                     reaction.dry_run ? " (dry run)" : "");
}

using SnapshotStream = AnswerStream<v1::GetSnapshotResponse>;

void SendPieces(SnapshotStream& stream, ByteView bytes, bool pages) {
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const ByteView piece =
        bytes.subspan(at, std::min(kPiece, bytes.size() - at));
    v1::GetSnapshotResponse response;
    if (pages) {
      response.set_pages(piece.data(), piece.size());
    } else {
      response.set_evidence(piece.data(), piece.size());
    }
    stream.Send(std::move(response), false);
  }
}

}  // namespace

absl::StatusOr<Authority> MemoryService::Authorize(
    const grpc::CallbackServerContext& context, std::string_view method) const {
  return authorizer_.Authorize(fmt::format("vmattest.v1.Memory/{}", method),
                               IdentitiesOf(*context.auth_context()));
}

absl::StatusOr<hypervisor::Domain> MemoryService::FindVm(
    const Authority& authority, const std::string& vm) {
  absl::StatusOr<hypervisor::Domain> domain = parts_.capturer.FindVm(vm);
  if (authority.allows_all_vms()) {
    return domain.ok() || !absl::IsNotFound(domain.status())
               ? domain
               : WithReason(domain.status(), {"VM_NOT_FOUND", {{"vm", vm}}});
  }
  const bool unknown = absl::IsNotFound(domain.status());
  if (unknown || (domain.ok() && !authority.AllowsVm(domain->uuid))) {
    return VmDenied(vm);
  }
  return domain;
}

void MemoryService::CaptureFor(const Authority& authority,
                               capture::CaptureRequest request,
                               capture::Capturer::Done done) {
  const absl::Status queued =
      parts_.requests.Submit([this, authority, request, done]() mutable {
        const auto vm = FindVm(authority, request.vm);
        if (!vm.ok()) {
          done(vm.status());
          return;
        }
        // The name may change hands meanwhile; the UUID was allowed.
        request.vm = ToString(vm->uuid);
        parts_.capturer.Capture(std::move(request), std::move(done));
      });
  if (!queued.ok()) {
    done(queued);
  }
}

grpc::ServerWriteReactor<v1::CaptureSnapshotResponse>*
MemoryService::CaptureSnapshot(grpc::CallbackServerContext* context,
                               const v1::CaptureSnapshotRequest* request) {
  const auto authority = Authorize(*context, "CaptureSnapshot");
  auto capture = FromWire(*request, request->policy());
  absl::Status checked = authority.ok() ? capture.status() : authority.status();
  if (checked.ok()) {
    checked = AddGuestReport(request->guest_report(), *capture);
  }
  if (!checked.ok()) {
    return RefuseStream<v1::CaptureSnapshotResponse>(checked);
  }
  auto stream = std::make_shared<AnswerStream<v1::CaptureSnapshotResponse>>();
  auto* reactor = stream->Start();
  capture->deadline = DeadlineOf(*context, parts_.clock);
  capture->cancelled = [stream] { return stream->cancelled(); };
  capture->progress = [stream](const capture::CaptureProgress& progress) {
    v1::CaptureSnapshotResponse response;
    v1::SnapshotProgress& told = *response.mutable_progress();
    told.set_phase(std::string(progress.phase));
    told.set_bytes_done(progress.bytes_done);
    told.set_bytes_total(progress.bytes_total);
    stream->Send(std::move(response), true);
  };
  CaptureFor(*authority, *std::move(capture),
             [stream](absl::StatusOr<capture::CapturedSnapshot> captured) {
               if (captured.ok()) {
                 v1::CaptureSnapshotResponse response;
                 v1::CapturedSnapshot& snapshot = *response.mutable_snapshot();
                 *snapshot.mutable_summary() = ToWire(captured->record);
                 snapshot.set_evidence(captured->evidence.data(),
                                       captured->evidence.size());
                 stream->Send(std::move(response), false);
               }
               stream->End(captured.status());
             });
  return reactor;
}

grpc::ServerWriteReactor<v1::GetSnapshotResponse>* MemoryService::GetSnapshot(
    grpc::CallbackServerContext* context,
    const v1::GetSnapshotRequest* request) {
  const auto authority = Authorize(*context, "GetSnapshot");
  const absl::Status checked = CheckVm(request->vm());
  if (!authority.ok() || !checked.ok()) {
    return RefuseStream<v1::GetSnapshotResponse>(
        authority.ok() ? checked : authority.status());
  }
  auto stream = std::make_shared<SnapshotStream>();
  auto* reactor = stream->Start();
  const absl::Status queued = parts_.requests.Submit(
      [this, stream, authority = *authority, request = *request] {
        const auto send = [&]() -> absl::Status {
          ASSIGN_OR_RETURN(const hypervisor::Domain vm,
                           FindVm(authority, request.vm()));
          capture::SnapshotStore& store = parts_.capturer.store();
          ASSIGN_OR_RETURN(const Bytes evidence,
                           store.Evidence(vm.uuid, request.id()));
          SendPieces(*stream, evidence, false);
          if (request.with_pages()) {
            ASSIGN_OR_RETURN(const Bytes pages,
                             store.Pages(vm.uuid, request.id()));
            SendPieces(*stream, pages, true);
          }
          return absl::OkStatus();
        };
        stream->End(send());
      });
  if (!queued.ok()) {
    stream->End(queued);
  }
  return reactor;
}

grpc::ServerUnaryReactor* MemoryService::ListSnapshots(
    grpc::CallbackServerContext* context,
    const v1::ListSnapshotsRequest* request,
    v1::ListSnapshotsResponse* response) {
  using Result = absl::StatusOr<v1::ListSnapshotsResponse>;
  const auto authority = Authorize(*context, "ListSnapshots");
  const absl::Status checked = CheckVm(request->vm());
  if (!authority.ok() || !checked.ok()) {
    return AnswerNow(response,
                     Result(authority.ok() ? checked : authority.status()));
  }
  const size_t limit =
      request->page_size() <= 0
          ? kDefaultSnapshots
          : std::min<size_t>(kMaxSnapshots,
                             static_cast<size_t>(request->page_size()));
  return RunOn(
      parts_.requests, response,
      [this, authority = *authority, vm = request->vm(), limit]() -> Result {
        ASSIGN_OR_RETURN(const hypervisor::Domain domain,
                         FindVm(authority, vm));
        ASSIGN_OR_RETURN(const auto records,
                         parts_.capturer.store().List(domain.uuid, limit));
        v1::ListSnapshotsResponse found;
        for (const capture::SnapshotRecord& record : records) {
          *found.add_snapshots() = ToWire(record);
        }
        return found;
      });
}

grpc::ServerUnaryReactor* MemoryService::AttestState(
    grpc::CallbackServerContext* context, const v1::AttestStateRequest* request,
    v1::AttestStateResponse* response) {
  auto [started, reactor] =
      PendingCall<v1::AttestStateResponse>::Start(response);
  const auto call = started;
  const auto authority = Authorize(*context, "AttestState");
  auto capture = FromWire(*request, request->subset());
  absl::Status checked = authority.ok() ? capture.status() : authority.status();
  if (checked.ok()) {
    checked = CheckTimestamp(*request, parts_);
  }
  if (checked.ok()) {
    const auto policy = parts_.capturer.FindPolicy(request->subset());
    if (!policy.ok()) {
      checked = WithReason(policy.status(), {"SUBSET_NOT_FOUND", {}});
    } else if (request->algorithm() != v1::HASH_ALGORITHM_UNSPECIFIED &&
               static_cast<int>(request->algorithm()) !=
                   static_cast<int>((*policy)->algorithm)) {
      checked = absl::InvalidArgumentError(
          fmt::format("algorithm: subset '{}' is hashed by {}",
                      request->subset(), ToString((*policy)->algorithm)));
    }
  }
  if (!checked.ok()) {
    call->Finish(checked);
    return reactor;
  }
  capture->deadline = DeadlineOf(*context, parts_.clock);
  capture->cancelled = [call] { return call->cancelled(); };
  CaptureFor(*authority, *std::move(capture),
             [call](absl::StatusOr<capture::CapturedSnapshot> captured) {
               if (captured.ok()) {
                 call->Finish(ToResponse(*captured));
               } else {
                 call->Finish(captured.status());
               }
             });
  return reactor;
}

grpc::ServerUnaryReactor* MemoryService::ListSnapshotPolicies(
    grpc::CallbackServerContext* context,
    const v1::ListSnapshotPoliciesRequest* /*request*/,
    v1::ListSnapshotPoliciesResponse* response) {
  using Result = absl::StatusOr<v1::ListSnapshotPoliciesResponse>;
  const auto authority = Authorize(*context, "ListSnapshotPolicies");
  if (!authority.ok()) {
    return AnswerNow(response, Result(authority.status()));
  }
  v1::ListSnapshotPoliciesResponse found;
  for (const snapshot::Policy& policy : parts_.capturer.policies()) {
    v1::SnapshotPolicySummary& summary = *found.add_policies();
    summary.set_id(policy.id);
    summary.set_version(policy.version);
    summary.set_digest(std::string(AsText(policy.digest)));
    summary.set_description(policy.description);
    summary.set_reaction(TextOf(policy.reaction));
  }
  return AnswerNow(response, Result(std::move(found)));
}

grpc::ServerUnaryReactor* MemoryService::EstimateSnapshot(
    grpc::CallbackServerContext* context,
    const v1::EstimateSnapshotRequest* request,
    v1::EstimateSnapshotResponse* response) {
  using Result = absl::StatusOr<v1::EstimateSnapshotResponse>;
  const auto authority = Authorize(*context, "EstimateSnapshot");
  const auto policy = snapshot::ParsePolicy(request->policy(), "policy");
  absl::Status checked = authority.status();
  if (checked.ok()) {
    checked = policy.ok() ? CheckVm(request->vm()) : policy.status();
  }
  if (!checked.ok()) {
    return AnswerNow(response, Result(checked));
  }
  return RunOn(
      parts_.requests, response,
      [this, authority = *authority, policy = *policy, vm = request->vm(),
       deadline = DeadlineOf(*context, parts_.clock)]() -> Result {
        ASSIGN_OR_RETURN(const hypervisor::Domain domain,
                         FindVm(authority, vm));
        ASSIGN_OR_RETURN(const capture::StateEstimate estimate,
                         parts_.capturer.Estimate(domain, policy, deadline));
        return ToResponse(estimate);
      });
}

ServiceMaker MemoryServices(const MemoryService::Parts& parts) {
  return [parts](const Authorizer& authorizer) {
    std::vector<ServedService> services;
    services.push_back(
        {.name = "vmattest.v1.Memory",
         .service = std::make_unique<MemoryService>(parts, authorizer),
         .needs = {"libvirt", "tpm"}});
    return services;
  };
}

}  // namespace vmattest::rpc
