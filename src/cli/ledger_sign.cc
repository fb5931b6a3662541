#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/ledger_command.h"
#include "document/key_files.h"
#include "ledger/entry.h"

namespace vmattest::cli {
namespace {

absl::StatusOr<ledger::Entry> Sign(const LedgerSignArgs& args) {
  ASSIGN_OR_RETURN(const Bytes json,
                   ReadFile(args.file, ledger::kMaxEntrySize));
  v1::LedgerEntryBody body;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      std::string(AsText(json)), &body);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", args.file, parsed.ToString()));
  }
  if (!body.log().empty() || !body.host_id().empty() || body.sequence() != 0 ||
      !body.previous().empty() || body.has_header()) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: log, host_id, sequence, previous and header are not its business",
        args.file));
  }
  ASSIGN_OR_RETURN_WITH(const Bytes previous, ParseHex(args.previous),
                        "--previous");
  ASSIGN_OR_RETURN(const document::PrivateKey key,
                   document::LoadPrivateKey(args.key));
  body.set_log(args.log);
  body.set_sequence(args.sequence);
  body.set_previous(std::string(AsText(previous)));
  body.set_time_unix_ms(SystemClock().Now().time_since_epoch().count());
  ASSIGN_OR_RETURN(const Bytes bytes, ledger::SignAuthorityEntry(body, key));
  return ledger::ParseEntry(bytes);
}

}  // namespace

int RunLedgerSign(const LedgerSignArgs& args, std::ostream& out,
                  std::ostream& err) {
  const absl::StatusOr<ledger::Entry> entry = Sign(args);
  const absl::Status done =
      entry.ok() ? WriteFileAtomic(args.out, entry->bytes) : entry.status();
  if (!done.ok()) {
    err << fmt::format("vmattest: {}: {}\n",
                       absl::StatusCodeToString(done.code()),
                       std::string(done.message()));
    return ExitCodeOf(done);
  }
  out << fmt::format("{} by {}, sequence {}\nhash {}\n",
                     ledger::TypeName(entry->body), entry->Writer(),
                     entry->body.sequence(), ToHex(entry->hash));
  return kExitGood;
}

}  // namespace vmattest::cli
