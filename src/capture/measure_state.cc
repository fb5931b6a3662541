#include "capture/measure_state.h"

#include <atomic>
#include <chrono>

#include "base/log.h"
#include "fmt/format.h"
#include "measurement/domain_memory.h"
#include "snapshot/page_tree.h"

namespace vmattest::capture {
namespace {

using snapshot::Consistency;

constexpr uint32_t kPointInTimeBudgetMs = 1000;
constexpr std::string_view kNoCodeHash =
    "unavailable: not-resolved: the guest's kernel was not looked for";

// The vCPUs stand while it lives.
class Pause {
 public:
  static absl::StatusOr<std::unique_ptr<Pause>> Begin(const StateParts& parts,
                                                      const Uuid& uuid) {
    std::unique_ptr<PauseGuard> guard;
    if (parts.make_guard) {
      ASSIGN_OR_RETURN_WITH(guard, parts.make_guard(uuid),
                            "who would resume it");
    }
    std::unique_ptr<Pause> pause(new Pause(parts, uuid, std::move(guard)));
    const absl::StatusOr<bool> ran = parts.control.BeginPause(uuid);
    if (!ran.ok()) {
      // Whether it stands is not known: the guard looks.
      return ran.status();
    }
    pause->ended_ = false;
    pause->ran_ = *ran;
    return pause;
  }
  Pause(const Pause&) = delete;
  Pause& operator=(const Pause&) = delete;
  ~Pause() { (void)End(); }

  // How long it stood because of us.
  std::chrono::microseconds End() {
    if (ended_) {
      return stood_;
    }
    ended_ = true;
    const absl::Status resumed = parts_.control.EndPause(uuid_);
    stood_ = ran_ ? std::chrono::duration_cast<std::chrono::microseconds>(
                        std::chrono::steady_clock::now() - begin_)
                  : std::chrono::microseconds(0);
    if (resumed.ok()) {
      if (guard_ != nullptr) {
        guard_->Disarm();
      }
    } else {
      log::Error("a guest that was paused to be measured was not resumed",
                 {{"vm", ToString(uuid_)}, {"why", resumed.ToString()}});
    }
    guard_.reset();
    return stood_;
  }

 private:
  Pause(const StateParts& parts, const Uuid& uuid,
        std::unique_ptr<PauseGuard> guard)
      : parts_(parts), uuid_(uuid), guard_(std::move(guard)) {}

  const StateParts& parts_;
  const Uuid uuid_;
  std::unique_ptr<PauseGuard> guard_;
  const std::chrono::steady_clock::time_point begin_ =
      std::chrono::steady_clock::now();
  bool ended_ = true;
  bool ran_ = false;
  std::chrono::microseconds stood_{0};
};

// Who writes to a guest's memory while its vCPUs stand (rule S23).
bool WritesWhilePaused(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) {
    if (note.rfind("device-access:", 0) == 0 ||
        note.rfind("also-mapped:", 0) == 0) {
      return true;
    }
  }
  return false;
}

absl::Status CopyPaused(const StateParts& parts, const snapshot::Policy& policy,
                        const StateRequest& request,
                        const memory::MeasurePlan& plan,
                        const memory::MeasureCall& call,
                        memory::MeasuredGuest& guest,
                        evidence::StateStatement& statement) {
  const std::chrono::milliseconds budget(policy.pause_budget_ms != 0
                                             ? policy.pause_budget_ms
                                             : kPointInTimeBudgetMs);
  RETURN_IF_ERROR(guest.PrepareCopy(plan, call));
  ASSIGN_OR_RETURN(const std::unique_ptr<Pause> pause,
                   Pause::Begin(parts, request.domain.uuid));
  const absl::StatusOr<bool> complete = guest.Copy(plan, budget, call);
  statement.pause_us = static_cast<uint64_t>(pause->End().count());
  RETURN_IF_ERROR(complete.status());
  if (!*complete) {
    statement.notes.push_back(
        fmt::format("over-budget: resumed after {} us, the rest is live",
                    statement.pause_us));
  } else if (WritesWhilePaused(statement.notes)) {
    statement.notes.emplace_back(
        "downgraded: others write to its memory while it stands");
  } else {
    statement.consistency = ToString(Consistency::kPaused);
  }
  return absl::OkStatus();
}

// Whether what is measured from now on is one moment of the guest. If the guest
// or the host does not allow that, the statement says so.
absl::StatusOr<bool> SaveMoment(const StateParts& parts,
                                const StateRequest& request,
                                const memory::MeasureCall& call,
                                memory::MeasuredGuest& guest,
                                evidence::StateStatement& statement) {
  std::unique_ptr<PauseGuard> guard;
  if (parts.make_guard) {
    ASSIGN_OR_RETURN_WITH(guard, parts.make_guard(request.domain.uuid),
                          "who would resume it");
  }
  const absl::StatusOr<memory::SavedMoment> moment = guest.SaveMoment(call);
  // The hypervisor lets it run again, whatever became of the stream; what one
  // that went away did is not known: the guard looks.
  if (guard != nullptr && !absl::IsUnavailable(moment.status())) {
    guard->Disarm();
  }
  if (!moment.ok()) {
    if (!absl::IsFailedPrecondition(moment.status()) &&
        !absl::IsAborted(moment.status()) &&
        !absl::IsResourceExhausted(moment.status()) &&
        !absl::IsUnimplemented(moment.status())) {
      return moment.status();
    }
    statement.notes.push_back(fmt::format(
        "no-point-in-time: {}", std::string(moment.status().message())));
    return false;
  }
  statement.reader = guest.reader();
  statement.pause_us = static_cast<uint64_t>(moment->stood.count());
  statement.notes.push_back(fmt::format(
      "point-in-time: {} bytes streamed in {} ms, {} bytes kept, the guest "
      "stood for {} us",
      moment->stream_bytes, moment->took.count(), moment->kept_bytes,
      moment->stood.count()));
  if (WritesWhilePaused(statement.notes)) {
    statement.notes.emplace_back(
        "downgraded: others write to its memory while it stands");
  } else {
    statement.consistency = ToString(Consistency::kPointInTime);
  }
  return true;
}

memory::MeasurePlan PlanOf(
    const snapshot::Policy& policy,
    const std::vector<snapshot::SelectedRegion>& regions) {
  memory::MeasurePlan plan;
  plan.algorithm = policy.algorithm;
  plan.page_bytes = policy.page_bytes;
  plan.rereads = policy.rereads;
  plan.incremental = true;
  for (const snapshot::SelectedRegion& region : regions) {
    if (region.unavailable.empty()) {
      plan.regions.push_back(region.ranges);
    }
  }
  return plan;
}

void Fill(const snapshot::Policy& policy,
          const std::vector<snapshot::SelectedRegion>& selected,
          std::vector<memory::MeasuredRegion> measured, MeasuredState& state) {
  auto next = measured.begin();
  for (const snapshot::SelectedRegion& region : selected) {
    evidence::RegionState told;
    told.name = region.name;
    told.severity = ToString(region.severity);
    told.unavailable = region.unavailable;
    if (region.unavailable.empty()) {
      told.bytes = region.bytes();
      told.pages = next->pages;
      told.selection =
          snapshot::SelectionDigest(policy.algorithm, region.ranges);
      told.root = snapshot::PageTreeRoot(policy.algorithm, next->digests);
      told.unreadable_pages = next->unreadable;
      told.torn_pages = next->torn;
      evidence::SnapshotPages::Region pages{region.name, {}, {}, {}};
      for (const memory::AddressRange& range : region.ranges) {
        pages.ranges.push_back({range.begin, range.end});
      }
      pages.digests = std::move(next->digests);
      state.pages.regions.push_back(std::move(pages));
      ++next;
    }
    state.statement.regions.push_back(std::move(told));
  }
  state.statement.root =
      evidence::StateRoot(policy.algorithm, state.statement.regions);
}

evidence::StateStatement Begin(const snapshot::Policy& policy,
                               const StateRequest& request) {
  evidence::StateStatement statement;
  statement.header.vm_uuid = ToString(request.domain.uuid);
  statement.header.vm_name = request.domain.name;
  statement.header.nonce = request.nonce;
  statement.algorithm = policy.algorithm;
  statement.page_bytes = policy.page_bytes;
  statement.policy_id = policy.id;
  statement.policy_version = policy.version;
  statement.policy_digest = policy.digest;
  statement.cause = request.cause;
  statement.vm_state = ToString(request.domain.state);
  statement.consistency_requested = ToString(policy.consistency);
  statement.consistency = ToString(Consistency::kLive);
  statement.code_hash_state = kNoCodeHash;
  return statement;
}

}  // namespace

absl::StatusOr<MeasuredState> MeasureState(const StateParts& parts,
                                           const snapshot::Policy& policy,
                                           const StateRequest& request) {
  if (!IsActive(request.domain.state)) {
    return absl::FailedPreconditionError(
        fmt::format("not-running: {} is {}", request.domain.name,
                    ToString(request.domain.state)));
  }
  RETURN_IF_ERROR(parts.control.CheckMemoryIsHere(request.domain.uuid));
  ASSIGN_OR_RETURN(const hypervisor::DomainXml xml,
                   parts.hypervisor.GetXml(request.domain.uuid));
  memory::Guest guest{request.domain.uuid, request.domain.name, {}};
  ASSIGN_OR_RETURN_WITH(guest.memory, measurement::ParseDomainMemory(xml.xml),
                        "its definition");
  memory::MeasureCall call = request.call;
  ASSIGN_OR_RETURN(const std::unique_ptr<memory::MeasuredGuest> open,
                   parts.measurer.Open(guest, call));
  MeasuredState state;
  state.statement = Begin(policy, request);
  state.statement.reader = open->reader();
  state.statement.map_proof = open->map_proof();
  state.statement.notes = open->notes();
  bool saved = false;
  if (policy.consistency == Consistency::kPointInTime) {
    ASSIGN_OR_RETURN(saved,
                     SaveMoment(parts, request, call, *open, state.statement));
  }
  const std::vector<memory::AddressRange> ram = open->ram(policy.rom_shadow);
  std::unique_ptr<snapshot::RegionResolver> resolver;
  if (parts.make_resolver) {
    resolver = parts.make_resolver(request.domain);
  }
  ASSIGN_OR_RETURN(
      const std::vector<snapshot::SelectedRegion> selected,
      snapshot::Select(policy, ram, request.nonce, resolver.get()));
  const memory::MeasurePlan plan = PlanOf(policy, selected);
  for (const memory::AddressRange& range : ram) {
    state.statement.ram.push_back({range.begin, range.end});
  }
  uint64_t total = 0;
  for (const snapshot::SelectedRegion& region : selected) {
    total += region.bytes();
  }
  std::atomic<uint64_t> done = 0;
  if (request.progress) {
    call.progress = [&](uint64_t bytes) {
      request.progress({"reading", std::min(total, done += bytes), total});
    };
  }
  if (policy.consistency != Consistency::kLive && !saved) {
    RETURN_IF_ERROR(
        CopyPaused(parts, policy, request, plan, call, *open, state.statement));
  }
  ASSIGN_OR_RETURN(std::vector<memory::MeasuredRegion> measured,
                   open->Measure(plan, call));
  // A migration may have begun meanwhile.
  RETURN_IF_ERROR(parts.control.CheckMemoryIsHere(request.domain.uuid));
  Fill(policy, selected, std::move(measured), state);
  return state;
}

}  // namespace vmattest::capture
