#include "signing/remote/signer_server.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "signing/remote/signer_codec.h"
#include "wire/codec.h"

namespace vmattest::signing {
namespace {

constexpr size_t kMaxAdminCalls = 64;
constexpr std::chrono::hours kLongest{1};
// Whoever does not read for so long never will.
constexpr std::chrono::seconds kSending{30};

MonotonicTime Now() { return std::chrono::steady_clock::now(); }

MonotonicTime DeadlineOf(const internal::SignerRequest& request) {
  const std::chrono::milliseconds left(request.timeout_ms());
  return Now() + std::clamp<std::chrono::milliseconds>(
                     left, std::chrono::milliseconds(0), kLongest);
}

}  // namespace

SignerServer::SignerServer(ipc::Channel& channel, Signer& signer,
                           std::function<void()> stop)
    : channel_(channel),
      signer_(signer),
      stop_(std::move(stop)),
      admin_("signer-admin", 1, kMaxAdminCalls),
      sender_([this] { SendLoop(); }) {
  pthread_setname_np(sender_.native_handle(), "signer-reply");
}

SignerServer::~SignerServer() {
  admin_.Shutdown();
  {
    const MutexLock lock(mutex_);
    ending_ = true;
  }
  changed_.NotifyAll();
  sender_.join();
}

absl::Status SignerServer::Serve() {
  while (true) {
    ASSIGN_OR_RETURN(const ipc::Message message,
                     channel_.Receive(ipc::kNoDeadline));
    Request request;
    RETURN_IF_ERROR(FromIpcMessage(message, request));
    if (request.has_stop()) {
      admin_.Shutdown();
      stop_();
      Answer(request.id(), Reply());
      return absl::OkStatus();
    }
    Handle(request);
  }
}

void SignerServer::StateChanged() {
  {
    const MutexLock lock(mutex_);
    state_changed_ = true;
  }
  changed_.NotifyOne();
}

void SignerServer::Handle(const Request& request) {
  const uint64_t id = request.id();
  absl::Status status;
  switch (request.body_case()) {
    case Request::kSeal:
    case Request::kReadClock:
    case Request::kAppend:
    case Request::kCertifyLog:
      status = Start(request, DeadlineOf(request));
      break;
    default:
      status = admin_.Submit(
          [this, request] { Answer(request.id(), Administer(request)); });
      break;
  }
  if (!status.ok()) {
    Answer(id, status);
  }
}

absl::Status SignerServer::Start(const Request& request,
                                 MonotonicTime deadline) {
  const uint64_t id = request.id();
  // Encodes a value into the reply, or passes the error on.
  const auto answer = [this, id](const auto& value, auto encode) {
    Reply reply;
    if (value.ok()) {
      encode(*value, reply);
      Answer(id, std::move(reply));
    } else {
      Answer(id, value.status());
    }
  };
  if (request.has_seal()) {
    return signer_.Seal(
        request.seal().payload_type(), ToBytes(request.seal().payload()),
        deadline, [answer](const auto& signatures) {
          answer(signatures, [](const auto& value, Reply& reply) {
            Encode(value, *reply.mutable_signatures());
          });
        });
  }
  if (request.has_read_clock()) {
    return signer_.ReadClock(deadline, [answer](const auto& clock) {
      answer(clock, [](const TpmClock& value, Reply& reply) {
        Encode(value, *reply.mutable_clock());
      });
    });
  }
  if (request.has_append()) {
    ASSIGN_OR_RETURN(eventlog::HostEvent event,
                     eventlog::ParseHostEvent(request.append().event()));
    return signer_.Append(
        std::move(event), deadline, [answer](const auto& head) {
          answer(head, [](const eventlog::LogHead& value, Reply& reply) {
            Encode(value, *reply.mutable_log_head());
          });
        });
  }
  return signer_.CertifyLog(ToBytes(request.certify_log().nonce()), deadline,
                            [answer](const auto& anchor) {
                              answer(anchor,
                                     [](const auto& value, Reply& reply) {
                                       Encode(value, *reply.mutable_anchor());
                                     });
                            });
}

absl::StatusOr<internal::SignerReply> SignerServer::Administer(
    const Request& request) {
  Reply reply;
  if (request.has_rotate()) {
    ASSIGN_OR_RETURN(const KeyPurpose purpose,
                     ParsePurpose(request.rotate().purpose()));
    ASSIGN_OR_RETURN(const uint32_t epoch, signer_.RotateKey(purpose));
    reply.set_epoch(epoch);
  } else if (request.has_revoke()) {
    ASSIGN_OR_RETURN(const KeyPurpose purpose,
                     ParsePurpose(request.revoke().purpose()));
    RETURN_IF_ERROR(signer_.RevokeKey(purpose, request.revoke().epoch()));
  } else if (request.has_list_keys()) {
    ASSIGN_OR_RETURN(const auto keys, signer_.ListKeys());
    Encode(keys, *reply.mutable_keys());
  } else if (request.has_seal_status()) {
    ASSIGN_OR_RETURN(const auto status, signer_.GetSealStatus());
    Encode(status, *reply.mutable_seal_status());
  } else if (request.has_approve_boot()) {
    std::vector<evidence::SealApproval> approvals;
    for (const auto& message : request.approve_boot().approvals()) {
      ASSIGN_OR_RETURN(approvals.emplace_back(), Parse(message));
    }
    ASSIGN_OR_RETURN(
        const PqState state,
        signer_.ApproveBoot(std::move(approvals),
                            request.approve_boot().current_boot(),
                            request.approve_boot().revoke_older()));
    reply.set_pq_state(static_cast<uint32_t>(state));
  } else if (request.has_activate_credential()) {
    const auto& wanted = request.activate_credential();
    ASSIGN_OR_RETURN(
        const SecretBytes secret,
        signer_.ActivateCredential(ToBytes(wanted.credential_blob()),
                                   ToBytes(wanted.encrypted_secret())));
    EncodeSecret(secret, reply);
  } else if (request.has_re_enroll()) {
    ASSIGN_OR_RETURN(*reply.mutable_host_id(),
                     signer_.ReEnroll(request.re_enroll().host_id()));
  } else {
    return absl::InvalidArgumentError("the signer knows no such request");
  }
  return reply;
}

void SignerServer::Answer(uint64_t id, absl::StatusOr<Reply> reply) {
  Reply answer = reply.ok() ? *std::move(reply) : Reply();
  PutStatus(reply.status(), answer);
  answer.set_id(id);
  {
    const MutexLock lock(mutex_);
    replies_.push_back(std::move(answer));
  }
  changed_.NotifyOne();
}

internal::SignerReply SignerServer::StateReply() {
  const SignerState state = signer_.state();
  Reply reply;
  Encode(state, *reply.mutable_state());
  if (state.identity) {
    Bytes identity = wire::EncodeHostIdentity(*state.identity);
    if (identity != identity_sent_) {
      reply.mutable_state()->set_identity(identity.data(), identity.size());
      identity_sent_ = std::move(identity);
    }
  }
  return reply;
}

// A change of state goes out before the answers that came after it.
void SignerServer::SendLoop() {
  while (true) {
    std::deque<Reply> replies;
    bool state_changed = false;
    {
      const MutexLock lock(mutex_);
      while (replies_.empty() && !state_changed_ && !ending_) {
        changed_.Wait(mutex_);
      }
      if (replies_.empty() && !state_changed_) {
        return;
      }
      replies.swap(replies_);
      state_changed = std::exchange(state_changed_, false);
    }
    if (state_changed) {
      replies.push_front(StateReply());
    }
    const SignerStats stats = signer_.stats();
    for (Reply& reply : replies) {
      reply.mutable_stats()->set_quotes(stats.quotes);
      reply.mutable_stats()->set_sealed(stats.sealed);
      const absl::Status sent =
          channel_.Send(ToIpcMessage(reply), Now() + kSending);
      if (absl::IsInvalidArgument(sent)) {  // too large: say so instead
        Reply refusal;
        refusal.set_id(reply.id());
        PutStatus(absl::ResourceExhaustedError("the answer is too large"),
                  refusal);
        (void)channel_.Send(ToIpcMessage(refusal), Now() + kSending);
      } else if (!sent.ok()) {
        channel_.Close();  // Serve() ends, too
      }
    }
  }
}

}  // namespace vmattest::signing
