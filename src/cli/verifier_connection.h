#ifndef VMATTEST_CLI_VERIFIER_CONNECTION_H_
#define VMATTEST_CLI_VERIFIER_CONNECTION_H_

#include <chrono>
#include <memory>

#include "cli/connection.h"
#include "grpcpp/client_context.h"
#include "rpc/status/status_mapping.h"

namespace vmattest::cli {

inline constexpr char kVerifierSocket[] = "/run/vmattest-verifierd/admin.sock";

// Where the verifier is; its own socket unless told otherwise.
struct VerifierArgs : ConnectionArgs {
  VerifierArgs() { socket = kVerifierSocket; }
};

// One unary call with the command's deadline. Errors carry the server's
// reason.
template <class Stub, class Request, class Response>
absl::StatusOr<Response> CallVerifier(
    const ConnectionArgs& args,
    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                 Response*),
    const Request& request, Stub& stub) {
  constexpr std::chrono::seconds kDefault{60};
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       (args.timeout.count() > 0 ? args.timeout : kDefault));
  Response response;
  if (const absl::Status called =
          rpc::FromGrpc((stub.*method)(&context, request, &response));
      !called.ok()) {
    return called;
  }
  return response;
}

}  // namespace vmattest::cli

#endif  // VMATTEST_CLI_VERIFIER_CONNECTION_H_
