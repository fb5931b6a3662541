#ifndef VMATTEST_CLI_CALL_COMMAND_H_
#define VMATTEST_CLI_CALL_COMMAND_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/connection.h"
#include "grpcpp/channel.h"

namespace vmattest::cli {

struct CallArgs {
  ConnectionArgs connection;
  std::string method;    // SERVICE/METHOD, or "list", or "describe"
  std::string argument;  // JSON; of describe the symbol, of list a service
  std::vector<std::string> headers;  // "name: value"
};

// `vmattest call`: any method of the daemon by name, through its reflection,
// for hosts without grpcurl. Prints one JSON object a message. Exit code.
int RunCall(const CallArgs& args);

// The same with any channel and printer.
// INVALID_ARGUMENT: JSON that is not the request's; the server's own errors.
absl::Status CallByName(const std::shared_ptr<grpc::Channel>& channel,
                        const CallArgs& args,
                        const std::function<void(const std::string&)>& print);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_CALL_COMMAND_H_
