#include "cli/attest_command.h"

#include "cli/ask_options.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/print.h"

namespace vmattest::cli {
namespace {

absl::StatusOr<v1::AttestConfigRequest> Request(const AttestArgs& args) {
  v1::AttestConfigRequest request;
  RETURN_IF_ERROR(FillRequest(args, request));
  request.set_omit_leaves(args.omit_leaves);
  return request;
}

absl::Status Attest(const AttestArgs& args, std::ostream& out,
                    std::ostream& err) {
  RETURN_IF_ERROR(CheckBinaryOutput("evidence", args.out));
  ASSIGN_OR_RETURN(const v1::AttestConfigRequest request, Request(args));
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  AttestationClient client(channel, args.connection.timeout);
  ASSIGN_OR_RETURN(const v1::AttestConfigResponse response,
                   client.AttestConfig(request));
  return WriteSignedFile({.what = "evidence",
                          .vm = args.vm,
                          .nonce = request.nonce(),
                          .content = response.evidence(),
                          .path = args.out,
                          .json = args.json},
                         out, err);
}

}  // namespace

int RunAttest(const AttestArgs& args, std::ostream& out, std::ostream& err) {
  const absl::Status attested = Attest(args, out, err);
  return attested.ok() ? kExitGood : Fail(attested);
}

}  // namespace vmattest::cli
