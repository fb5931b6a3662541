#include "cli/disclose_command.h"

#include "cli/ask_options.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/print.h"

namespace vmattest::cli {
namespace {

absl::StatusOr<v1::DiscloseLeafRequest> Request(const DiscloseArgs& args) {
  v1::DiscloseLeafRequest request;
  request.set_vm(args.vm);
  for (const std::string& leaf : args.leaves) {
    request.add_paths(leaf);
  }
  ASSIGN_OR_RETURN(const Bytes nonce, NonceOrRandom(args.nonce));
  request.set_nonce(nonce.data(), nonce.size());
  ASSIGN_OR_RETURN(const auto algorithm, ParseHashOption(args.algorithm));
  request.set_algorithm(algorithm);
  ASSIGN_OR_RETURN(const auto content, ParseContentOption(args.content));
  request.set_content(content);
  ASSIGN_OR_RETURN(const auto inside, ParseInsideOption(args.inside));
  request.set_inside(inside);
  request.set_fresh(args.fresh);
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
