#ifndef VMATTEST_RPC_CLIENT_TLS_CHANNEL_H_
#define VMATTEST_RPC_CLIENT_TLS_CHANNEL_H_

#include <filesystem>
#include <memory>
#include <string>

#include "base/status.h"
#include "grpcpp/channel.h"

namespace vmattest::rpc {

// As whom a daemon calls another: mutual TLS 1.3, PEM files that are read again
// within seconds of a change.
struct ClientTls {
  std::filesystem::path certificate;
  std::filesystem::path private_key;
  std::filesystem::path ca;  // of the other side
  // The name that its certificate must have; empty: the address's host.
  std::string server_name;
};

// Connects when it is first used, and again when it broke. Errors as
// CheckTlsFiles. Needs DemandTls13() first.
absl::StatusOr<std::shared_ptr<grpc::Channel>> TlsChannel(
    const std::string& address, const ClientTls& tls,
    size_t max_message_bytes = 32u << 20);

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_CLIENT_TLS_CHANNEL_H_
