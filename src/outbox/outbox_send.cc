// The part of Outbox that signs and sends, on its own thread.
#include <pthread.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "crypto/ecdsa_der.h"
#include "fmt/format.h"
#include "ledger/reason_codes.h"
#include "outbox/outbox.h"
#include "outbox/vm_field.h"

namespace vmattest::outbox {
namespace {

namespace reason = ledger::reason;

// Of one entry that is refused for something that may have changed since it
// was signed.
constexpr int kMostAttempts = 4;
constexpr int64_t kGraceMs = 60'000;
constexpr int64_t kLateMs = 60'000;

std::string Why(const Reason& reason) {
  return fmt::format("{}: {} (expected '{}', found '{}')", reason.code,
                     reason.element, reason.expected, reason.found);
}

// What the host, and not the entry, has to be helped with: the queue waits.
bool IsAboutTheHost(const std::string& code) {
  static constexpr std::string_view kCodes[] = {
      reason::kWriterUnknown, reason::kWriterRevoked, reason::kKeyExpired,
      reason::kSignature,     reason::kOrigin,        reason::kClock};
  return std::find(std::begin(kCodes), std::end(kCodes), code) !=
         std::end(kCodes);
}

}  // namespace

MonotonicTime Outbox::Limit() const {
  return std::chrono::steady_clock::now() + options_.call_limit;
}

void Outbox::Run() {
  pthread_setname_np(pthread_self(), "outbox");
  for (;;) {
    const Step step = SendNext();
    const MonotonicTime now = std::chrono::steady_clock::now();
    if (step != Step::kFailed && now >= look_at_) {
      look_at_ = now + options_.look_interval;
      LookWitnessed(Limit());
    }
    WaitForWork(step);
    const MutexLock lock(mutex_);
    if (stopping_) {
      return;
    }
  }
}

void Outbox::WaitForWork(Step last) {
  if (last == Step::kSent) {
    pause_ = std::chrono::milliseconds(0);
    return;
  }
  if (last == Step::kIdle) {
    pause_ = std::chrono::milliseconds(0);
    const MutexLock lock(mutex_);
    while (!stopping_ && !work_ && changed_.WaitUntil(mutex_, look_at_)) {
    }
    return;
  }
  pause_ = std::clamp(pause_ * 2, options_.first_pause, options_.longest_pause);
  const MonotonicTime until = std::chrono::steady_clock::now() + pause_;
  const MutexLock lock(mutex_);
  while (!stopping_ && !hurry_ && changed_.WaitUntil(mutex_, until)) {
  }
  if (std::exchange(hurry_, false)) {
    pause_ = std::chrono::milliseconds(0);
  }
}

Outbox::Step Outbox::SendNext() {
  {
    const MutexLock lock(mutex_);
    work_ = false;
  }
  const auto failed = [this](absl::Status why, std::string_view doing) {
    SetProblem(Annotate(std::move(why), doing));
    return Step::kFailed;
  };
  absl::StatusOr<std::optional<OutboxFile::Queued>> queued =
      parts_.file.Oldest();
  if (!queued.ok()) {
    return failed(queued.status(), "reading the outbox");
  }
  const std::string host_id = parts_.host_id();
  if (host_id.empty()) {
    return *queued ? failed(absl::UnavailableError("the TPM was not reached"),
                            "knowing this host's id")
                   : Step::kIdle;
  }
  const MonotonicTime deadline = Limit();
  if (!synchronised_ || written_as_ != host_id) {
    if (const absl::Status done = Synchronise(host_id, deadline); !done.ok()) {
      return failed(done, "asking the ledger for this host's last entry");
    }
    return Step::kSent;  // what is the oldest may be another by now
  }
  if (!*queued) {
    SetProblem(doubt_);
    return Step::kIdle;
  }
  OutboxFile::Queued& next = **queued;
  if (next.entry.empty()) {
    const absl::StatusOr<bool> made = SignNext(host_id, next, deadline);
    if (!made.ok()) {
      return failed(made.status(), "signing the next entry");
    }
    if (!*made) {
      return Step::kSent;  // given up
    }
  }
  const absl::StatusOr<LedgerPort::Answer> answer =
      parts_.ledger.Submit(next.entry, deadline);
  if (!answer.ok()) {
    return failed(answer.status(), "sending an entry");
  }
  if (answer->refusal && IsAboutTheHost(answer->refusal->code)) {
    synchronised_ = false;
    if (answer->refusal->code == reason::kSignature) {
      // By a key from before, perhaps.
      parts_.file.Unsign(next.id).IgnoreError();
    }
    return failed(absl::FailedPreconditionError(Why(*answer->refusal)),
                  "the ledger refuses this host");
  }
  const absl::Status noted = answer->refusal
                                 ? Refused(next, *answer->refusal, deadline)
                                 : Committed(next, *answer, host_id);
  return noted.ok() ? Step::kSent : failed(noted, "noting what was sent");
}

// Where the ledger is, and what it lost or has that we do not know of.
absl::Status Outbox::Synchronise(const std::string& host_id,
                                 MonotonicTime deadline) {
  if (parts_.authorise) {
    RETURN_IF_ERROR_WITH(parts_.authorise(deadline), "authorising this host");
  }
  ASSIGN_OR_RETURN(const LedgerPort::Writer writer,
                   parts_.ledger.GetWriter(host_id, deadline));
  if (!writer.authorised) {
    return absl::FailedPreconditionError(fmt::format(
        "the ledger does not know host {}, or revoked it: the Trust Authority "
        "has to authorise it (docs/operations.md)",
        host_id));
  }
  const absl::StatusOr<Bytes> spki = EncodeSpki(parts_.key->public_key());
  RETURN_IF_ERROR(spki.status());
  if (!writer.key_spki.empty() && writer.key_spki != *spki) {
    return absl::FailedPreconditionError(
        "the ledger knows another key of this host: the Trust Authority has to "
        "delegate this one (docs/operations.md)");
  }
  ASSIGN_OR_RETURN(const LedgerPort::Size size,
                   parts_.ledger.GetSize(deadline));
  RETURN_IF_ERROR(parts_.file.BeBy(host_id));
  RETURN_IF_ERROR(TakeWriter(writer, size));
  mirror_.ForgetAll();
  RETURN_IF_ERROR(mirror_.TakeRunning(
      {writer.running.begin(), writer.running.end()}, deadline));
  tick_ = std::max(tick_, writer.tick);
  written_as_ = host_id;
  synchronised_ = true;
  return absl::OkStatus();
}

absl::Status Outbox::TakeWriter(const LedgerPort::Writer& writer,
                                const LedgerPort::Size& size) {
  ASSIGN_OR_RETURN(const std::optional<OutboxFile::Queued> oldest,
                   parts_.file.Oldest());
  ASSIGN_OR_RETURN(OutboxFile::Written last, parts_.file.LastCommitted());
  if (oldest && !oldest->entry.empty() && oldest->sequence == writer.sequence &&
      oldest->hash == writer.last_hash) {
    // It was in, and nobody told us where.
    RETURN_IF_ERROR(parts_.file.Commit(
        oldest->id, std::max<uint64_t>(size.committed, 1) - 1));
    Tell(oldest->id, absl::OkStatus());
    last = {oldest->sequence, oldest->hash};
  }
  last_ = {writer.sequence, writer.last_hash};
  if (last.sequence == writer.sequence && last.hash == writer.last_hash) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const OutboxFile::Written witnessed,
                   parts_.file.LastWitnessed());
  ASSIGN_OR_RETURN(const std::optional<OutboxFile::Written> ours,
                   parts_.file.FindCommitted(writer.sequence));
  const bool known = (ours && ours->hash == writer.last_hash) ||
                     (witnessed.sequence == writer.sequence &&
                      witnessed.hash == writer.last_hash);
  if (writer.sequence < last.sequence && known) {
    ASSIGN_OR_RETURN(const uint64_t again,
                     parts_.file.Uncommit(writer.sequence));
    log::Error("the ledger lost entries of this host: they are sent again",
               {{"entries", std::to_string(again)}});
    const MutexLock lock(mutex_);
    resent_ += again;
    return absl::OkStatus();
  }
  if (last.sequence == 0 && witnessed.sequence == 0) {
    // A new file, and a ledger that knows this host from before.
    return parts_.file.Adopt(last_);
  }
  const std::string told = fmt::format(
      "the ledger's last entry of this host is {} ({}), ours is {} ({})",
      writer.sequence, ToHex(writer.last_hash), last.sequence,
      ToHex(last.hash));
  if (writer.sequence > last.sequence) {
    log::Error("the outbox is older than the ledger, or another one writes",
               {{"what", told}});
  } else {
    log::Error("the ledger lost what was witnessed", {{"what", told}});
    const MutexLock lock(mutex_);
    lost_ = absl::DataLossError("the ledger lost what was witnessed: " + told);
  }
  return parts_.file.Adopt(last_);
}

// False: it cannot be written, ever.
absl::StatusOr<bool> Outbox::SignNext(const std::string& host_id,
                                      OutboxFile::Queued& queued,
                                      MonotonicTime deadline) {
  if (attempted_ != queued.id) {
    attempted_ = queued.id;
    attempts_ = 0;
  }
  if (NowMs() - last_batch_ms_ >= kGraceMs) {
    mirror_.NameAll();  // the silence may have been counted
  }
  tick_ = std::max<uint64_t>(tick_ + 1, static_cast<uint64_t>(queued.time_ms));
  const std::optional<TpmClock> now =
      parts_.tpm_clock ? parts_.tpm_clock() : std::nullopt;
  const v1::LedgerEntryBody unsigned_body = queued.body;
  ASSIGN_OR_RETURN(std::optional<Reason> refused,
                   maker_.Make(host_id, last_, tick_, now, deadline, queued));
  if (refused && refused->code == reason::kVmUnknown && parts_.register_vm) {
    const auto links = ledger::VmLinks(unsigned_body);
    for (size_t i = 0; links.ok() && i < links->size(); ++i) {
      RETURN_IF_ERROR(parts_.register_vm((*links)[i].vm, deadline));
      mirror_.Forget((*links)[i].vm);
    }
    queued.body = unsigned_body;
    ASSIGN_OR_RETURN(refused,
                     maker_.Make(host_id, last_, tick_, now, deadline, queued));
  }
  if (refused) {
    RETURN_IF_ERROR(GiveUp(queued, refused->code, Why(*refused)));
    return false;
  }
  RETURN_IF_ERROR(parts_.file.Sign(queued));
  return true;
}

absl::Status Outbox::Committed(const OutboxFile::Queued& queued,
                               const LedgerPort::Answer& answer,
                               const std::string& host_id) {
  ASSIGN_OR_RETURN(const ledger::Entry entry, ledger::ParseEntry(queued.entry));
  if (entry.body.has_launch_decision() &&
      entry.body.launch_decision().allowed()) {
    RETURN_IF_ERROR(parts_.homes.Note(
        VmOf(entry.body.launch_decision().vm_id()),
        {.newest_hash = queued.hash, .home = host_id}, host_id));
  }
  RETURN_IF_ERROR(parts_.file.Commit(queued.id, answer.index));
  last_ = {queued.sequence, queued.hash};
  const bool late =
      answer.time_ms == 0 || queued.time_ms < answer.time_ms - kLateMs;
  mirror_.Committed(entry.body, queued.hash, host_id, late);
  if (entry.body.has_attest_batch()) {
    tick_ = std::max(tick_, entry.body.attest_batch().tick());
    last_batch_ms_ = NowMs();
  }
  Tell(queued.id, absl::OkStatus());
  const MutexLock lock(mutex_);
  problem_ = absl::OkStatus();
  ++sent_;
  return absl::OkStatus();
}

// Signs it anew where that may help, and a few times at most.
absl::Status Outbox::Refused(const OutboxFile::Queued& queued,
                             const Reason& refusal, MonotonicTime deadline) {
  const std::string& code = refusal.code;
  const bool chain = code == reason::kSequence || code == reason::kPrevious;
  const bool stale =
      code == reason::kVmPrevious || code == reason::kUnchanged ||
      code == reason::kVmUnknown ||
      (code == reason::kVmHome && !queued.body.has_launch_decision());
  if (attempted_ != queued.id) {
    attempted_ = queued.id;
    attempts_ = 0;
  }
  if (!chain && (!stale || ++attempts_ > kMostAttempts)) {
    return GiveUp(queued, code, Why(refusal));
  }
  if (chain && ++attempts_ > kMostAttempts) {
    attempts_ = 0;
    return absl::UnavailableError(Why(refusal));  // never lost for that
  }
  if (chain) {
    synchronised_ = false;
    ASSIGN_OR_RETURN(const LedgerPort::Writer writer,
                     parts_.ledger.GetWriter(written_as_, deadline));
    // It was in; or what comes before it is not, and is found to be lost.
    return writer.last_hash == queued.hash ||
                   writer.sequence + 1 < queued.sequence
               ? absl::OkStatus()
               : parts_.file.Unsign(queued.id);
  }
  mirror_.ForgetAll();
  ASSIGN_OR_RETURN(const LedgerPort::Writer writer,
                   parts_.ledger.GetWriter(written_as_, deadline));
  RETURN_IF_ERROR(mirror_.TakeRunning(
      {writer.running.begin(), writer.running.end()}, deadline));
  return parts_.file.Unsign(queued.id);
}

absl::Status Outbox::GiveUp(const OutboxFile::Queued& queued,
                            const std::string& code, const std::string& why) {
  log::Warning("an entry is not on the ledger",
               {{"type", std::string(ledger::TypeName(queued.body))},
                {"code", code},
                {"why", why}});
  RETURN_IF_ERROR(parts_.file.Refuse(queued.id, code + " " + why));
  Tell(queued.id,
       absl::FailedPreconditionError(fmt::format("{}: {}", code, why)));
  return absl::OkStatus();
}

// Also how a ledger that was rolled back is noticed while nothing is sent.
void Outbox::LookWitnessed(MonotonicTime deadline) {
  const absl::StatusOr<LedgerPort::Size> size = parts_.ledger.GetSize(deadline);
  const absl::StatusOr<LedgerPort::Writer> writer =
      written_as_.empty() ? absl::StatusOr<LedgerPort::Writer>(
                                absl::UnavailableError("not yet"))
                          : parts_.ledger.GetWriter(written_as_, deadline);
  doubt_ = size.ok() ? size->doubt : absl::OkStatus();
  if (!doubt_.ok() || absl::IsDataLoss(size.status())) {
    SetProblem(doubt_.ok() ? size.status() : doubt_);
  }
  if (!size.ok() || !writer.ok() || !synchronised_) {
    return;
  }
  if (writer->sequence != last_.sequence || writer->last_hash != last_.hash) {
    synchronised_ = false;
    Kick();
    return;
  }
  const absl::Status forgotten = parts_.file.Forget(size->witnessed);
  if (!forgotten.ok()) {
    SetProblem(forgotten);
  }
  RefreshHomes(written_as_, deadline);
}

void Outbox::RefreshHomes(const std::string& host_id, MonotonicTime deadline) {
  const absl::Status done = parts_.homes.RefreshOldest(host_id, deadline);
  if (!done.ok()) {
    log::Debug("an ownership record is not renewed",
               {{"why", done.ToString()}});
  }
}

}  // namespace vmattest::outbox
