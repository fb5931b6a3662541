#ifndef VMATTEST_CLI_CONNECTION_H_
#define VMATTEST_CLI_CONNECTION_H_

#include <chrono>
#include <memory>
#include <string>

#include "base/status.h"
#include "grpcpp/channel.h"

namespace vmattest::cli {

inline constexpr char kDefaultSocket[] = "/run/vmattest/admin.sock";

// Where the daemon is: a Unix socket, or an address with mutual TLS.
struct ConnectionArgs {
  std::string socket = kDefaultSocket;
  std::string address;  // HOST:PORT; with it the socket is not used
  std::string certificate;
  std::string private_key;
  std::string authority;  // PEM authorities of the server's certificate
  std::chrono::seconds timeout{0};  // of a call; 0: the command's own
};

// A channel; nothing is connected yet. INVALID_ARGUMENT: an address without
// all three files. NOT_FOUND, PERMISSION_DENIED: one of them.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(
    const ConnectionArgs& args);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_CONNECTION_H_
