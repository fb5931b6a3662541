#ifndef VMATTEST_RPC_CLIENT_HOST_ENROLLER_H_
#define VMATTEST_RPC_CLIENT_HOST_ENROLLER_H_

#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/status.h"
#include "grpcpp/channel.h"
#include "signing/signer.h"

namespace vmattest::rpc {

// The host's side of enrolment: makes itself known to a verifier, and tells it
// of new keys. One thread at a time.
class HostEnroller {
 public:
  // `signer` and `clock` must outlive it. `channel` as from TlsChannel, with
  // the host's certificate.
  HostEnroller(signing::Signer& signer, std::shared_ptr<grpc::Channel> channel,
               const Clock& clock)
      : signer_(signer), channel_(std::move(channel)), clock_(clock) {}
  HostEnroller(const HostEnroller&) = delete;
  HostEnroller& operator=(const HostEnroller&) = delete;

  // Does what there is to do: nothing within an hour of a success with the same
  // identity, nothing within a minute of a failure. Blocks until `limit`.
  //   OK: the verifier knows this identity. UNAVAILABLE: TPM or verifier is
  //   away. FAILED_PRECONDITION, ALREADY_EXISTS, PERMISSION_DENIED: an operator
  //   of the verifier has to act; the message says why.
  absl::Status Try(std::chrono::milliseconds limit);

 private:
  absl::Status Tell(const Bytes& identity, std::chrono::milliseconds limit);
  absl::Status Enroll(const Bytes& identity, std::chrono::milliseconds limit);

  signing::Signer& signer_;
  const std::shared_ptr<grpc::Channel> channel_;
  const Clock& clock_;
  Bytes told_;  // the identity of the last try
  std::optional<MonotonicTime> next_;
  absl::Status last_ = absl::UnavailableError("has not been tried yet");
};

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CLIENT_HOST_ENROLLER_H_
