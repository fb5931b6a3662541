// The part of LaunchGate that measures and gets a verdict on it.
#include <ctime>
#include <utility>

#include "attestor/observe.h"
#include "base/log.h"
#include "fmt/format.h"
#include "gate/launch_gate.h"
#include "gate/protocol/verdict_token.h"
#include "gate/recording_digester.h"

namespace vmattest::gate {
namespace {

using reference::GateMode;

constexpr uint32_t kDefaultVerdictSeconds = 3600;
// From `prepare` to `start`.
constexpr int64_t kSameLaunchMs = 10'000;

// Also counts while the machine sleeps.
int64_t BootTimeMs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

std::string NameOf(const reference::Reference& reference) {
  return fmt::format("{}@{}", reference.name, reference.revision);
}

}  // namespace

absl::StatusOr<LaunchGate::Measured> LaunchGate::Measure(const Launch& launch,
                                                         std::string_view xml) {
  Measured result;
  measurement::MeasureOptions options;
  options.algorithm = options_.algorithm;
  options.content = options_.content;
  options.inside = options_.inside;
  if (const auto& reference = launch.policy.reference; reference) {
    options.algorithm = reference->algorithm;
    ASSIGN_OR_RETURN(options.content,
                     measurement::ParseContentPolicy(reference->content));
    ASSIGN_OR_RETURN(options.inside,
                     inspection::ParseInsidePolicy(reference->inside));
    options.fresh = !reference->accept_cached_content;
  }
  ASSIGN_OR_RETURN(const Uuid uuid, ParseUuid(launch.uuid));
  ASSIGN_OR_RETURN(options.vm_salt,
                   attestor::SaltFor(parts_.store, options_.salted, uuid));
  options.cancelled = [this, &launch] {
    return parts_.clock.Monotonic() >= launch.deadline;
  };
  RecordingDigester digester(parts_.digester);
  measurement::DomainMeasurer measurer(digester, parts_.hashing,
                                       parts_.inspector, parts_.make_parser);
  ASSIGN_OR_RETURN(result.measurement, measurer.Measure(xml, options));
  result.files = digester.Take();
  result.vm_salt = std::move(options.vm_salt);
  result.content = options.content;
  result.inside = options.inside;
  return result;
}

absl::StatusOr<LaunchGate::ClockReading> LaunchGate::ReadClock(
    const Launch& launch, LaunchSession& session) {
  const int64_t age = BootTimeMs() - session.clock_read_ms;
  if (launch.call.operation == "start" && session.clock && age >= 0 &&
      age <= kSameLaunchMs) {
    ClockReading reading{*session.clock, *session.clock};
    reading.now.clock_ms += static_cast<uint64_t>(age) + 1;
    return reading;
  }
  session.clock_read_ms = BootTimeMs();
  ASSIGN_OR_RETURN(const TpmClock read,
                   parts_.evidence.ReadClock(launch.deadline));
  session.clock = read;
  return ClockReading{read, read};
}

VerdictBinding LaunchGate::BindingOf(const Launch& launch,
                                     const Measured& measured,
                                     const TpmClock& now) const {
  const signing::SignerState signer = parts_.evidence.state();
  VerdictBinding binding;
  binding.vm_uuid = launch.uuid;
  binding.algorithm = measured.measurement.tree.algorithm;
  binding.root = measured.measurement.tree.root;
  binding.measured =
      fmt::format("{}/{}", measurement::ToString(measured.content),
                  inspection::ToString(measured.inside));
  if (signer.identity) {
    binding.ak = signer.identity->ak_public;
  }
  binding.reset_count = now.reset_count;
  binding.restart_count = now.restart_count;
  if (launch.policy.reference) {
    binding.reference = NameOf(*launch.policy.reference);
  }
  binding.revocation_epoch = launch.policy.revocation_epoch;
  return binding;
}

Judgement LaunchGate::JudgeMeasured(const Launch& launch,
                                    const Measured& measured,
                                    const ClockReading& clock) {
  if (!launch.policy.reference || launch.policy.mode == GateMode::kLearn) {
    return Deny("gate-no-reference",
                "there is no reference to compare it with");
  }
  const VerdictBinding binding = BindingOf(launch, measured, clock.now);
  if (std::optional<std::string> kept =
          parts_.verdicts.Find(binding, clock.now);
      kept && CheckVerdictToken(*kept, options_.verifier_keys,
                                {.vm_uuid = launch.uuid,
                                 .host_id = {},
                                 .nonce = std::nullopt,
                                 .now = parts_.clock.Now()})
                  .verdict.trusted()) {
    return Allow(Basis::kKeptVerdict, *std::move(kept));
  }
  return AskVerifier(launch, measured, clock.at, binding);
}

Judgement LaunchGate::AskVerifier(const Launch& launch,
                                  const Measured& measured,
                                  const TpmClock& measured_at,
                                  const VerdictBinding& binding) {
  // Before the evidence, which then carries the log's new head to the verifier
  // (rule S1).
  const absl::Status logged = parts_.evidence.Log(
      "gate-launch",
      {{"vm_uuid", launch.uuid},
       {"vm_name", launch.name.substr(0, 512)},
       {"operation", launch.call.operation},
       {"algorithm",
        std::string(vmattest::ToString(measured.measurement.tree.algorithm))},
       {"root", ToHex(measured.measurement.tree.root)}},
      launch.deadline);
  if (!logged.ok()) {
    return DenyFor("gate-event-log", "writing the host's event log", logged);
  }
  absl::StatusOr<Bytes> evidence =
      parts_.evidence.Make({.measurement = measured.measurement,
                            .content = measured.content,
                            .inside = measured.inside,
                            .vm_salt = measured.vm_salt,
                            .nonce = launch.call.nonce,
                            .measured_at = measured_at,
                            .live = launch.call.operation == "start"},
                           launch.deadline);
  if (!evidence.ok()) {
    return DenyFor("gate-tpm", "having evidence signed by the TPM",
                   evidence.status());
  }
  const absl::StatusOr<std::string> ear =
      parts_.verifier.Appraise({.evidence = *std::move(evidence),
                                .nonce = launch.call.nonce,
                                .vm_uuid = launch.uuid},
                               launch.deadline);
  if (!ear.ok()) {
    return DenyFor("gate-verifier", "asking the verifier", ear.status());
  }
  const signing::SignerState signer = parts_.evidence.state();
  CheckedToken checked = CheckVerdictToken(
      *ear, options_.verifier_keys,
      {.vm_uuid = launch.uuid,
       .host_id = signer.identity ? signer.identity->host_id : "",
       .nonce = launch.call.nonce,
       .now = parts_.clock.Now()});
  if (!checked.genuine) {
    Judgement judgement = DenyFor(checked.verdict);
    return Deny(
        "gate-verdict",
        "the verifier's answer is not to be believed: " + judgement.sentence);
  }
  if (!checked.verdict.trusted()) {
    return DenyFor(checked.ear);
  }
  const uint32_t seconds = launch.policy.reference->verdict_seconds;
  const absl::Status kept =
      parts_.verdicts.Keep(binding, *ear, measured_at,
                           seconds == 0 ? kDefaultVerdictSeconds : seconds);
  if (!kept.ok()) {
    log::Warning("a verdict is not kept",
                 {{"vm", launch.name}, {"why", kept.ToString()}});
  }
  return Allow(Basis::kVerdict, *ear);
}

}  // namespace vmattest::gate
