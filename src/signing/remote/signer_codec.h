#ifndef VMATTEST_SIGNING_REMOTE_SIGNER_CODEC_H_
#define VMATTEST_SIGNING_REMOTE_SIGNER_CODEC_H_

#include <string>
#include <vector>

#include "ipc/channel.h"
#include "signing/signer.h"
#include "vmattest/internal/signer.pb.h"

// Between the signer's values and the messages of
// proto/vmattest/internal/signer.proto. What comes is checked as if the other
// process were not ours: INVALID_ARGUMENT names the field. Pure; any thread.

namespace vmattest::signing {

inline constexpr size_t kMaxSignerMessage = 8U << 20;

ipc::Message ToIpcMessage(const google::protobuf::MessageLite& message);
// DATA_LOSS: no such message, or descriptors come with it.
absl::Status FromIpcMessage(const ipc::Message& bytes,
                            google::protobuf::MessageLite& message);

// The code and text of a reply, both ways.
void PutStatus(const absl::Status& status, internal::SignerReply& reply);
absl::Status GetStatus(int code, const std::string& message);

void Encode(const std::vector<evidence::Signature>& signatures,
            internal::SignerReply::Signatures& message);
absl::StatusOr<std::vector<evidence::Signature>> Parse(
    const internal::SignerReply::Signatures& message);

void Encode(const TpmClock& clock, v1::TpmClock& message);
TpmClock Parse(const v1::TpmClock& message);

void Encode(const eventlog::LogHead& head,
            internal::SignerReply::LogHead& message);
absl::StatusOr<eventlog::LogHead> Parse(
    const internal::SignerReply::LogHead& message);

void Encode(const evidence::AnchorCertification& anchor,
            v1::AnchorCertification& message);
evidence::AnchorCertification Parse(const v1::AnchorCertification& message);

void Encode(const std::vector<Signer::KeyStatus>& keys,
            internal::SignerReply::Keys& message);
absl::StatusOr<std::vector<Signer::KeyStatus>> Parse(
    const internal::SignerReply::Keys& message);

void Encode(const Signer::SealStatus& status,
            internal::SignerReply::SealStatus& message);
absl::StatusOr<Signer::SealStatus> Parse(
    const internal::SignerReply::SealStatus& message);

void Encode(const evidence::SealApproval& approval,
            internal::SealApproval& message);
absl::StatusOr<evidence::SealApproval> Parse(
    const internal::SealApproval& message);

// The message's copy is wiped; those on its way through the socket are not.
void EncodeSecret(const SecretBytes& secret, internal::SignerReply& reply);
absl::StatusOr<SecretBytes> ParseSecret(internal::SignerReply& reply);

absl::StatusOr<KeyPurpose> ParsePurpose(v1::KeyPurpose purpose);
absl::StatusOr<PqState> ParsePqState(uint32_t number);

// `identity` stays out of the message.
void Encode(const SignerState& state, internal::SignerReply::State& message);
// The identity is that of `before` if the message has none.
absl::StatusOr<SignerState> Parse(const internal::SignerReply::State& message,
                                  const SignerState& before);

}  // namespace vmattest::signing

#endif  // VMATTEST_SIGNING_REMOTE_SIGNER_CODEC_H_
