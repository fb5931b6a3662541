#include "rpc/admin_service.h"
#include "rpc/conversions.h"
#include "rpc/status/status_mapping.h"
#include "wire/seal_approval.h"

// The part of AdminService that is about keys and sealed seeds.

namespace vmattest::rpc {
namespace {

constexpr int kMaxApprovalFiles = 64;

absl::StatusOr<KeyPurpose> Purpose(v1::KeyPurpose wire) {
  if (wire < v1::KEY_PURPOSE_CONFIG || wire > v1::KEY_PURPOSE_AUTHORIZATION) {
    return FieldError("purpose", "must be one of the six purposes");
  }
  return static_cast<KeyPurpose>(wire);
}

std::string_view ToString(tpm::KeyEpoch::State state) {
  switch (state) {
    case tpm::KeyEpoch::State::kActive:
      return "active";
    case tpm::KeyEpoch::State::kOverlap:
      return "overlap";
    case tpm::KeyEpoch::State::kRetired:
      return "retired";
    case tpm::KeyEpoch::State::kRevoked:
      return "revoked";
  }
  return "unknown";
}

std::string Field(ByteView bytes) { return std::string(AsText(bytes)); }

v1::KeyEpoch ToWire(const signing::Signer::KeyStatus& status) {
  v1::KeyEpoch wire;
  const evidence::KeyCertification& key = status.key.certification;
  wire.set_purpose(static_cast<v1::KeyPurpose>(key.purpose));
  wire.set_epoch(key.epoch);
  wire.set_state(std::string(ToString(status.key.state)));
  if (const auto name = evidence::NameOf(key.public_area); name.ok()) {
    wire.set_key_name(Field(*name));
  }
  wire.set_since_unix_ms(status.key.since_unix_ms);
  wire.set_pq_algorithm(status.pq_algorithm);
  wire.set_pq_key_id(Field(status.pq_key_id));
  return wire;
}

v1::GetSealStatusResponse ToWire(const signing::Signer::SealStatus& status) {
  v1::GetSealStatusResponse wire;
  wire.set_state(std::string(signing::ToString(status.state)));
  wire.set_detail(status.detail);
  wire.mutable_current()->set_bank(status.current.pcrs.bank);
  for (const auto& [index, value] : status.current.pcrs.values) {
    v1::PcrValue* pcr = wire.mutable_current()->add_values();
    pcr->set_index(index);
    pcr->set_value(Field(value));
  }
  wire.set_seal_authority(Field(status.authority));
  wire.set_counter(status.current.counter);
  wire.set_approvals(status.approvals);
  wire.set_counter_name(Field(status.current.counter_name));
  return wire;
}

}  // namespace

grpc::ServerUnaryReactor* AdminService::ListKeys(
    grpc::CallbackServerContext* context, const v1::ListKeysRequest*,
    v1::ListKeysResponse* response) {
  return Run(*context, "ListKeys", response,
             [this]() -> absl::StatusOr<v1::ListKeysResponse> {
               ASSIGN_OR_RETURN(const auto keys, actions_.signer->ListKeys());
               v1::ListKeysResponse wire;
               for (const signing::Signer::KeyStatus& key : keys) {
                 *wire.add_keys() = ToWire(key);
               }
               return wire;
             });
}

grpc::ServerUnaryReactor* AdminService::RotateKey(
    grpc::CallbackServerContext* context, const v1::RotateKeyRequest* request,
    v1::RotateKeyResponse* response) {
  return Run(
      *context, "RotateKey", response,
      [this,
       wanted = request->purpose()]() -> absl::StatusOr<v1::RotateKeyResponse> {
        ASSIGN_OR_RETURN(const KeyPurpose purpose, Purpose(wanted));
        ASSIGN_OR_RETURN(const uint32_t epoch,
                         actions_.signer->RotateKey(purpose));
        v1::RotateKeyResponse wire;
        wire.set_epoch(epoch);
        return wire;
      });
}

grpc::ServerUnaryReactor* AdminService::RevokeKey(
    grpc::CallbackServerContext* context, const v1::RevokeKeyRequest* request,
    v1::RevokeKeyResponse* response) {
  return Run(
      *context, "RevokeKey", response,
      [this, wanted = request->purpose(),
       epoch = request->epoch()]() -> absl::StatusOr<v1::RevokeKeyResponse> {
        ASSIGN_OR_RETURN(const KeyPurpose purpose, Purpose(wanted));
        RETURN_IF_ERROR(actions_.signer->RevokeKey(purpose, epoch));
        return v1::RevokeKeyResponse();
      });
}

grpc::ServerUnaryReactor* AdminService::GetSealStatus(
    grpc::CallbackServerContext* context, const v1::GetSealStatusRequest*,
    v1::GetSealStatusResponse* response) {
  return Run(*context, "GetSealStatus", response,
             [this]() -> absl::StatusOr<v1::GetSealStatusResponse> {
               ASSIGN_OR_RETURN(const signing::Signer::SealStatus status,
                                actions_.signer->GetSealStatus());
               v1::GetSealStatusResponse wire = ToWire(status);
               if (const auto state = actions_.signer->state();
                   state.identity) {
                 wire.set_host_id(state.identity->host_id);
               }
               return wire;
             });
}

grpc::ServerUnaryReactor* AdminService::ApproveBoot(
    grpc::CallbackServerContext* context, const v1::ApproveBootRequest* request,
    v1::ApproveBootResponse* response) {
  return Run(
      *context, "ApproveBoot", response,
      [this, request = *request]() -> absl::StatusOr<v1::ApproveBootResponse> {
        if (request.approvals_size() > kMaxApprovalFiles) {
          return FieldError("approvals", "are more than 64 files");
        }
        std::vector<evidence::SealApproval> approvals;
        for (const std::string& file : request.approvals()) {
          ASSIGN_OR_RETURN(auto parsed, wire::SealApprovalsFromJson(file));
          std::move(parsed.begin(), parsed.end(),
                    std::back_inserter(approvals));
        }
        if (approvals.empty() && !request.current_boot() &&
            !request.revoke_older()) {
          return FieldError("approvals",
                            "are none, and neither current_boot nor "
                            "revoke_older is set");
        }
        ASSIGN_OR_RETURN(const signing::PqState state,
                         actions_.signer->ApproveBoot(std::move(approvals),
                                                      request.current_boot(),
                                                      request.revoke_older()));
        v1::ApproveBootResponse wire;
        wire.set_state(std::string(signing::ToString(state)));
        return wire;
      });
}

grpc::ServerUnaryReactor* AdminService::ReEnroll(
    grpc::CallbackServerContext* context, const v1::ReEnrollRequest* request,
    v1::ReEnrollResponse* response) {
  return Run(
      *context, "ReEnroll", response,
      [this,
       host_id = request->host_id()]() -> absl::StatusOr<v1::ReEnrollResponse> {
        ASSIGN_OR_RETURN(const std::string made,
                         actions_.signer->ReEnroll(host_id));
        v1::ReEnrollResponse wire;
        wire.set_host_id(made);
        return wire;
      });
}

}  // namespace vmattest::rpc
