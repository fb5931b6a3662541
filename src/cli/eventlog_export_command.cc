#include "cli/eventlog_export_command.h"

#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "cli/ask_options.h"
#include "cli/attestation_client.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "eventlog/bundle.h"
#include "fmt/format.h"

namespace vmattest::cli {
namespace {

absl::StatusOr<std::string> Encode(const EventLogExportArgs& args,
                                   const v1::GetEventLogResponse& answer) {
  if (args.cel) {
    return answer.records();
  }
  eventlog::Bundle bundle;
  ASSIGN_OR_RETURN_WITH(bundle.records,
                        eventlog::ParseCel(AsBytes(answer.records())),
                        "the daemon's records");
  if (args.cel_json) {
    return eventlog::ToCelJsonLog(bundle.records);
  }
  bundle.evidence = ToBytes(answer.evidence());
  bundle.boot_log = ToBytes(answer.boot_log());
  return eventlog::EncodeBundle(bundle);
}

absl::Status Export(const EventLogExportArgs& args, std::ostream& out,
                    std::ostream& err) {
  if (args.cel && args.cel_json) {
    return absl::InvalidArgumentError("--cel and --cel-json: choose one");
  }
  if (args.cel && args.out.empty() && isatty(STDOUT_FILENO) != 0) {
    return absl::InvalidArgumentError(
        "TLV is binary: name a file with --out, or redirect");
  }
  ASSIGN_OR_RETURN(const Bytes nonce, NonceOrRandom(args.nonce));
  ASSIGN_OR_RETURN(const auto channel, Connect(args.connection));
  AttestationClient client(channel, args.connection.timeout);
  v1::GetEventLogRequest request;
  request.set_nonce(nonce.data(), nonce.size());
  ASSIGN_OR_RETURN(const v1::GetEventLogResponse answer,
                   client.GetEventLog(request));
  ASSIGN_OR_RETURN(const std::string text, Encode(args, answer));
  std::ostream& words = args.out.empty() ? err : out;
  if (!args.cel && !args.cel_json) {
    words << fmt::format("nonce: {}\n", ToHex(nonce));
  }
  if (args.out.empty()) {
    out.write(text.data(), static_cast<std::streamsize>(text.size()));
  } else {
    RETURN_IF_ERROR(WriteFileAtomic(args.out, AsBytes(text)));
    words << fmt::format("event log: {} ({} bytes)\n", args.out, text.size());
  }
  out.flush();
  return out.good() ? absl::OkStatus()
                    : absl::UnavailableError("standard output is closed");
}

}  // namespace

int RunEventLogExport(const EventLogExportArgs& args, std::ostream& out,
                      std::ostream& err) {
  const absl::Status exported = Export(args, out, err);
  return exported.ok() ? kExitGood : Fail(exported);
}

}  // namespace vmattest::cli
