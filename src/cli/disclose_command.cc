#include "cli/disclose_command.h"

#include "cli/ask_options.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/print.h"

namespace vmattest::cli {
namespace {

absl::StatusOr<v1::DiscloseLeafRequest> Request(const DiscloseArgs& args) {
  v1::DiscloseLeafRequest request;
  RETURN_IF_ERROR(FillRequest(args, request));
  for (const std::string& leaf : args.leaves) {
    request.add_paths(leaf);
  }
  return request;
}

absl::Status Disclose(const DiscloseArgs& args, std::ostream& out,
                      std::ostream& err) {
  RETURN_IF_ERROR(CheckBinaryOutput("a disclosure", args.out));
  ASSIGN_OR_RETURN(const v1::DiscloseLeafRequest request, Request(args));
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  AttestationClient client(channel, args.connection.timeout);
  ASSIGN_OR_RETURN(const v1::DiscloseLeafResponse response,
                   client.DiscloseLeaf(request));
  return WriteSignedFile({.what = "disclosure",
                          .vm = args.vm,
                          .nonce = request.nonce(),
                          .content = response.disclosure(),
                          .path = args.out,
                          .json = args.json},
                         out, err);
}

}  // namespace

int RunDisclose(const DiscloseArgs& args, std::ostream& out,
                std::ostream& err) {
  const absl::Status disclosed = Disclose(args, out, err);
  return disclosed.ok() ? kExitGood : Fail(disclosed);
}

}  // namespace vmattest::cli
