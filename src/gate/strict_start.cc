#include "gate/strict_start.h"

#include <utility>

#include "base/log.h"
#include "fmt/format.h"
#include "gate/running_check.h"

namespace vmattest::gate {
namespace {

using State = StrictStart::Outcome::State;

constexpr size_t kMaxFact = 512;

// Not of a daemon before this one, which knew more of it.
bool Waits(const std::optional<LaunchSession>& session) {
  return session && session->running && session->granted && !session->checked &&
         !session->drifted && session->start_allowed;
}

}  // namespace

std::string_view ToString(State state) {
  switch (state) {
    case State::kRunning:
      return "running";
    case State::kRefused:
      return "refused";
    case State::kEnded:
      return "ended";
    case State::kPaused:
      return "paused";
  }
  return "unknown";
}

absl::StatusOr<StrictStart::Outcome> StrictStart::Start(const std::string& vm,
                                                        bool keep_paused) {
  ASSIGN_OR_RETURN(const hypervisor::Domain domain, Find(vm));
  const std::string uuid = ToString(domain.uuid);
  if (!parts_.grants.Give(uuid)) {
    return absl::FailedPreconditionError(
        fmt::format("VM '{}' is being started already", domain.name));
  }
  absl::StatusOr<std::optional<Outcome>> created = std::optional<Outcome>();
  if (!hypervisor::IsActive(domain.state)) {
    created = Create(domain);
  } else {
    // What an earlier start left, and nothing else.
    parts_.grants.Withdraw(uuid);
    if (domain.state != hypervisor::DomainState::kPaused ||
        !Waits(parts_.sessions.Find(uuid))) {
      return absl::FailedPreconditionError(
          fmt::format("VM '{}' runs already", domain.name));
    }
  }
  RETURN_IF_ERROR(created.status());
  if (*created) {
    return **std::move(created);
  }
  const std::optional<LaunchSession> session = parts_.sessions.Find(uuid);
  return Conclude(domain,
                  Waits(session)
                      ? Compare(domain, *session)
                      : Deny("gate-no-prepare",
                             "its launch was not seen by the gate (hook not "
                             "installed, or vmattestd was restarted?)"),
                  session.value_or(LaunchSession()), keep_paused);
}

absl::StatusOr<hypervisor::Domain> StrictStart::Find(const std::string& vm) {
  const absl::StatusOr<Uuid> uuid = ParseUuid(vm);
  return uuid.ok() ? parts_.hypervisor.FindDomain(*uuid)
                   : parts_.hypervisor.FindDomainByName(vm);
}

absl::StatusOr<std::optional<StrictStart::Outcome>> StrictStart::Create(
    const hypervisor::Domain& domain) {
  const std::string uuid = ToString(domain.uuid);
  const absl::Status started = parts_.hypervisor.StartPaused(domain.uuid);
  StartGrants::Ended grant = parts_.grants.Withdraw(uuid);
  if (started.ok()) {
    return std::optional<Outcome>();
  }
  if (grant.used && Waits(parts_.sessions.Find(uuid))) {
    const absl::StatusOr<hypervisor::Domain> now =
        parts_.hypervisor.FindDomain(domain.uuid);
    // Somebody else's start came in between and was let through by this grant.
    if (now.ok() && now->state == hypervisor::DomainState::kRunning) {
      return Conclude(domain,
                      Deny("gate-strict",
                           "another start of it came in between, and did not "
                           "wait to be looked at"),
                      LaunchSession(), /*keep_paused=*/false);
    }
  }
  if (!grant.code.empty()) {
    return std::optional(Outcome{.state = State::kRefused,
                                 .code = std::move(grant.code),
                                 .sentence = std::move(grant.sentence),
                                 .vm_uuid = uuid});
  }
  return started;
}

std::optional<Judgement> StrictStart::Compare(const hypervisor::Domain& domain,
                                              const LaunchSession& session) {
  const std::string uuid = ToString(domain.uuid);
  const absl::StatusOr<hypervisor::DomainXml> xml =
      parts_.hypervisor.GetXml(domain.uuid);
  const absl::StatusOr<LiveCheck::Difference> difference =
      xml.ok() ? live_.First(session, domain.uuid, xml->xml,
                             LiveCheck::FilesOf(session))
               : xml.status();
  if (!difference.ok()) {
    return DenyFor("gate-changed", "comparing what was started",
                   difference.status());
  }
  if (!difference->what.empty()) {
    return Deny("gate-changed",
                fmt::format("{} {} is not as it was approved a moment before",
                            difference->kind, difference->what));
  }
  if (std::optional<Judgement> refused = CompareFiles(session, uuid)) {
    return refused;
  }
  if (!IsPaused(domain.uuid)) {
    return Deny("gate-strict", "it was resumed before it had been looked at");
  }
  return std::nullopt;
}

std::optional<Judgement> StrictStart::CompareFiles(const LaunchSession& session,
                                                   const std::string& vm_uuid) {
  absl::StatusOr<QemuFacts> qemu = ReadQemuFacts(
      parts_.proc / std::to_string(session.process.pid), session.process.pid);
  if (!qemu.ok() || qemu->start_ticks != session.process.start_ticks) {
    return DenyFor("gate-process", "looking at its QEMU process",
                   qemu.ok() ? absl::NotFoundError("it is another process")
                             : qemu.status());
  }
  const Verdict running = CheckRunning(
      std::optional(*std::move(qemu)),
      {.vm_uuid = vm_uuid,
       .leaves = session.leaves,
       .files = session.files,
       .incoming = session.incoming || session.image.has_value()},
      [this](const std::string& path, const MeasuredFile& measured) {
        const absl::StatusOr<image::ContentDigest> again =
            parts_.digester.Digest({.path = path,
                                    .algorithm = measured.algorithm,
                                    .fresh = false,
                                    .progress = {},
                                    .cancelled = {}});
        return again.ok() && again->digest == measured.digest;
      });
  if (!running.trusted()) {
    return DenyFor(running);
  }
  for (const std::string& path : parts_.leases.Broken(vm_uuid)) {
    const auto seen = parts_.leases.Renew(vm_uuid, path);
    if (seen && !seen->held && session.inputs.contains(path)) {
      return Deny("gate-lease-broken",
                  fmt::format("{} is open for writing; start it again when "
                              "nobody writes to it",
                              path));
    }
  }
  return std::nullopt;
}

absl::StatusOr<StrictStart::Outcome> StrictStart::Conclude(
    const hypervisor::Domain& domain, const std::optional<Judgement>& refused,
    const LaunchSession& session, bool keep_paused) {
  Outcome outcome;
  outcome.vm_uuid = ToString(domain.uuid);
  if (refused) {
    outcome.code = refused->code;
    outcome.sentence = refused->sentence;
  }
  const bool enforced =
      session.mode == reference::GateMode::kEnforce && !session.break_glass;
  if (refused && enforced) {
    outcome.state = keep_paused ? State::kPaused : State::kEnded;
    const absl::Status stopped = keep_paused
                                     ? parts_.hypervisor.Suspend(domain.uuid)
                                     : parts_.hypervisor.Destroy(domain.uuid);
    Tell(domain, *refused, keep_paused ? "paused" : "ended");
    RETURN_IF_ERROR_WITH(
        stopped, fmt::format("VM '{}' is not what was approved ({}), and stays "
                             "as it is",
                             domain.name, refused->sentence));
    return outcome;
  }
  if (refused) {
    Tell(domain, *refused, "alert");
  }
  parts_.sessions.MarkChecked(outcome.vm_uuid);
  RETURN_IF_ERROR(parts_.hypervisor.Resume(domain.uuid));
  log::Info("a VM was started paused, looked at and let go",
            {{"vm", domain.name}, {"uuid", outcome.vm_uuid}});
  parts_.note("strict-start", {{"vm_uuid", outcome.vm_uuid},
                               {"vm_name", domain.name.substr(0, kMaxFact)}});
  return outcome;
}

bool StrictStart::IsPaused(const Uuid& uuid) {
  const absl::StatusOr<hypervisor::Domain> now =
      parts_.hypervisor.FindDomain(uuid);
  return now.ok() && now->state == hypervisor::DomainState::kPaused;
}

void StrictStart::Tell(const hypervisor::Domain& domain,
                       const Judgement& refused, const std::string& action) {
  log::Error("a VM that was started paused is not what was approved",
             {{"vm", domain.name},
              {"code", refused.code},
              {"why", refused.sentence},
              {"action", action}});
  parts_.note("strict-start-refused",
              {{"vm_uuid", ToString(domain.uuid)},
               {"vm_name", domain.name.substr(0, kMaxFact)},
               {"code", refused.code},
               {"why", refused.sentence.substr(0, kMaxFact)},
               {"action", action}});
}

}  // namespace vmattest::gate
