#include "capture/capturer.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "wire/codec.h"

namespace vmattest::capture {

struct Capturer::Work {
  CaptureRequest request;
  Done done;
  const snapshot::Policy* policy = nullptr;
  TpmClock measured_at;
  std::optional<hypervisor::Domain> domain;
  bool busies = false;  // the VM is busy because of this
  MeasuredState state;
};

Capturer::~Capturer() {
  const MutexLock lock(mutex_);
  while (pending_ > 0) {
    changed_.Wait(mutex_);
  }
}

absl::StatusOr<const snapshot::Policy*> Capturer::FindPolicy(
    const std::string& name) const {
  for (const snapshot::Policy& policy : policies_) {
    if (name == policy.id ||
        name == snapshot::SubsetId(policy.id, policy.version)) {
      return &policy;
    }
  }
  return absl::NotFoundError(
      fmt::format("this host has no snapshot policy '{}'", name));
}

absl::StatusOr<hypervisor::Domain> Capturer::FindVm(const std::string& vm) {
  const absl::StatusOr<Uuid> uuid = ParseUuid(vm);
  return uuid.ok() ? parts_.state.hypervisor.FindDomain(*uuid)
                   : parts_.state.hypervisor.FindDomainByName(vm);
}

absl::StatusOr<StateEstimate> Capturer::Estimate(
    const hypervisor::Domain& domain, const snapshot::Policy& policy,
    MonotonicTime deadline) {
  // Samples are as large whatever they are drawn by.
  return EstimateState(parts_.state, policy,
                       {.domain = domain,
                        .nonce = Bytes(evidence::kMinNonceSize),
                        .cause = "",
                        .call = {deadline, {}, {}},
                        .progress = {}});
}

void Capturer::Capture(CaptureRequest request, Done done) {
  {
    const MutexLock lock(mutex_);
    ++pending_;
  }
  auto work = std::make_shared<Work>();
  work->request = std::move(request);
  work->done = std::move(done);
  const absl::StatusOr<const snapshot::Policy*> policy =
      FindPolicy(work->request.policy);
  if (!policy.ok()) {
    Finish(work, policy.status());
    return;
  }
  work->policy = *policy;
  work->request.deadline =
      std::min(work->request.deadline,
               parts_.clock.Monotonic() +
                   std::chrono::seconds(work->policy->max_seconds));
  const absl::Status asked = parts_.signer.ReadClock(
      work->request.deadline, [this, work](absl::StatusOr<TpmClock> clock) {
        if (!clock.ok()) {
          Finish(work, clock.status());
          return;
        }
        work->measured_at = *clock;
        Then(work, [this, work] { Begin(work); });
      });
  if (!asked.ok()) {
    Finish(work, asked);
  }
}

void Capturer::Begin(const WorkPtr& work) {
  absl::StatusOr<hypervisor::Domain> domain = FindVm(work->request.vm);
  if (!domain.ok()) {
    Finish(work, domain.status());
    return;
  }
  work->domain = *std::move(domain);
  {
    const MutexLock lock(mutex_);
    if (std::find(busy_.begin(), busy_.end(), work->domain->uuid) !=
        busy_.end()) {
      waiting_.push_back(work);
      return;
    }
    busy_.push_back(work->domain->uuid);
    work->busies = true;
  }
  Measure(work);
}

void Capturer::Measure(const WorkPtr& work) {
  if (parts_.clock.Monotonic() >= work->request.deadline) {
    Finish(work, absl::DeadlineExceededError("it waited for too long"));
    return;
  }
  absl::StatusOr<MeasuredState> state = MeasureState(
      parts_.state, *work->policy,
      {.domain = *work->domain,
       .nonce = work->request.nonce,
       .cause = work->request.cause,
       .call = {work->request.deadline, {}, work->request.cancelled},
       .progress = work->request.progress});
  if (!state.ok()) {
    Finish(work, state.status());
    return;
  }
  work->state = *std::move(state);
  Seal(work);
}

void Capturer::Seal(const WorkPtr& work) {
  if (work->request.progress) {
    work->request.progress({"sealing", 0, 0});
  }
  work->state.statement.header.measured_at = work->measured_at;
  parts_.statements.Seal(
      evidence::kStatePayloadType, work->state.statement.header,
      [work](const evidence::StatementHeader& header) {
        work->state.statement.header = header;
        return wire::EncodeStateStatement(work->state.statement);
      },
      work->request.deadline,
      [this, work](absl::StatusOr<attestor::SealedStatement> sealed) {
        if (!sealed.ok()) {
          Finish(work, Annotate(sealed.status(), "sealing"));
          return;
        }
        Then(work,
             [this, work, sealed = *std::move(sealed)] { Keep(work, sealed); });
      });
}

void Capturer::Keep(const WorkPtr& work, attestor::SealedStatement sealed) {
  evidence::Evidence evidence;
  evidence.envelope = std::move(sealed.envelope);
  evidence.keys = std::move(sealed.keys);
  CapturedSnapshot captured;
  captured.evidence = wire::EncodeEvidence(evidence);
  captured.record.statement = work->state.statement;
  absl::StatusOr<std::string> id = parts_.store.Add(
      work->domain->uuid, work->state.statement.header.time_unix_ms,
      captured.evidence, wire::EncodeSnapshotPages(work->state.pages),
      work->request.cause == kGuest);
  if (!id.ok()) {
    Finish(work, Annotate(id.status(), "keeping the snapshot"));
    return;
  }
  captured.record.id = *std::move(id);
  captured.guest_report = std::move(work->request.guest_report);
  if (parts_.captured) {
    parts_.captured(captured, *work->policy);
  }
  Finish(work, std::move(captured));
}

void Capturer::Then(const WorkPtr& work, std::function<void()> step) {
  const absl::Status queued = parts_.work.Submit(std::move(step));
  if (!queued.ok()) {
    Finish(work, queued);
  }
}

void Capturer::Finish(const WorkPtr& work,
                      absl::StatusOr<CapturedSnapshot> result) {
  {
    const MutexLock lock(mutex_);
    if (result.ok()) {
      ++counters_.captured;
      counters_.pause_us += result->record.statement.pause_us;
      for (const evidence::RegionState& region :
           result->record.statement.regions) {
        counters_.pages += region.pages;
      }
    } else {
      ++counters_.failed;
    }
  }
  work->done(result.ok()
                 ? std::move(result)
                 : Annotate(result.status(), fmt::format("snapshot of vm {}",
                                                         work->request.vm)));
  if (const WorkPtr next = PassOn(*work); next != nullptr) {
    Then(next, [this, next] { Measure(next); });
  }
  const MutexLock lock(mutex_);
  --pending_;
  changed_.NotifyAll();
}

// Who has the VM next, if it was this one's.
Capturer::WorkPtr Capturer::PassOn(const Work& work) {
  const MutexLock lock(mutex_);
  if (!work.busies) {
    return nullptr;
  }
  const auto next =
      std::find_if(waiting_.begin(), waiting_.end(), [&](const WorkPtr& one) {
        return one->domain->uuid == work.domain->uuid;
      });
  if (next == waiting_.end()) {
    std::erase(busy_, work.domain->uuid);
    return nullptr;
  }
  WorkPtr found = *next;
  waiting_.erase(next);
  found->busies = true;
  return found;
}

Capturer::Counters Capturer::counters() const {
  const MutexLock lock(mutex_);
  return counters_;
}

}  // namespace vmattest::capture
