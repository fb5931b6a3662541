#include "outbox/local_authority.h"

#include "fmt/format.h"
#include "ledger/entry.h"
#include "ledger/reason_codes.h"
#include "outbox/vm_field.h"
#include "wire/messages.h"

namespace vmattest::outbox {
namespace {

// Somebody else may write with the same key.
constexpr int kAttempts = 3;

}  // namespace

absl::Status LocalAuthority::Authorise(const v1::LedgerHostAuthorise& host,
                                       MonotonicTime deadline) {
  ASSIGN_OR_RETURN(const LedgerPort::Writer known,
                   ledger_.GetWriter(host.host_id(), deadline));
  if (known.authorised && known.key_spki == ToBytes(host.key_spki())) {
    return absl::OkStatus();
  }
  v1::LedgerEntryBody body;
  *body.mutable_host_authorise() = host;
  return Write(std::move(body), deadline);
}

absl::Status LocalAuthority::Register(const Uuid& vm, const std::string& owner,
                                      MonotonicTime deadline) {
  const absl::StatusOr<LedgerPort::Vm> known = ledger_.GetVm(vm, deadline);
  if (!absl::IsNotFound(known.status())) {
    return known.status();
  }
  v1::LedgerEntryBody body;
  body.mutable_vm_register()->set_vm_id(FieldOf(vm));
  body.mutable_vm_register()->set_owner(owner);
  return Write(std::move(body), deadline);
}

absl::Status LocalAuthority::Write(v1::LedgerEntryBody body,
                                   MonotonicTime deadline) {
  const std::string writer = "key/" + ToHex(key_.public_key().key_id);
  Reason refusal;
  const MutexLock lock(write_);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ASSIGN_OR_RETURN(const LedgerPort::Writer before,
                     ledger_.GetWriter(writer, deadline));
    body.set_log(origin_);
    body.set_sequence(before.sequence + 1);
    body.set_previous(wire::ToField(before.last_hash));
    body.set_time_unix_ms(clock_.Now().time_since_epoch().count());
    ASSIGN_OR_RETURN(const Bytes entry, ledger::SignAuthorityEntry(body, key_));
    ASSIGN_OR_RETURN(const LedgerPort::Answer answer,
                     ledger_.Submit(entry, deadline));
    if (!answer.refusal) {
      return absl::OkStatus();
    }
    refusal = *answer.refusal;
    if (refusal.code != ledger::reason::kSequence &&
        refusal.code != ledger::reason::kPrevious) {
      break;
    }
  }
  return absl::FailedPreconditionError(
      fmt::format("{}: {} (expected '{}', found '{}')", refusal.code,
                  refusal.element, refusal.expected, refusal.found));
}

}  // namespace vmattest::outbox
