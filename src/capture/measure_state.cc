#include "capture/measure_state.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "base/log.h"
#include "capture/state_statement.h"
#include "fmt/format.h"
#include "measurement/domain_memory.h"
#include "snapshot/selection.h"

namespace vmattest::capture {
namespace {

using snapshot::Consistency;

constexpr uint32_t kPointInTimeBudgetMs = 1000;
constexpr size_t kMaxNote = 1024;
constexpr std::string_view kLeftOut = "left-out: ";

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

// RAM that the guest has, and nobody reads.
std::string LeftOut(const std::vector<std::string>& notes) {
  std::string all;
  for (const std::string& note : notes) {
    if (note.rfind(kLeftOut, 0) == 0 && all.size() < kMaxNote) {
      all += (all.empty() ? "" : "; ") + note.substr(kLeftOut.size());
    }
  }
  return all;
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

std::optional<evidence::Boot> BootOf(const StateParts& parts,
                                     const StateRequest& request) {
  return parts.boot_of ? std::optional(parts.boot_of(request.domain.uuid))
                       : std::nullopt;
}

// A guest, and what the policy selects of it.
struct OpenedGuest {
  std::unique_ptr<memory::MeasuredGuest> guest;
  std::string kernel_file;
  std::vector<memory::AddressRange> ram;
  std::optional<memory::GuestMeaning> meaning;  // none: nothing asks for it
  std::vector<snapshot::SelectedRegion> selected;
};

absl::StatusOr<OpenedGuest> Open(const StateParts& parts,
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
  OpenedGuest opened;
  ASSIGN_OR_RETURN(opened.guest, parts.measurer.Open(guest, request.call));
  opened.kernel_file = measurement::DirectBootKernel(xml.xml);
  opened.ram = opened.guest->ram(policy.rom_shadow);
  return opened;
}

// In the moment that was saved, if one was.
absl::Status SelectIn(OpenedGuest& opened, const snapshot::Policy& policy,
                      const StateRequest& request) {
  if (std::optional<memory::MeaningRequest> wanted =
          snapshot::WantedMeaning(policy)) {
    wanted->kernel_file = opened.kernel_file;
    ASSIGN_OR_RETURN(opened.meaning,
                     opened.guest->Understand(*wanted, request.call));
  }
  ASSIGN_OR_RETURN(opened.selected,
                   snapshot::Select(policy, opened.ram, request.nonce,
                                    opened.meaning ? &*opened.meaning : nullptr,
                                    LeftOut(opened.guest->notes())));
  return absl::OkStatus();
}

// Page tables may have changed since the parts were found: what was measured is
// then what was there before.
absl::Status TellWhatMoved(
    const std::vector<snapshot::SelectedRegion>& selected,
    const memory::MeasureCall& call, memory::MeasuredGuest& guest,
    evidence::StateStatement& statement) {
  ASSIGN_OR_RETURN(const std::vector<uint64_t> moved, guest.CountMoved(call));
  size_t next = 0;
  std::string note;
  for (const snapshot::SelectedRegion& region : selected) {
    if (!region.meant) {
      continue;
    }
    if (next < moved.size() && moved[next] != 0 && note.size() < kMaxNote) {
      note += fmt::format("{} {} ({} of {} parts)", note.empty() ? "" : ",",
                          region.name, moved[next], region.parts.size());
    }
    ++next;
  }
  if (!note.empty()) {
    statement.notes.push_back(
        fmt::format("moved:{}: not where they were found any more", note));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MeasuredState> MeasureState(const StateParts& parts,
                                           const snapshot::Policy& policy,
                                           const StateRequest& request) {
  memory::MeasureCall call = request.call;
  const std::optional<evidence::Boot> boot = BootOf(parts, request);
  ASSIGN_OR_RETURN(OpenedGuest opened, Open(parts, policy, request));
  memory::MeasuredGuest& guest = *opened.guest;
  MeasuredState state;
  state.statement = BeginStatement(policy, request);
  state.statement.run = guest.run();
  state.statement.reader = guest.reader();
  state.statement.map_proof = guest.map_proof();
  state.statement.notes = guest.notes();
  bool saved = false;
  if (policy.consistency == Consistency::kPointInTime) {
    ASSIGN_OR_RETURN(saved,
                     SaveMoment(parts, request, call, guest, state.statement));
  }
  RETURN_IF_ERROR(SelectIn(opened, policy, request));
  const std::vector<snapshot::SelectedRegion>& selected = opened.selected;
  const memory::GuestMeaning* const meaning =
      opened.meaning ? &*opened.meaning : nullptr;
  const memory::MeasurePlan plan = PlanOf(policy, selected);

  for (const memory::AddressRange& range : opened.ram) {
    state.statement.ram.push_back({range.begin, range.end});
  }
  AddMeaning(policy, meaning, state);
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
  const bool live = policy.consistency == Consistency::kLive;
  const bool may_move = meaning != nullptr && meaning->understood() && !saved;
  if (!live && !saved) {
    RETURN_IF_ERROR(
        CopyPaused(parts, policy, request, plan, call, guest, state.statement));
  }
  if (may_move && !live) {
    RETURN_IF_ERROR(TellWhatMoved(selected, call, guest, state.statement));
  }
  ASSIGN_OR_RETURN(std::vector<memory::MeasuredRegion> measured,
                   guest.Measure(plan, call));
  if (may_move && live) {
    RETURN_IF_ERROR(TellWhatMoved(selected, call, guest, state.statement));
  }
  // A migration may have begun meanwhile.
  RETURN_IF_ERROR(parts.control.CheckMemoryIsHere(request.domain.uuid));
  AddRegions(policy, selected, std::move(measured), state);
  // What is partly of another boot is of none.
  if (BootOf(parts, request) == boot) {
    state.statement.boot = boot;
  }
  return state;
}

absl::StatusOr<StateEstimate> EstimateState(const StateParts& parts,
                                            const snapshot::Policy& policy,
                                            const StateRequest& request) {
  ASSIGN_OR_RETURN(OpenedGuest opened, Open(parts, policy, request));
  RETURN_IF_ERROR(SelectIn(opened, policy, request));
  StateEstimate estimate;
  estimate.reader = opened.guest->reader();
  if (opened.meaning) {
    estimate.semantics = opened.meaning->semantics;
    estimate.kernel_release = opened.meaning->kernel_release;
  }
  estimate.regions = std::move(opened.selected);
  return estimate;
}

}  // namespace vmattest::capture
