#include "gate/launch_gate.h"

#include <algorithm>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "evidence/config_tree.h"
#include "fmt/format.h"
#include "gate/baseline.h"
#include "gate/running_check.h"
#include "measurement/arrived_xml.h"
#include "measurement/live_xml.h"
#include "measurement/xml_element.h"

namespace vmattest::gate {
namespace {

using reference::GateMode;

constexpr size_t kMaxFact = 512;

struct Subject {
  std::string uuid;
  std::string name;
};

absl::StatusOr<Subject> SubjectOf(std::string_view xml) {
  ASSIGN_OR_RETURN(const measurement::XmlElement domain,
                   measurement::ParseXml(xml));
  const measurement::XmlElement* const uuid = domain.Child("uuid");
  const measurement::XmlElement* const name = domain.Child("name");
  if (!domain.Is("domain") || uuid == nullptr) {
    return absl::InvalidArgumentError("no domain with a UUID");
  }
  ASSIGN_OR_RETURN(const Uuid parsed, ParseUuid(uuid->Text()));
  return Subject{ToString(parsed),
                 name == nullptr ? "" : std::string(name->Text())};
}

bool HasLeaf(const std::vector<ConfigLeaf>& leaves, std::string_view path) {
  return std::any_of(
      leaves.begin(), leaves.end(),
      [path](const ConfigLeaf& leaf) { return leaf.path == path; });
}

// libvirt chooses the firmware between `prepare` and `start`.
bool LeavesFirmwareOpen(const std::vector<ConfigLeaf>& leaves) {
  return HasLeaf(leaves, "os/firmware") && !HasLeaf(leaves, "os/loader");
}

}  // namespace

GateReply LaunchGate::Decide(const GateCall& call, MonotonicTime deadline) {
  if (call.operation == kRegisterImage) {
    return RegisterImage(call, deadline);
  }
  if (!IsGated(call.operation)) {
    return Told(call);
  }
  Launch launch{
      .call = call, .deadline = deadline, .uuid = {}, .name = {}, .policy = {}};
  const absl::StatusOr<Subject> subject = SubjectOf(call.xml);
  if (subject.ok()) {
    launch.uuid = subject->uuid;
    launch.name = subject->name;
    parts_.sessions.NoteCalled(launch.uuid);
  }
  launch.policy = parts_.policy.For(launch.uuid, parts_.clock.Now());
  LaunchSession session =
      parts_.sessions.Find(launch.uuid).value_or(LaunchSession());
  if (session.running) {
    session = {};  // of a VM that is over: nothing of it counts for the next
  }
  session.vm_name = launch.name;
  session.mode = launch.policy.mode;
  Judgement judgement =
      subject.ok()
          ? Judge(launch, session)
          : DenyFor("gate-xml", "reading the domain's XML", subject.status());
  return Apply(launch, session, std::move(judgement));
}

// Cannot be refused; what ended is over.
GateReply LaunchGate::Told(const GateCall& call) {
  GateReply reply;
  reply.allowed = true;
  reply.basis = Basis::kNotGated;
  const bool ended = call.operation == "stopped" || call.operation == "release";
  if (const absl::StatusOr<Subject> subject = SubjectOf(call.xml);
      subject.ok()) {
    reply.vm_uuid = subject->uuid;
    if (ended) {
      Forget(subject->uuid);
    }
    if (call.operation == "release") {
      Ended(call, subject->uuid);
    }
  }
  return reply;
}

void LaunchGate::Forget(const std::string& vm_uuid) {
  parts_.sessions.Erase(vm_uuid);
  parts_.leases.Release(vm_uuid);
}

Judgement LaunchGate::Judge(const Launch& launch, LaunchSession& session) {
  const std::string& operation = launch.call.operation;
  const bool enforced = launch.policy.mode == GateMode::kEnforce;
  if (operation == "prepare") {
    session.granted = parts_.grants.Use(launch.uuid);
  }
  if (enforced && !launch.policy.reference) {
    return Deny("gate-no-reference",
                fmt::format("nobody approved a configuration for VM {}; sign a "
                            "reference for it (docs/operations.md)",
                            launch.uuid));
  }
  Judgement judgement = JudgeOperation(launch, session);
  if (judgement.allowed) {
    if (std::optional<Judgement> refused = CheckStrict(launch, session)) {
      return *std::move(refused);
    }
    if (parts_.ledger != nullptr && operation != "started") {
      if (std::optional<Judgement> refused =
              parts_.ledger->CheckHome(launch.uuid, launch.deadline)) {
        return *std::move(refused);
      }
    }
  }
  return judgement;
}

Judgement LaunchGate::JudgeOperation(const Launch& launch,
                                     LaunchSession& session) {
  const std::string& operation = launch.call.operation;
  if (operation == "start") {
    return JudgeStart(launch, session);
  }
  if (operation == "started") {
    return JudgeStarted(launch, session);
  }
  if (operation == "restore") {
    return JudgeRestore(launch, session);
  }
  if (operation == "migrate") {
    return JudgeMigrate(launch, session);
  }
  return JudgePrepare(launch, session);
}

Judgement LaunchGate::JudgePrepare(const Launch& launch,
                                   LaunchSession& session) {
  LaunchSession fresh = session.Anew();
  // Of the operation that led to this launch.
  if (session.incoming && !session.prepared) {
    fresh.incoming = true;
    fresh.arrived_xml = std::move(session.arrived_xml);
  }
  fresh.granted = session.granted;
  // Not if that restore came to nothing and this is another launch.
  if (!session.prepared && session.image && IsImageUnchanged(launch, session)) {
    fresh.image = std::move(session.image);
    fresh.prepare_xml = std::move(session.image_xml);
  } else {
    fresh.prepare_xml = launch.call.xml;
  }
  fresh.prepared = true;
  session = std::move(fresh);
  if (std::optional<Judgement> outside = CheckStore(launch.call.xml)) {
    return *std::move(outside);
  }
  const absl::StatusOr<std::string> xml = PreparedXml(launch, session);
  if (!xml.ok()) {
    return DenyFor("gate-measuring", "measuring", xml.status());
  }
  const absl::StatusOr<ClockReading> clock = ReadClock(launch, session);
  if (!clock.ok()) {
    return DenyFor("gate-tpm", "reading the TPM's clock", clock.status());
  }
  const absl::StatusOr<Measured> measured = Measure(launch, *xml);
  if (!measured.ok()) {
    return DenyFor("gate-measuring", "measuring", measured.status());
  }
  session.config_root = measured->measurement.tree.root;
  if (LeavesFirmwareOpen(measured->measurement.tree.leaves)) {
    return Allow(Basis::kDeferred);
  }
  return JudgeMeasured(launch, *measured, *clock);
}

// What was saved, or ran on another host, carries what libvirt filled in then.
absl::StatusOr<std::string> LaunchGate::PreparedXml(
    const Launch& launch, LaunchSession& session) const {
  if (session.image) {
    return measurement::AsDefined(launch.call.xml, session.prepare_xml);
  }
  if (session.incoming) {
    ASSIGN_OR_RETURN(
        const std::string defined,
        measurement::AsDefined(launch.call.xml, session.arrived_xml));
    ASSIGN_OR_RETURN(session.prepare_xml, measurement::AsBeforeMigration(
                                              defined, parts_.make_parser));
  }
  return session.prepare_xml;
}

Judgement LaunchGate::JudgeStart(const Launch& launch, LaunchSession& session) {
  if (!session.prepared) {
    return Deny("gate-no-prepare",
                "its launch was not seen from the beginning (vmattestd was "
                "restarted?); start it again");
  }
  const absl::StatusOr<std::string> xml =
      measurement::AsDefined(launch.call.xml, session.prepare_xml);
  if (!xml.ok()) {
    return DenyFor("gate-measuring", "measuring", xml.status());
  }
  if (std::optional<Judgement> refused = HoldInputs(launch, *xml)) {
    return *std::move(refused);
  }
  const absl::StatusOr<ClockReading> clock = ReadClock(launch, session);
  if (!clock.ok()) {
    return DenyFor("gate-tpm", "reading the TPM's clock", clock.status());
  }
  const absl::StatusOr<Measured> measured = Measure(launch, *xml);
  if (!measured.ok()) {
    return DenyFor("gate-measuring", "measuring", measured.status());
  }
  absl::StatusOr<std::vector<ConfigLeaf>> baseline =
      BaselineOf(*xml, parts_.digester, parts_.make_parser);
  if (!baseline.ok()) {
    return DenyFor("gate-measuring", "measuring", baseline.status());
  }
  session.baseline = *std::move(baseline);
  session.config_root = measured->measurement.tree.root;
  session.leaves = measured->measurement.tree.leaves;
  session.files = measured->files;
  KeepInputs(launch, *xml, *measured, session);
  if (std::optional<Judgement> refused = CheckHeld(launch, session)) {
    return *std::move(refused);
  }
  if (launch.policy.mode == GateMode::kLearn) {
    Learn(launch, *measured, clock->at);
  }
  Judgement judgement =
      JudgeDisks(launch, *xml, JudgeMeasured(launch, *measured, *clock));
  session.ear = judgement.ear;
  return judgement;
}

Judgement LaunchGate::JudgeStarted(const Launch& launch,
                                   LaunchSession& session) {
  if (!session.start_allowed) {
    return Deny("gate-no-prepare",
                "its launch was not seen from the beginning (vmattestd was "
                "restarted?); start it again");
  }
  std::optional<Judgement> refused = CheckHeld(launch, session);
  KeepWhatRuns(launch.call, session);
  if (refused) {
    return *std::move(refused);
  }
  const absl::StatusOr<std::string> xml =
      measurement::AsDefined(launch.call.xml, session.prepare_xml);
  const absl::StatusOr<std::vector<ConfigLeaf>> now =
      xml.ok() ? BaselineOf(*xml, parts_.digester, parts_.make_parser)
               : xml.status();
  if (!now.ok()) {
    return DenyFor("gate-measuring", "measuring", now.status());
  }
  if (const std::string leaf = FirstDifference(session.baseline, *now);
      !leaf.empty()) {
    return Deny(
        "gate-changed",
        fmt::format("leaf {} is not as it was approved a moment before", leaf));
  }
  if (session.image && !IsImageUnchanged(launch, session)) {
    return Deny("gate-image-changed",
                "its saved memory was written to, or closed, while libvirt "
                "read it");
  }
  const Verdict running = CheckRunning(
      launch.call.qemu,
      {.vm_uuid = launch.uuid,
       .leaves = session.leaves,
       .files = session.files,
       .incoming = session.incoming || session.image.has_value()},
      [this, &launch](const std::string& path, const MeasuredFile& measured) {
        const absl::StatusOr<image::ContentDigest> again =
            parts_.digester.Digest({.path = path,
                                    .algorithm = measured.algorithm,
                                    .fresh = false,
                                    .progress = {},
                                    .cancelled = [this, &launch] {
                                      return parts_.clock.Monotonic() >=
                                             launch.deadline;
                                    }});
        return again.ok() && again->digest == measured.digest;
      });
  if (!running.trusted()) {
    return DenyFor(running);
  }
  if (session.ear.empty()) {
    return session.break_glass
               ? Allow(Basis::kBreakGlass)
               : Deny("gate-no-verdict", "nothing approved its start");
  }
  return Allow(Basis::kKeptVerdict, session.ear);
}

GateReply LaunchGate::Apply(const Launch& launch, LaunchSession& session,
                            Judgement judgement) {
  GateReply reply;
  reply.vm_uuid = launch.uuid;
  reply.allowed = judgement.allowed;
  reply.basis = judgement.basis;
  reply.code = std::move(judgement.code);
  reply.sentence = std::move(judgement.sentence);
  reply.ear = std::move(judgement.ear);
  const GateMode mode = launch.policy.mode;
  if (!launch.uuid.empty() && mode == GateMode::kLearn) {
    reply.allowed = true;
    reply.basis = Basis::kLearn;
    reply.code.clear();
    reply.sentence.clear();
    reply.ear.clear();
  } else if (!reply.allowed && !launch.uuid.empty() &&
             (mode == GateMode::kWarn || BreaksGlass(launch, session))) {
    reply.allowed = true;
    reply.basis = mode == GateMode::kWarn ? Basis::kWarn : Basis::kBreakGlass;
    reply.ear.clear();
  }
  // A cold start's vCPUs ran before `started`; a restored VM's did not.
  if (launch.call.operation == "started" && !launch.uuid.empty() &&
      (reply.allowed || !session.image)) {
    const absl::Status kept = Launched(launch, session, reply);
    if (!kept.ok() && mode == GateMode::kEnforce && !session.break_glass) {
      Judgement refused = DenyFor("gate-state", "keeping what it is", kept);
      reply = {.allowed = false,
               .basis = Basis::kNone,
               .code = std::move(refused.code),
               .sentence = std::move(refused.sentence),
               .vm_uuid = launch.uuid,
               .ear = {},
               .signature_r = {},
               .signature_s = {}};
    } else if (!kept.ok()) {
      log::Error("what a VM left at its last stop may count again",
                 {{"vm", launch.name}, {"why", kept.ToString()}});
    }
  }
  reply = Tell(launch, session, std::move(reply));
  if (!reply.allowed) {
    parts_.grants.NoteRefusal(launch.uuid, reply);
  }
  Remember(launch, std::move(session), reply.allowed);
  Record(launch, reply);
  return reply;
}

bool LaunchGate::BreaksGlass(const Launch& launch, LaunchSession& session) {
  const std::string& operation = launch.call.operation;
  if (session.break_glass) {
    return true;
  }
  if (operation == "started") {
    return false;
  }
  const signing::SignerState signer = parts_.evidence.state();
  const std::string host =
      signer.identity ? signer.identity->host_id : std::string();
  const absl::StatusOr<PolicyStore::BreakGlass> order =
      parts_.policy.UseBreakGlass(launch.uuid, host, parts_.clock.Now());
  if (!order.ok()) {
    return false;
  }
  log::Warning("glass was broken", {{"vm", launch.name},
                                    {"uuid", launch.uuid},
                                    {"serial", order->serial},
                                    {"signer", order->signer},
                                    {"reason", order->reason}});
  parts_.note("break-glass", {{"vm_uuid", launch.uuid},
                              {"vm_name", launch.name.substr(0, kMaxFact)},
                              {"serial", order->serial},
                              {"signer", order->signer.substr(0, kMaxFact)},
                              {"reason", order->reason.substr(0, kMaxFact)}});
  session.break_glass = true;
  return true;
}

void LaunchGate::Remember(const Launch& launch, LaunchSession session,
                          bool allowed) {
  const std::string& operation = launch.call.operation;
  if (launch.uuid.empty() || IsAskedInVain(launch)) {
    return;
  }
  if (!allowed) {
    Forget(launch.uuid);
    return;
  }
  session.start_allowed = session.start_allowed || operation == "start";
  session.running = operation == "started" && session.start_allowed;
  if (!parts_.sessions.Put(launch.uuid, std::move(session))) {
    log::Error("too many launches are under way", {{"vm", launch.name}});
  }
}

void LaunchGate::Record(const Launch& launch, const GateReply& reply) {
  const bool unasked = reply.allowed && reply.code.empty();
  log::Write(unasked ? log::Level::kInfo : log::Level::kWarning,
             reply.allowed ? "launch allowed" : "launch denied",
             {{"vm", launch.name.empty() ? launch.call.domain : launch.name},
              {"uuid", launch.uuid},
              {"operation", launch.call.operation},
              {"mode", std::string(reference::ToString(launch.policy.mode))},
              {"basis", std::string(ToString(reply.basis))},
              {"code", reply.code},
              {"why", reply.sentence}});
  const auto& reference = launch.policy.reference;
  parts_.note(reply.allowed ? "gate-allowed" : "gate-denied",
              {{"vm_uuid", launch.uuid},
               {"vm_name", launch.name.substr(0, kMaxFact)},
               {"operation", launch.call.operation.substr(0, kMaxFact)},
               {"mode", std::string(reference::ToString(launch.policy.mode))},
               {"basis", std::string(ToString(reply.basis))},
               {"code", reply.code},
               {"unleased", UnleasedFact(launch).substr(0, kMaxFact)},
               {"reference", reference ? fmt::format("{}@{}", reference->name,
                                                     reference->revision)
                                       : ""}});
}

void LaunchGate::Learn(const Launch& launch, const Measured& measured,
                       const TpmClock& measured_at) {
  const auto evidence =
      parts_.evidence.Make({.measurement = measured.measurement,
                            .content = measured.content,
                            .inside = measured.inside,
                            .vm_salt = measured.vm_salt,
                            .nonce = launch.call.nonce,
                            .measured_at = measured_at,
                            .live = true},
                           launch.deadline);
  // As a verifier sees them: what is inside disks leaf by leaf.
  const ConfigTree& tree = measured.measurement.tree;
  const std::vector<ConfigLeaf> leaves =
      evidence::Flatten(tree.leaves, tree.subtrees);
  reference::Reference learned = reference::Learn(
      "vm-" + launch.uuid, launch.uuid, tree.algorithm, leaves, tree.root);
  // Said of each such leaf by its own rule.
  learned.accept_unavailable =
      std::any_of(leaves.begin(), leaves.end(), [](const ConfigLeaf& leaf) {
        return leaf.type == LeafType::kUnavailable;
      });
  if (const auto& before = launch.policy.reference; before) {
    const auto& vms = before->vm_uuids;
    // What follows it, and so goes before it once it is signed.
    if (std::find(vms.begin(), vms.end(), launch.uuid) != vms.end()) {
      learned.name = before->name;
      learned.revision = before->revision + 1;
    }
  }
  learned.disk_continuity =
      launch.policy.reference && launch.policy.reference->disk_continuity;
  learned.content = measurement::ToString(measured.content);
  learned.inside = inspection::ToString(measured.inside);
  const std::string yaml = reference::ToYaml(learned);
  absl::Status written = evidence.status();
  if (written.ok()) {
    written = WriteFileAtomic(options_.learned / (launch.uuid + ".evidence"),
                              *evidence, 0600);
  }
  if (written.ok()) {
    written = WriteFileAtomic(options_.learned / (launch.uuid + ".yaml"),
                              AsBytes(yaml), 0600);
  }
  if (!written.ok()) {
    log::Warning("nothing was learned of a launch",
                 {{"vm", launch.name}, {"why", written.ToString()}});
  }
}

}  // namespace vmattest::gate
