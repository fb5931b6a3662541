#include <future>
#include <utility>

#include "signing/remote/remote_signer.h"
#include "signing/remote/signer_codec.h"

// Each call of Signer as a request, and its reply as what the caller wants.

namespace vmattest::signing {
namespace {

absl::Status WrongAnswer() {
  return absl::DataLossError("the signer answered another question");
}

}  // namespace

absl::Status RemoteSigner::Seal(std::string payload_type, Bytes payload,
                                MonotonicTime deadline, SealDone done) {
  Request request;
  request.mutable_seal()->set_payload_type(std::move(payload_type));
  request.mutable_seal()->set_payload(payload.data(), payload.size());
  return Enqueue(std::move(request), deadline, Again::kYes,
                 [done = std::move(done)](absl::StatusOr<Reply> reply) {
                   if (!reply.ok()) {
                     done(reply.status());
                   } else if (!reply->has_signatures()) {
                     done(WrongAnswer());
                   } else {
                     done(Parse(reply->signatures()));
                   }
                 });
}

absl::Status RemoteSigner::ReadClock(MonotonicTime deadline, ClockDone done) {
  Request request;
  request.mutable_read_clock();
  return Enqueue(std::move(request), deadline, Again::kYes,
                 [done = std::move(done)](absl::StatusOr<Reply> reply) {
                   if (!reply.ok()) {
                     done(reply.status());
                   } else if (!reply->has_clock()) {
                     done(WrongAnswer());
                   } else {
                     done(Parse(reply->clock()));
                   }
                 });
}

absl::Status RemoteSigner::Append(eventlog::HostEvent event,
                                  MonotonicTime deadline, AppendDone done) {
  Request request;
  request.mutable_append()->set_event(eventlog::EncodeHostEvent(event));
  return Enqueue(std::move(request), deadline, Again::kYes,
                 [done = std::move(done)](absl::StatusOr<Reply> reply) {
                   if (!reply.ok()) {
                     done(reply.status());
                   } else if (!reply->has_log_head()) {
                     done(WrongAnswer());
                   } else {
                     done(Parse(reply->log_head()));
                   }
                 });
}

absl::Status RemoteSigner::CertifyLog(Bytes nonce, MonotonicTime deadline,
                                      CertifyDone done) {
  Request request;
  request.mutable_certify_log()->set_nonce(nonce.data(), nonce.size());
  return Enqueue(std::move(request), deadline, Again::kYes,
                 [done = std::move(done)](absl::StatusOr<Reply> reply) {
                   if (!reply.ok()) {
                     done(reply.status());
                   } else if (!reply->has_anchor()) {
                     done(WrongAnswer());
                   } else {
                     done(Parse(reply->anchor()));
                   }
                 });
}

absl::StatusOr<internal::SignerReply> RemoteSigner::CallAndWait(
    Request request) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<Reply>>>();
  std::future<absl::StatusOr<Reply>> answer = promise->get_future();
  RETURN_IF_ERROR(
      Enqueue(std::move(request),
              std::chrono::steady_clock::now() + options_.admin_timeout,
              Again::kNo, [promise](absl::StatusOr<Reply> reply) {
                promise->set_value(std::move(reply));
              }));
  return answer.get();
}

absl::StatusOr<std::vector<Signer::KeyStatus>> RemoteSigner::ListKeys() {
  Request request;
  request.mutable_list_keys();
  ASSIGN_OR_RETURN(const Reply reply, CallAndWait(std::move(request)));
  return reply.has_keys() ? Parse(reply.keys()) : WrongAnswer();
}

absl::StatusOr<uint32_t> RemoteSigner::RotateKey(KeyPurpose purpose) {
  Request request;
  request.mutable_rotate()->set_purpose(static_cast<v1::KeyPurpose>(purpose));
  ASSIGN_OR_RETURN(const Reply reply, CallAndWait(std::move(request)));
  if (reply.body_case() != Reply::kEpoch) {
    return WrongAnswer();
  }
  return reply.epoch();
}

absl::Status RemoteSigner::RevokeKey(KeyPurpose purpose, uint32_t epoch) {
  Request request;
  request.mutable_revoke()->set_purpose(static_cast<v1::KeyPurpose>(purpose));
  request.mutable_revoke()->set_epoch(epoch);
  return CallAndWait(std::move(request)).status();
}

absl::StatusOr<Signer::SealStatus> RemoteSigner::GetSealStatus() {
  Request request;
  request.mutable_seal_status();
  ASSIGN_OR_RETURN(const Reply reply, CallAndWait(std::move(request)));
  return reply.has_seal_status() ? Parse(reply.seal_status()) : WrongAnswer();
}

absl::StatusOr<PqState> RemoteSigner::ApproveBoot(
    std::vector<evidence::SealApproval> approvals, bool current_boot,
    bool revoke_older) {
  Request request;
  internal::SignerRequest::ApproveBoot& wanted =
      *request.mutable_approve_boot();
  for (const evidence::SealApproval& approval : approvals) {
    Encode(approval, *wanted.add_approvals());
  }
  wanted.set_current_boot(current_boot);
  wanted.set_revoke_older(revoke_older);
  ASSIGN_OR_RETURN(const Reply reply, CallAndWait(std::move(request)));
  if (reply.body_case() != Reply::kPqState) {
    return WrongAnswer();
  }
  return ParsePqState(reply.pq_state());
}

absl::StatusOr<SecretBytes> RemoteSigner::ActivateCredential(
    const Bytes& credential_blob, const Bytes& encrypted_secret) {
  Request request;
  internal::SignerRequest::ActivateCredential& wanted =
      *request.mutable_activate_credential();
  wanted.set_credential_blob(credential_blob.data(), credential_blob.size());
  wanted.set_encrypted_secret(encrypted_secret.data(), encrypted_secret.size());
  ASSIGN_OR_RETURN(Reply reply, CallAndWait(std::move(request)));
  if (reply.body_case() != Reply::kSecret) {
    return WrongAnswer();
  }
  return ParseSecret(reply);
}

absl::StatusOr<std::string> RemoteSigner::ReEnroll(const std::string& host_id) {
  Request request;
  request.mutable_re_enroll()->set_host_id(host_id);
  ASSIGN_OR_RETURN(const Reply reply, CallAndWait(std::move(request)));
  if (reply.body_case() != Reply::kHostId) {
    return WrongAnswer();
  }
  return reply.host_id();
}

}  // namespace vmattest::signing
