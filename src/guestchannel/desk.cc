#include "guestchannel/desk.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "crypto/digest.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace vmattest::guestchannel {
namespace {

// While another guest's is under way.
constexpr std::chrono::milliseconds kBusyPause{5000};
constexpr size_t kMaxFact = 512;

int64_t Milliseconds(MonotonicTime::duration time) {
  return std::chrono::ceil<std::chrono::milliseconds>(time).count();
}

Bytes Answered(const Bytes& id, decltype(Answer::body) body) {
  return Encode(Answer{id, std::move(body)});
}

SnapshotTaken Facts(const capture::CapturedSnapshot& captured,
                    const Bytes& nonce) {
  const evidence::StateStatement& statement = captured.record.statement;
  SnapshotTaken facts;
  facts.id = captured.record.id;
  facts.vm_uuid = statement.header.vm_uuid;
  facts.time_unix_ms = statement.header.time_unix_ms;
  facts.policy =
      snapshot::SubsetId(statement.policy_id, statement.policy_version);
  facts.policy_digest = ToBytes(statement.policy_digest);
  facts.algorithm = std::string(vmattest::ToString(statement.algorithm));
  facts.root = ToBytes(statement.root);
  facts.nonce = nonce;
  facts.evidence_sha256 =
      ToBytes(Hash(HashAlgorithm::kSha256, captured.evidence));
  facts.consistency = statement.consistency;
  for (const evidence::RegionState& region : statement.regions) {
    facts.pages += region.pages;
    facts.unreadable_pages += region.unreadable_pages;
    facts.torn_pages += region.torn_pages;
    facts.unavailable_regions += region.unavailable.empty() ? 0 : 1;
  }
  return facts;
}

}  // namespace

std::string_view Desk::ToString(Outcome outcome) {
  switch (outcome) {
    case Outcome::kTaken:
      return "taken";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kTooSoon:
      return "too-soon";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kUnreadable:
      return "unreadable";
  }
  return "unreadable";
}

void Desk::Take(const Guest& guest, Bytes payload, Reply reply) {
  const absl::Status queued =
      parts_.work.Submit([this, guest, payload = std::move(payload), reply] {
        Read(guest, payload, reply);
      });
  // The guest asks again if it hears nothing.
  if (!queued.ok()) {
    reply({}, true);
  }
}

void Desk::Read(const Guest& guest, const Bytes& payload, const Reply& reply) {
  const absl::StatusOr<Request> request = parts_.parser.Parse(payload);
  if (!request.ok()) {
    Count(Outcome::kUnreadable);
    if (!absl::IsInvalidArgument(request.status())) {
      log::Warning("what a guest sent could not be read",
                   {{"vm", guest.name}, {"why", request.status().ToString()}});
    }
    reply({}, true);
    return;
  }
  const auto* const snapshot = std::get_if<SnapshotRequest>(&request->body);
  if (snapshot == nullptr) {
    Refuse(*request,
           {"unknown-request", "this host does not know what was asked for", 0},
           Outcome::kRefused, reply);
    return;
  }
  Ask(guest, *request, *snapshot, reply);
}

std::optional<Refusal> Desk::Admit(const Uuid& vm, const Bytes& id) {
  const MutexLock lock(mutex_);
  const MonotonicTime now = parts_.clock.Monotonic();
  const auto known = memory_.find(vm);
  if (known != memory_.end() &&
      now - known->second.taken < rules_.min_interval) {
    const int64_t wait =
        Milliseconds(known->second.taken + rules_.min_interval - now);
    return Refusal{
        "too-soon",
        fmt::format("one snapshot in {} s; the next may be asked for in {} s",
                    rules_.min_interval.count(), (wait + 999) / 1000),
        static_cast<uint64_t>(wait)};
  }
  if (busy_) {
    return Refusal{"busy", "another guest is being measured; ask again",
                   static_cast<uint64_t>(kBusyPause.count())};
  }
  busy_ = true;
  memory_[vm] = {now, id, {}};
  return std::nullopt;
}

void Desk::Ask(const Guest& guest, const Request& request,
               const SnapshotRequest& snapshot, const Reply& reply) {
  const std::string policy =
      snapshot.policy.empty() ? rules_.policies.front() : snapshot.policy;
  if (std::find(rules_.policies.begin(), rules_.policies.end(), policy) ==
      rules_.policies.end()) {
    Refuse(
        request,
        {"policy-not-offered",
         fmt::format("guests may ask for: {}", fmt::join(rules_.policies, ", "))
             .substr(0, kMaxFact),
         0},
        Outcome::kRefused, reply);
    return;
  }
  {
    const MutexLock lock(mutex_);
    const auto known = memory_.find(guest.uuid);
    if (known != memory_.end() && known->second.id == request.id) {
      reply(known->second.answer, true);
      return;
    }
  }
  if (std::optional<Refusal> refusal = Admit(guest.uuid, request.id)) {
    Refuse(request, *std::move(refusal), Outcome::kTooSoon, reply);
    return;
  }
  reply(Answered(request.id, Accepted{static_cast<uint64_t>(
                                 Milliseconds(parts_.limit_of(policy)))}),
        false);
  capture::CaptureRequest capture;
  capture.vm = vmattest::ToString(guest.uuid);
  capture.policy = policy;
  capture.nonce = snapshot.nonce;
  capture.cause = capture::kGuest;
  capture.deadline = MonotonicTime::max();  // the policy has one
  parts_.capture(
      std::move(capture),
      [this, guest, request, policy,
       reply](const absl::StatusOr<capture::CapturedSnapshot>& captured) {
        Finish(guest, request, policy, captured, reply);
      });
}

void Desk::Finish(const Guest& guest, const Request& request,
                  const std::string& policy,
                  const absl::StatusOr<capture::CapturedSnapshot>& captured,
                  const Reply& reply) {
  std::map<std::string, std::string> facts = {
      {"vm_uuid", vmattest::ToString(guest.uuid)},
      {"vm_name", guest.name.substr(0, kMaxFact)},
      {"policy", policy}};
  Bytes answer;
  if (captured.ok()) {
    answer = Answered(
        request.id,
        Facts(*captured, std::get<SnapshotRequest>(request.body).nonce));
    facts["snapshot"] = captured->record.id;
    log::Info(
        "a guest asked for a snapshot",
        {{"vm", guest.name}, {"policy", policy}, {"id", captured->record.id}});
  } else {
    // Why is the host's affair.
    answer = Answered(request.id,
                      Refusal{"failed", "the snapshot came to nothing", 0});
    facts["snapshot"] = "none";
    log::Warning("a guest asked for a snapshot, which failed",
                 {{"vm", guest.name},
                  {"policy", policy},
                  {"why", captured.status().ToString()}});
  }
  parts_.note("guest-snapshot", std::move(facts));
  {
    const MutexLock lock(mutex_);
    busy_ = false;
    if (const auto known = memory_.find(guest.uuid);
        known != memory_.end() && known->second.id == request.id) {
      known->second.answer = answer;
    }
  }
  Count(captured.ok() ? Outcome::kTaken : Outcome::kFailed);
  reply(std::move(answer), true);
}

void Desk::Refuse(const Request& request, Refusal refusal, Outcome outcome,
                  const Reply& reply) {
  Count(outcome);
  reply(Answered(request.id, std::move(refusal)), true);
}

void Desk::Count(Outcome outcome) {
  const MutexLock lock(mutex_);
  ++counters_[outcome];
}

void Desk::Forget() {
  const MutexLock lock(mutex_);
  const MonotonicTime now = parts_.clock.Monotonic();
  std::erase_if(memory_, [&](const auto& entry) {
    return now - entry.second.taken >= rules_.min_interval &&
           !entry.second.answer.empty();
  });
}

Desk::Counters Desk::counters() const {
  const MutexLock lock(mutex_);
  return counters_;
}

}  // namespace vmattest::guestchannel
