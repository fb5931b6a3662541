#ifndef VMATTEST_RPC_RUN_AUTHORIZED_H_
#define VMATTEST_RPC_RUN_AUTHORIZED_H_

#include <string_view>
#include <utility>

#include "base/executor.h"
#include "grpcpp/support/server_callback.h"
#include "rpc/authorizer.h"
#include "rpc/call_context.h"
#include "rpc/run_on.h"

namespace vmattest::rpc {

// Runs `work(authority, request)`, which returns StatusOr<Response>, on
// `executor` if the caller may call `method` ("vmattest.v1.Verifier/Appraise");
// it gets its own copy of the request.
template <class Request, class Response, class Work>
grpc::ServerUnaryReactor* RunAuthorized(
    const Authorizer& authorizer, std::string_view method,
    const grpc::CallbackServerContext& context, Executor& executor,
    const Request& request, Response* response, Work work) {
  auto authority =
      authorizer.Authorize(method, IdentitiesOf(*context.auth_context()));
  if (!authority.ok()) {
    return AnswerNow(response, absl::StatusOr<Response>(authority.status()));
  }
  return RunOn(executor, response,
               [authority = *std::move(authority), request,
                work = std::move(work)]() -> absl::StatusOr<Response> {
                 return work(authority, request);
               });
}

}  // namespace vmattest::rpc

#endif  // VMATTEST_RPC_RUN_AUTHORIZED_H_
