#include "cli/ledger_client.h"

#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "cli/verifier_connection.h"
#include "fmt/format.h"
#include "ledger/entry.h"

namespace vmattest::cli {
namespace {

using Stub = v1::Ledger::Stub;

}  // namespace

absl::StatusOr<LedgerClient> LedgerClient::Open(
    const ConnectionArgs& connection) {
  ASSIGN_OR_RETURN(const auto channel, Connect(connection));
  return LedgerClient(connection, v1::Ledger::NewStub(channel));
}

absl::StatusOr<std::string> LedgerClient::Origin() {
  ASSIGN_OR_RETURN(const v1::GetCheckpointResponse checkpoint,
                   CallVerifier(connection_, &Stub::GetCheckpoint,
                                v1::GetCheckpointRequest(), *stub_));
  const std::string& note = checkpoint.checkpoint();
  if (note.empty()) {
    return absl::FailedPreconditionError(
        "the ledger has no checkpoint yet, which would say its name: give "
        "--log");
  }
  return note.substr(0, note.find('\n'));
}

absl::StatusOr<v1::GetWriterResponse> LedgerClient::GetWriter(
    const std::string& writer) {
  v1::GetWriterRequest request;
  request.set_writer(writer);
  return CallVerifier(connection_, &Stub::GetWriter, request, *stub_);
}

absl::StatusOr<v1::GetTrustResponse> LedgerClient::GetTrust(const Uuid& vm) {
  v1::GetTrustRequest request;
  request.set_vm_uuid(ToString(vm));
  return CallVerifier(connection_, &Stub::GetTrust, request, *stub_);
}

absl::StatusOr<uint64_t> LedgerClient::Write(v1::LedgerEntryBody body,
                                             const document::PrivateKey& key,
                                             const std::string& origin) {
  ASSIGN_OR_RETURN(const v1::GetWriterResponse writer,
                   GetWriter("key/" + ToHex(key.public_key().key_id)));
  body.set_log(origin);
  body.set_sequence(writer.sequence() + 1);
  body.set_previous(writer.last_hash());
  body.set_time_unix_ms(SystemClock().Now().time_since_epoch().count());
  ASSIGN_OR_RETURN(const Bytes entry, ledger::SignAuthorityEntry(body, key));
  v1::SubmitRequest request;
  request.set_entry(std::string(AsText(entry)));
  ASSIGN_OR_RETURN(const v1::SubmitResponse answer,
                   CallVerifier(connection_, &Stub::Submit, request, *stub_));
  if (!answer.committed()) {
    return absl::FailedPreconditionError(
        fmt::format("{}: {} (expected '{}', found '{}')",
                    answer.refusal().code(), answer.refusal().element(),
                    answer.refusal().expected(), answer.refusal().found()));
  }
  return answer.index();
}

}  // namespace vmattest::cli
