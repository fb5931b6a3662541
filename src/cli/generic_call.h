#ifndef VMATTEST_CLI_GENERIC_CALL_H_
#define VMATTEST_CLI_GENERIC_CALL_H_

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "grpcpp/channel.h"

namespace vmattest::cli {

struct CallOptions {
  std::chrono::system_clock::time_point deadline;
  std::multimap<std::string, std::string> headers;
};

// Calls any method by its name with one serialised request and gives each
// serialised response to `on_response`, whose error ends the call. Blocks.
// Errors carry the server's reason.
absl::Status GenericCall(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
    const std::string& request, const CallOptions& options,
    const std::function<absl::Status(const std::string&)>& on_response);

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_GENERIC_CALL_H_
