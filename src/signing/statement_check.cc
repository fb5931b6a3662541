#include "signing/statement_check.h"

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "wire/codec.h"
#include "wire/ledger_key_codec.h"

namespace vmattest::signing {
namespace {

absl::StatusOr<evidence::StatementHeader> HeaderOf(
    std::string_view payload_type, ByteView payload) {
  if (payload_type == evidence::kConfigPayloadType) {
    ASSIGN_OR_RETURN(evidence::ConfigStatement statement,
                     wire::ParseConfigStatement(payload));
    return std::move(statement.header);
  }
  if (payload_type == evidence::kHostLogPayloadType) {
    ASSIGN_OR_RETURN(evidence::HostLogStatement statement,
                     wire::ParseHostLogStatement(payload));
    return std::move(statement.header);
  }
  if (payload_type == evidence::kStatePayloadType) {
    ASSIGN_OR_RETURN(evidence::StateStatement statement,
                     wire::ParseStateStatement(payload));
    return std::move(statement.header);
  }
  if (payload_type == evidence::kLedgerKeyPayloadType) {
    ASSIGN_OR_RETURN(evidence::LedgerKeyStatement statement,
                     wire::ParseLedgerKeyStatement(payload));
    return std::move(statement.header);
  }
  return absl::InvalidArgumentError(
      fmt::format("no statement of type '{}'", payload_type));
}

// The log goes on meanwhile, but it never was what it will be.
absl::Status CheckHost(const evidence::HostState& host,
                       const SignerState& state) {
  if (!state.log || host.log_size > state.log->size ||
      (host.log_size == state.log->size && host.log_head != state.log->head)) {
    return absl::InvalidArgumentError(
        fmt::format("a statement about a host event log of {} records, which "
                    "it is not",
                    host.log_size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KeyPurpose> CheckStatement(std::string_view payload_type,
                                          ByteView payload,
                                          const SignerState& state) {
  if (!state.identity) {
    return state.tpm.ok()
               ? absl::UnavailableError("the TPM was not reached yet")
               : state.tpm;
  }
  ASSIGN_OR_RETURN(const evidence::StatementHeader header,
                   HeaderOf(payload_type, payload));
  if (header.host_id != state.identity->host_id) {
    return absl::InvalidArgumentError(
        fmt::format("a statement about host {}", header.host_id));
  }
  if (header.host) {
    RETURN_IF_ERROR(CheckHost(*header.host, state));
  }
  if (header.signature_algorithms != state.algorithms) {
    return absl::AbortedError(
        fmt::format("a statement signed by {}; now it is {}",
                    fmt::join(header.signature_algorithms, "+"),
                    fmt::join(state.algorithms, "+")));
  }
  return evidence::PurposeOf(payload_type);
}

}  // namespace vmattest::signing
