// The part of VerifierService that is about the keys of results.
#include <optional>
#include <utility>

#include "base/log.h"
#include "rpc/call_context.h"
#include "rpc/run_authorized.h"
#include "rpc/verifier_conversions.h"
#include "rpc/verifier_service.h"

namespace vmattest::rpc {
namespace {

using verification::ResultKeys;

std::optional<ResultKeys::Step> ParseStep(std::string_view text) {
  if (text == "prepare") {
    return ResultKeys::Step::kPrepare;
  }
  if (text == "activate") {
    return ResultKeys::Step::kActivate;
  }
  return text == "retire" ? std::optional(ResultKeys::Step::kRetire)
                          : std::nullopt;
}

template <class Response>
void AddKeys(const ResultKeys& keys, Response& response) {
  for (const ResultKeys::Key& key : keys.List()) {
    v1::ResultKey& to = *response.add_keys();
    to.set_state(std::string(ToString(key.state)));
    to.set_algorithm(std::string(key.key.algorithm()));
    to.set_key_id(key.key.key_id());
  }
}

absl::Status StepReason(absl::Status status) {
  return Reasoned(std::move(status),
                  {{absl::StatusCode::kFailedPrecondition, "RESULT_KEY_STEP"}});
}

}  // namespace

grpc::ServerUnaryReactor* VerifierService::ListResultKeys(
    grpc::CallbackServerContext* context,
    const v1::ListResultKeysRequest* request,
    v1::ListResultKeysResponse* response) {
  return RunAuthorized(
      authorizer_, "vmattest.v1.Verifier/ListResultKeys", *context,
      parts_.requests, *request, response,
      [this](const Authority&, const v1::ListResultKeysRequest&)
          -> absl::StatusOr<v1::ListResultKeysResponse> {
        v1::ListResultKeysResponse wire;
        AddKeys(parts_.result_keys, wire);
        return wire;
      });
}

absl::StatusOr<v1::RotateResultKeysResponse>
VerifierService::DoRotateResultKeys(
    const Authority& authority, const v1::RotateResultKeysRequest& request) {
  if (!authority.allows_all_vms()) {
    return VmDenied("*");
  }
  const auto step = ParseStep(request.step());
  if (!step) {
    return FieldError("step", "is none of prepare, activate, retire");
  }
  log::Warning("keys of results are exchanged",
               {{"step", request.step()}, {"by", authority.identity()}});
  RETURN_IF_ERROR(StepReason(parts_.result_keys.Rotate(*step)));
  v1::RotateResultKeysResponse wire;
  AddKeys(parts_.result_keys, wire);
  return wire;
}

grpc::ServerUnaryReactor* VerifierService::RotateResultKeys(
    grpc::CallbackServerContext* context,
    const v1::RotateResultKeysRequest* request,
    v1::RotateResultKeysResponse* response) {
  return RunAuthorized(authorizer_, "vmattest.v1.Verifier/RotateResultKeys",
                       *context, parts_.requests, *request, response,
                       [this](const Authority& authority,
                              const v1::RotateResultKeysRequest& rotate) {
                         return DoRotateResultKeys(authority, rotate);
                       });
}

}  // namespace vmattest::rpc
