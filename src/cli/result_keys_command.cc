#include "cli/result_keys_command.h"

#include "base/bytes.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "vmattest/v1/verifier.grpc.pb.h"

namespace vmattest::cli {
namespace {

using Stub = v1::Verifier::Stub;
using Keys = google::protobuf::RepeatedPtrField<v1::ResultKey>;

void Print(const Keys& keys, bool json, std::ostream& out) {
  for (const v1::ResultKey& key : keys) {
    if (json) {
      out << nlohmann::json{{"state", key.state()},
                            {"algorithm", key.algorithm()},
                            {"key_id", key.key_id()}}
                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
          << "\n";
    } else {
      out << fmt::format("{:<6}  {:<9}  {}\n", Printable(key.state()),
                         Printable(key.algorithm()), Printable(key.key_id()));
    }
  }
}

absl::StatusOr<Keys> Ask(const ResultKeysArgs& args, Stub& stub) {
  if (args.step.empty()) {
    ASSIGN_OR_RETURN(const v1::ListResultKeysResponse listed,
                     CallVerifier(args.connection, &Stub::ListResultKeys,
                                  v1::ListResultKeysRequest(), stub));
    return listed.keys();
  }
  v1::RotateResultKeysRequest request;
  request.set_step(args.step);
  ASSIGN_OR_RETURN(
      const v1::RotateResultKeysResponse rotated,
      CallVerifier(args.connection, &Stub::RotateResultKeys, request, stub));
  return rotated.keys();
}

absl::Status Run(const ResultKeysArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  const auto stub = v1::Verifier::NewStub(channel);
  ASSIGN_OR_RETURN(const Keys keys, Ask(args, *stub));
  Print(keys, args.json, out);
  if (args.out.empty()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const v1::GetVerificationKeysResponse set,
                   CallVerifier(args.connection, &Stub::GetVerificationKeys,
                                v1::GetVerificationKeysRequest(), *stub));
  return WriteFileAtomic(args.out, AsBytes(set.jwk_set()));
}

}  // namespace

int RunResultKeys(const ResultKeysArgs& args, std::ostream& out) {
  const absl::Status status = Run(args, out);
  return status.ok() ? kExitGood : Fail(status);
}

}  // namespace vmattest::cli
