#include "rpc/verifier_service.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "rpc/call_context.h"
#include "rpc/pumped_stream.h"
#include "rpc/run_authorized.h"
#include "rpc/verifier_conversions.h"
#include "wire/messages.h"

namespace vmattest::rpc {
namespace {

using verification::Appraiser;
using verification::DecisionEntry;
using verification::OrderBook;
using verification::ReferenceBook;
using verification::ReferenceEntry;

constexpr int32_t kDefaultDecisions = 100;
constexpr int32_t kMaxDecisions = 1000;
constexpr uint32_t kDefaultSimulated = 1000;
constexpr uint32_t kMaxSimulated = 100'000;
constexpr size_t kMaxName = 63;
constexpr int kMaxAskedVms = 4096;

absl::Status ReferenceReason(absl::Status status) {
  return Reasoned(
      std::move(status),
      {{absl::StatusCode::kNotFound, "REFERENCE_NOT_FOUND"},
       {absl::StatusCode::kAlreadyExists, "VM_HAS_REFERENCE"},
       {absl::StatusCode::kPermissionDenied, "VM_DENIED"},
       {absl::StatusCode::kFailedPrecondition, "REFERENCE_REVISION"},
       {absl::StatusCode::kInvalidArgument, "REFERENCE_INVALID"}});
}

absl::Status OrderReason(absl::Status status) {
  return Reasoned(std::move(status),
                  {{absl::StatusCode::kAlreadyExists, "ORDER_KNOWN"},
                   {absl::StatusCode::kPermissionDenied, "VM_DENIED"},
                   {absl::StatusCode::kResourceExhausted, "TOO_MANY_ORDERS"},
                   {absl::StatusCode::kInvalidArgument, "ORDER_INVALID"}});
}

absl::Status AppraiseReason(absl::Status status) {
  return Reasoned(std::move(status),
                  {{absl::StatusCode::kPermissionDenied, "VM_DENIED"},
                   {absl::StatusCode::kFailedPrecondition, "CANNOT_APPRAISE"}});
}

absl::Status HostStateReason(absl::Status status) {
  return Reasoned(std::move(status),
                  {{absl::StatusCode::kNotFound, "HOST_NOT_ENROLLED"},
                   {absl::StatusCode::kFailedPrecondition, "HOST_STATE"}});
}

absl::StatusOr<std::string> AllowedVm(const Authority& authority,
                                      const std::string& field) {
  ASSIGN_OR_RETURN(std::string vm_uuid, VmUuid(field, false));
  if (!MayOf(authority)(vm_uuid)) {
    return VmDenied(field);
  }
  return vm_uuid;
}

}  // namespace

template <class Request, class Response, class Work>
grpc::ServerUnaryReactor* VerifierService::Run(
    const grpc::CallbackServerContext& context, std::string_view method,
    const Request& request, Response* response, Work work) {
  return RunAuthorized(authorizer_,
                       fmt::format("vmattest.v1.Verifier/{}", method), context,
                       parts_.requests, request, response, std::move(work));
}

absl::StatusOr<v1::AppraiseResponse> VerifierService::DoAppraise(
    const Authority& authority, const v1::AppraiseRequest& request) {
  Appraiser::Request wanted{.evidence = ToBytes(request.evidence()),
                            .post_quantum = request.post_quantum(),
                            .may = MayOf(authority)};
  ASSIGN_OR_RETURN(wanted.nonce, DemandedNonce(request.nonce()));
  ASSIGN_OR_RETURN(wanted.vm_uuid, VmUuid(request.vm_uuid(), true));
  if (authority.Is(Role::kHost)) {
    const auto host = parts_.hosts.EnrolledHostOf(authority.identity());
    if (!host.ok()) {
      return HostStateReason(host.status());
    }
    wanted.host_id = host->host_id;
  } else if (!wanted.vm_uuid.empty() && !wanted.may(wanted.vm_uuid)) {
    return VmDenied(request.vm_uuid());
  }
  const absl::StatusOr<Appraiser::Result> result =
      parts_.appraiser.Appraise(wanted);
  if (!result.ok()) {
    return AppraiseReason(result.status());
  }
  return ToWire(*result);
}

grpc::ServerUnaryReactor* VerifierService::Appraise(
    grpc::CallbackServerContext* context, const v1::AppraiseRequest* request,
    v1::AppraiseResponse* response) {
  return Run(
      *context, "Appraise", *request, response,
      [this](const Authority& authority, const v1::AppraiseRequest& appraise) {
        return DoAppraise(authority, appraise);
      });
}

grpc::ServerUnaryReactor* VerifierService::GetVerificationKeys(
    grpc::CallbackServerContext* context,
    const v1::GetVerificationKeysRequest* request,
    v1::GetVerificationKeysResponse* response) {
  return Run(*context, "GetVerificationKeys", *request, response,
             [this](const Authority&, const v1::GetVerificationKeysRequest&)
                 -> absl::StatusOr<v1::GetVerificationKeysResponse> {
               v1::GetVerificationKeysResponse wire;
               wire.set_jwk_set(parts_.appraiser.JwkSet());
               return wire;
             });
}

grpc::ServerUnaryReactor* VerifierService::RequestAttestation(
    grpc::CallbackServerContext* context,
    const v1::RequestAttestationRequest* request,
    v1::AppraiseResponse* response) {
  const MonotonicTime deadline = DeadlineOf(*context, parts_.clock);
  return Run(*context, "RequestAttestation", *request, response,
             [this, deadline](const Authority& authority,
                              const v1::RequestAttestationRequest& demand)
                 -> absl::StatusOr<v1::AppraiseResponse> {
               Appraiser::Demand wanted{.post_quantum = demand.post_quantum(),
                                        .may = MayOf(authority),
                                        .deadline = deadline};
               ASSIGN_OR_RETURN(wanted.vm_uuid,
                                AllowedVm(authority, demand.vm_uuid()));
               ASSIGN_OR_RETURN(wanted.nonce, DemandedNonce(demand.nonce()));
               const absl::StatusOr<Appraiser::Result> result =
                   parts_.appraiser.RequestAttestation(wanted);
               if (!result.ok()) {
                 return AppraiseReason(result.status());
               }
               return ToWire(*result);
             });
}

// A caller with few VMs is answered VM by VM, so that it can go on where a page
// ended.
absl::StatusOr<v1::ListDecisionsResponse> VerifierService::DoListDecisions(
    const Authority& authority, const v1::ListDecisionsRequest& request) {
  verification::DecisionQuery query;
  query.before_sequence = request.before_sequence();
  query.refused_only = request.refused_only();
  query.limit = static_cast<size_t>(
      request.page_size() <= 0 ? kDefaultDecisions
                               : std::min(request.page_size(), kMaxDecisions));
  std::vector<std::string> vms;
  if (!request.vm_uuid().empty()) {
    ASSIGN_OR_RETURN(std::string vm, AllowedVm(authority, request.vm_uuid()));
    vms.push_back(std::move(vm));
  } else if (authority.allows_all_vms()) {
    vms.emplace_back();
  } else {
    for (const Uuid& uuid : authority.vms()) {
      vms.push_back(ToString(uuid));
    }
  }
  std::vector<DecisionEntry> found;
  for (const std::string& vm : vms) {
    query.vm_uuid = vm;
    ASSIGN_OR_RETURN(std::vector<DecisionEntry> of_vm,
                     parts_.store.Decisions(query));
    std::move(of_vm.begin(), of_vm.end(), std::back_inserter(found));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.sequence > b.sequence;
  });
  found.resize(std::min(found.size(), query.limit));
  v1::ListDecisionsResponse wire;
  for (const DecisionEntry& decision : found) {
    *wire.add_decisions() = ToWire(decision);
  }
  return wire;
}

grpc::ServerUnaryReactor* VerifierService::ListDecisions(
    grpc::CallbackServerContext* context,
    const v1::ListDecisionsRequest* request,
    v1::ListDecisionsResponse* response) {
  return Run(
      *context, "ListDecisions", *request, response,
      [this](const Authority& authority, const v1::ListDecisionsRequest& list) {
        return DoListDecisions(authority, list);
      });
}

absl::StatusOr<v1::GetDecisionResponse> VerifierService::DoGetDecision(
    const Authority& authority, const v1::GetDecisionRequest& request) {
  ASSIGN_OR_RETURN(const std::optional<DecisionEntry> decision,
                   parts_.store.FindDecision(request.sequence()));
  // One of others and one that is not there look the same.
  if (!decision || !MayOf(authority)(decision->vm_uuid)) {
    return WithReason(
        absl::NotFoundError(fmt::format("no decision {}", request.sequence())),
        {"DECISION_NOT_FOUND", {}});
  }
  v1::GetDecisionResponse wire;
  *wire.mutable_decision() = ToWire(*decision);
  wire.mutable_decision()->set_ear(decision->ear);
  ASSIGN_OR_RETURN(const Bytes evidence,
                   parts_.store.FindEvidence(request.sequence()));
  wire.set_evidence(wire::ToField(evidence));
  return wire;
}

grpc::ServerUnaryReactor* VerifierService::GetDecision(
    grpc::CallbackServerContext* context, const v1::GetDecisionRequest* request,
    v1::GetDecisionResponse* response) {
  return Run(
      *context, "GetDecision", *request, response,
      [this](const Authority& authority, const v1::GetDecisionRequest& get) {
        return DoGetDecision(authority, get);
      });
}

AlertReactor* VerifierService::WatchAlerts(
    grpc::CallbackServerContext* context,
    const v1::WatchAlertsRequest* request) {
  auto authority =
      authorizer_.Authorize("vmattest.v1.Verifier/WatchAlerts",
                            IdentitiesOf(*context->auth_context()));
  if (!authority.ok()) {
    return RefuseStream<v1::WatchAlertsResponse>(authority.status());
  }
  return StartAlertStream(parts_, *request, *std::move(authority));
}

grpc::ServerUnaryReactor* VerifierService::PutReference(
    grpc::CallbackServerContext* context,
    const v1::PutReferenceRequest* request,
    v1::PutReferenceResponse* response) {
  return Run(
      *context, "PutReference", *request, response,
      [this](const Authority& authority, const v1::PutReferenceRequest& put)
          -> absl::StatusOr<v1::PutReferenceResponse> {
        const absl::StatusOr<ReferenceBook::Put> stored =
            parts_.references.PutDocument(AsBytes(put.document()),
                                          MayOf(authority));
        if (!stored.ok()) {
          return ReferenceReason(stored.status());
        }
        if (!stored->verdict.trusted()) {
          return Refusal(stored->verdict, "DOCUMENT_REFUSED");
        }
        v1::PutReferenceResponse wire;
        wire.set_name(stored->reference.name);
        wire.set_revision(stored->reference.revision);
        return wire;
      });
}

grpc::ServerUnaryReactor* VerifierService::ListReferences(
    grpc::CallbackServerContext* context,
    const v1::ListReferencesRequest* request,
    v1::ListReferencesResponse* response) {
  return Run(
      *context, "ListReferences", *request, response,
      [this](const Authority& authority, const v1::ListReferencesRequest&)
          -> absl::StatusOr<v1::ListReferencesResponse> {
        ASSIGN_OR_RETURN(const std::vector<ReferenceEntry> references,
                         parts_.references.List(MayOf(authority)));
        v1::ListReferencesResponse wire;
        for (const ReferenceEntry& reference : references) {
          *wire.add_references() = ToWire(reference);
        }
        return wire;
      });
}

grpc::ServerUnaryReactor* VerifierService::GetReference(
    grpc::CallbackServerContext* context,
    const v1::GetReferenceRequest* request,
    v1::GetReferenceResponse* response) {
  return Run(
      *context, "GetReference", *request, response,
      [this](const Authority& authority, const v1::GetReferenceRequest& get)
          -> absl::StatusOr<v1::GetReferenceResponse> {
        const absl::StatusOr<ReferenceEntry> reference =
            parts_.references.Get(get.name(), get.revision(), MayOf(authority));
        if (!reference.ok()) {
          return ReferenceReason(reference.status());
        }
        v1::GetReferenceResponse wire;
        wire.set_document(wire::ToField(reference->document));
        return wire;
      });
}

grpc::ServerUnaryReactor* VerifierService::LearnReference(
    grpc::CallbackServerContext* context,
    const v1::LearnReferenceRequest* request,
    v1::LearnReferenceResponse* response) {
  return Run(
      *context, "LearnReference", *request, response,
      [this](const Authority& authority, const v1::LearnReferenceRequest& learn)
          -> absl::StatusOr<v1::LearnReferenceResponse> {
        ASSIGN_OR_RETURN(const std::string vm,
                         AllowedVm(authority, learn.vm_uuid()));
        if (learn.name().empty() || learn.name().size() > kMaxName) {
          return FieldError("name", "must have 1 to 63 characters");
        }
        const absl::StatusOr<std::string> yaml =
            parts_.appraiser.Learn(vm, learn.name());
        if (!yaml.ok()) {
          return Reasoned(yaml.status(), {{absl::StatusCode::kNotFound,
                                           "EVIDENCE_NOT_FOUND"}});
        }
        v1::LearnReferenceResponse wire;
        wire.set_yaml(*yaml);
        return wire;
      });
}

absl::StatusOr<v1::SimulateResponse> VerifierService::DoSimulate(
    const Authority& authority, const v1::SimulateRequest& request,
    MonotonicTime deadline) {
  if (request.yaml().empty() == request.document().empty()) {
    return FieldError("yaml", "or document must be given, one of the two");
  }
  if (request.most() > kMaxSimulated) {
    return FieldError("most", fmt::format("is more than {}", kMaxSimulated));
  }
  reference::Reference proposed;
  if (!request.yaml().empty()) {
    absl::StatusOr<reference::Reference> parsed =
        reference::FromYaml(request.yaml());
    if (!parsed.ok()) {
      return ReferenceReason(parsed.status());
    }
    proposed = *std::move(parsed);
  } else {
    const absl::StatusOr<ReferenceBook::Opened> opened =
        parts_.references.OpenDocument(AsBytes(request.document()));
    if (!opened.ok()) {
      return ReferenceReason(opened.status());
    }
    if (!opened->verdict.trusted()) {
      return Refusal(opened->verdict, "DOCUMENT_REFUSED");
    }
    proposed = opened->reference;
  }
  ASSIGN_OR_RETURN(
      const Appraiser::Simulation simulation,
      parts_.appraiser.Simulate(
          proposed, request.most() == 0 ? kDefaultSimulated : request.most(),
          MayOf(authority), deadline));
  return ToWire(simulation);
}

grpc::ServerUnaryReactor* VerifierService::Simulate(
    grpc::CallbackServerContext* context, const v1::SimulateRequest* request,
    v1::SimulateResponse* response) {
  const MonotonicTime deadline = DeadlineOf(*context, parts_.clock);
  return Run(*context, "Simulate", *request, response,
             [this, deadline](const Authority& authority,
                              const v1::SimulateRequest& simulate) {
               return DoSimulate(authority, simulate, deadline);
             });
}

grpc::ServerUnaryReactor* VerifierService::PutBreakGlass(
    grpc::CallbackServerContext* context,
    const v1::PutBreakGlassRequest* request,
    v1::PutBreakGlassResponse* response) {
  return Run(
      *context, "PutBreakGlass", *request, response,
      [this](const Authority& authority, const v1::PutBreakGlassRequest& put)
          -> absl::StatusOr<v1::PutBreakGlassResponse> {
        const absl::StatusOr<OrderBook::Put> stored = parts_.orders.PutDocument(
            AsBytes(put.document()), MayOf(authority));
        if (!stored.ok()) {
          return OrderReason(stored.status());
        }
        if (!stored->verdict.trusted()) {
          return Refusal(stored->verdict, "DOCUMENT_REFUSED");
        }
        v1::PutBreakGlassResponse wire;
        wire.set_serial(wire::ToField(stored->order.serial));
        return wire;
      });
}

// A host that was revoked learns that, and the epoch that voids what it keeps.
absl::StatusOr<v1::GetHostPolicyResponse> VerifierService::DoGetHostPolicy(
    const Authority& authority, const v1::GetHostPolicyRequest& request) {
  const auto host = parts_.hosts.DecidedHostOf(authority.identity());
  if (!host.ok()) {
    return HostStateReason(host.status());
  }
  v1::GetHostPolicyResponse wire;
  ASSIGN_OR_RETURN(const Bytes record, parts_.hosts.RecordOf(*host));
  wire.set_host_record(wire::ToField(record));
  ASSIGN_OR_RETURN(const uint64_t epoch, parts_.store.RevocationEpoch());
  wire.set_revocation_epoch(epoch);
  wire.set_revoked(host->state == verification::HostEntry::State::kRevoked);
  if (wire.revoked()) {
    return wire;
  }
  if (request.vm_uuids_size() > kMaxAskedVms) {
    return FieldError("vm_uuids",
                      fmt::format("are more than {}", kMaxAskedVms));
  }
  std::vector<std::string> asked;
  for (const std::string& field : request.vm_uuids()) {
    ASSIGN_OR_RETURN(asked.emplace_back(), VmUuid(field, false));
  }
  ASSIGN_OR_RETURN(const std::vector<Bytes> references,
                   parts_.appraiser.ReferencesForHost(host->host_id, asked));
  for (const Bytes& document : references) {
    wire.add_references(wire::ToField(document));
  }
  ASSIGN_OR_RETURN(const std::vector<Bytes> orders,
                   parts_.orders.ForHost(host->host_id));
  for (const Bytes& document : orders) {
    wire.add_break_glass(wire::ToField(document));
  }
  return wire;
}

grpc::ServerUnaryReactor* VerifierService::GetHostPolicy(
    grpc::CallbackServerContext* context,
    const v1::GetHostPolicyRequest* request,
    v1::GetHostPolicyResponse* response) {
  return Run(
      *context, "GetHostPolicy", *request, response,
      [this](const Authority& authority, const v1::GetHostPolicyRequest& get) {
        return DoGetHostPolicy(authority, get);
      });
}

}  // namespace vmattest::rpc
