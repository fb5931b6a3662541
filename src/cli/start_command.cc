#include "cli/start_command.h"

#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/message_json.h"
#include "cli/print.h"
#include "fmt/format.h"

namespace vmattest::cli {
namespace {

absl::StatusOr<v1::StartVmResponse> Ask(const StartArgs& args) {
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  v1::StartVmRequest request;
  request.set_vm(args.vm);
  request.set_keep_paused(args.keep_paused);
  return AttestationClient(channel, args.connection.timeout).StartVm(request);
}

// What became of it, for a sentence.
std::string Fate(const std::string& state) {
  if (state == "ended") {
    return "was ended before it ran";
  }
  return state == "paused" ? "stays paused" : "is refused";
}

}  // namespace

int RunStart(const StartArgs& args, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<v1::StartVmResponse> response = Ask(args);
  if (!response.ok()) {
    return Fail(response.status());
  }
  const bool runs = response->state() == "running";
  if (args.json) {
    out << Json(*response) << std::endl;
  } else if (runs && response->code().empty()) {
    out << fmt::format("VM '{}' runs as approved\n", Printable(args.vm));
  } else if (runs) {
    out << fmt::format("VM '{}' runs, although: {} [{}]\n", Printable(args.vm),
                       Printable(response->sentence()),
                       Printable(response->code()));
  } else {
    err << fmt::format("vmattest: VM '{}' {}: {} [{}]\n", Printable(args.vm),
                       Fate(response->state()), Printable(response->sentence()),
                       Printable(response->code()));
  }
  out.flush();
  return runs ? kExitGood : kExitNotTrustworthy;
}

}  // namespace vmattest::cli
