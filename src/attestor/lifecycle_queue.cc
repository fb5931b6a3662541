#include "attestor/lifecycle_queue.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "fmt/format.h"

namespace vmattest::attestor {
namespace {

using hypervisor::LifecycleKind;
using inventory::VmRecord;

constexpr size_t kMaxPerVm = 16;
constexpr size_t kMaxVms = 4096;
constexpr uint64_t kTrimEvery = 1024;
constexpr size_t kPage = 500;
constexpr std::string_view kUndefined = "undefined";
constexpr std::string_view kReconciled = "reconciled";

bool Measures(const std::optional<LifecycleKind>& kind) {
  if (!kind) {
    return true;
  }
  switch (*kind) {
    case LifecycleKind::kDefined:
    case LifecycleKind::kStarted:
    case LifecycleKind::kStopped:
    case LifecycleKind::kCrashed:
      return true;
    case LifecycleKind::kUndefined:
    case LifecycleKind::kSuspended:
    case LifecycleKind::kResumed:
      return false;
  }
  return true;
}

std::string KindName(const std::optional<LifecycleKind>& kind) {
  return std::string(kind ? hypervisor::ToString(*kind) : kReconciled);
}

}  // namespace

Lifecycle::Queue::~Queue() {
  stopping_ = true;
  const MutexLock lock(mutex_);
  changed_.NotifyAll();
  while (workers_ > 0) {
    changed_.Wait(mutex_);
  }
}

void Lifecycle::Queue::Connected() {
  if (options_.on_state) {
    options_.on_state(absl::OkStatus());
  }
  {
    const MutexLock lock(mutex_);
    pass_wanted_ = true;
  }
  Hire();
}

void Lifecycle::Queue::Disconnected(const absl::Status& why) {
  if (options_.on_state) {
    options_.on_state(why);
  }
}

void Lifecycle::Queue::Push(const hypervisor::LifecycleEvent& event) {
  {
    const MutexLock lock(mutex_);
    Add(event.uuid, {.kind = event.kind, .name = event.name, .pass = nullptr});
  }
  Hire();
}

void Lifecycle::Queue::Add(const Uuid& uuid, Item item) {
  if (lines_.size() >= kMaxVms && item.kind && lines_.count(uuid) == 0) {
    pass_wanted_ = true;
    return;
  }
  Line& line = lines_[uuid];
  if (!item.pass && !line.items.empty() &&
      line.items.back().kind == item.kind) {
    return;
  }
  if (item.kind && line.items.size() >= kMaxPerVm) {
    const auto kept = std::remove_if(line.items.begin(), line.items.end(),
                                     [](const Item& i) { return !i.pass; });
    line.items.erase(kept, line.items.end());
    item.kind.reset();
  }
  line.items.push_back(std::move(item));
  if (!std::exchange(line.scheduled, true)) {
    ready_.push_back(uuid);
  }
  changed_.NotifyAll();
}

void Lifecycle::Queue::Hire() {
  {
    const MutexLock lock(mutex_);
    if (workers_ >= kWorkers || (ready_.empty() && !pass_wanted_)) {
      return;
    }
    ++workers_;
  }
  const absl::Status submitted = parts_.work.Submit([this] { Work(); });
  if (!submitted.ok()) {
    log::Error("lifecycle work waits for the next event",
               {{"error", submitted.ToString()}});
    const MutexLock lock(mutex_);
    --workers_;
    changed_.NotifyAll();
  }
}

void Lifecycle::Queue::Work() {
  while (WorkOnce()) {
  }
}

bool Lifecycle::Queue::WorkOnce() {
  bool pass = false;
  Uuid uuid;
  Item item;
  {
    const MutexLock lock(mutex_);
    if (stopping_ || (ready_.empty() && !pass_wanted_)) {
      --workers_;
      changed_.NotifyAll();
      return false;
    }
    pass = std::exchange(pass_wanted_, false);
    if (!pass) {
      uuid = ready_.front();
      ready_.pop_front();
      Line& line = lines_.at(uuid);
      item = std::move(line.items.front());
      line.items.pop_front();
    }
  }
  if (pass) {
    if (const absl::Status status = StartPass(nullptr);
        !status.ok() && !absl::IsUnavailable(status)) {
      log::Error("reconciling failed", {{"error", status.ToString()}});
    }
    Hire();
    return true;
  }
  const Result result = Handle(uuid, item);
  bool trim = false;
  {
    const MutexLock lock(mutex_);
    Finish(item, result);
    const auto line = lines_.find(uuid);
    if (line->second.items.empty()) {
      lines_.erase(line);
    } else {
      ready_.push_back(uuid);
    }
    trim = ++handled_ % kTrimEvery == 0;
  }
  if (trim) {
    TrimNow();
  }
  return true;
}

void Lifecycle::Queue::Finish(const Item& item, Result result) {
  if (!item.pass) {
    return;
  }
  switch (result) {
    case Result::kNothing:
      break;
    case Result::kMeasured:
      ++item.pass->result.measured;
      break;
    case Result::kFailed:
      ++item.pass->result.failed;
      break;
    case Result::kUnreachable:
      item.pass->error =
          absl::UnavailableError("libvirt did not let all VMs be looked at");
      break;
  }
  --item.pass->pending;
  changed_.NotifyAll();
}

absl::Status Lifecycle::Queue::StartPass(const std::shared_ptr<Pass>& pass) {
  ASSIGN_OR_RETURN(const std::vector<hypervisor::Domain> domains,
                   parts_.hypervisor.ListDomains());
  std::map<Uuid, std::string> vms;
  for (const hypervisor::Domain& domain : domains) {
    vms.emplace(domain.uuid, domain.name);
  }
  std::optional<Uuid> after;
  while (true) {
    ASSIGN_OR_RETURN(const std::vector<VmRecord> page,
                     parts_.store.List(after, kPage));
    for (const VmRecord& record : page) {
      if (record.state != kUndefined) {
        vms.emplace(record.uuid, record.name);
      }
    }
    if (page.size() < kPage) {
      break;
    }
    after = page.back().uuid;
  }
  {
    const MutexLock lock(mutex_);
    if (pass) {
      pass->pending = vms.size();
    }
    for (const auto& [uuid, name] : vms) {
      Add(uuid, {.kind = std::nullopt, .name = name, .pass = pass});
    }
  }
  TrimNow();
  return absl::OkStatus();
}

absl::StatusOr<ReconcileResult> Lifecycle::Queue::Reconcile() {
  const auto pass = std::make_shared<Pass>();
  RETURN_IF_ERROR_WITH(StartPass(pass), "reconciling");
  Hire();
  // The caller is a worker too, so that this ends even where the executor has
  // no room.
  while (true) {
    {
      const MutexLock lock(mutex_);
      while (pass->pending > 0 && ready_.empty() && !stopping_) {
        changed_.Wait(mutex_);
      }
      if (pass->pending == 0 || stopping_) {
        RETURN_IF_ERROR(pass->error);
        return stopping_ ? absl::StatusOr<ReconcileResult>(
                               absl::UnavailableError("shutting down"))
                         : pass->result;
      }
      ++workers_;
    }
    if (WorkOnce()) {
      const MutexLock lock(mutex_);
      --workers_;
    }
  }
}

Lifecycle::Queue::Result Lifecycle::Queue::Handle(const Uuid& uuid,
                                                  const Item& item) {
  const uint64_t begun = parts_.recorder.Begin();
  const absl::StatusOr<SeenVm> seen = SeeVm(parts_.hypervisor, uuid);
  if (seen.ok()) {
    return HandlePresent(item, *seen, begun);
  }
  if (absl::IsNotFound(seen.status())) {
    return HandleGone(uuid, item, begun);
  }
  if (absl::IsUnavailable(seen.status())) {
    // The next connection begins with a pass over all VMs.
    return Result::kUnreachable;
  }
  const absl::StatusOr<hypervisor::Domain> domain =
      parts_.hypervisor.FindDomain(uuid);
  if (!domain.ok()) {
    return Result::kUnreachable;
  }
  return Record({.vm = ToRecord(*domain),
                 .kind = KindName(item.kind),
                 .measurement = ToRecord(seen.status(), options_.algorithm,
                                         KindName(item.kind), parts_.clock),
                 .begun = begun,
                 .only_if_changed = !item.kind},
                Result::kFailed);
}

Lifecycle::Queue::Result Lifecycle::Queue::HandlePresent(const Item& item,
                                                         const SeenVm& seen,
                                                         uint64_t begun) {
  Observation observation{.vm = ToRecord(seen.domain),
                          .kind = KindName(item.kind),
                          .measurement = std::nullopt,
                          .begun = begun,
                          .only_if_changed = !item.kind};
  if (!Measures(item.kind)) {
    return Record(std::move(observation), Result::kNothing);
  }
  measurement::MeasureOptions options;
  options.algorithm = options_.algorithm;
  options.content = options_.content;
  options.inside = options_.inside;
  absl::StatusOr<std::shared_ptr<const SecretBytes>> salt =
      SaltFor(parts_.store, options_.salted, seen.domain.uuid);
  if (!salt.ok()) {
    observation.measurement = ToRecord(salt.status(), options_.algorithm,
                                       observation.kind, parts_.clock);
    return Record(std::move(observation), Result::kFailed);
  }
  options.vm_salt = *std::move(salt);
  options.progress =
      parts_.recorder.Progress(seen.domain.uuid, seen.domain.name);
  options.cancelled = [this] { return stopping_.load(); };
  const absl::StatusOr<measurement::DomainMeasurement> measured =
      MeasureSeen(parts_.measurer, seen, options);
  if (absl::IsCancelled(measured.status())) {
    return Result::kUnreachable;
  }
  observation.measurement =
      ToRecord(measured, options_.algorithm, observation.kind, parts_.clock);
  return Record(std::move(observation),
                measured.ok() ? Result::kMeasured : Result::kFailed);
}

Lifecycle::Queue::Result Lifecycle::Queue::HandleGone(const Uuid& uuid,
                                                      const Item& item,
                                                      uint64_t begun) {
  Observation observation{.vm = {.uuid = uuid,
                                 .name = item.name,
                                 .state = std::string(kUndefined),
                                 .persistent = false,
                                 .last_measurement = std::nullopt},
                          .kind = KindName(item.kind),
                          .measurement = std::nullopt,
                          .begun = begun,
                          .only_if_changed = !item.kind};
  if (item.kind == LifecycleKind::kDefined ||
      item.kind == LifecycleKind::kStarted) {
    // It was there, perhaps it ran, and nobody knows what it was.
    observation.measurement =
        ToRecord(absl::NotFoundError("gone before it could be measured"),
                 options_.algorithm, observation.kind, parts_.clock);
    return Record(std::move(observation), Result::kFailed);
  }
  return Record(std::move(observation), Result::kNothing);
}

Lifecycle::Queue::Result Lifecycle::Queue::Record(Observation observation,
                                                  Result result) {
  const std::string name = observation.vm.name;
  const std::string kind = observation.kind;
  const std::string error =
      observation.measurement ? observation.measurement->error : std::string();
  const auto outcome = parts_.recorder.Record(std::move(observation));
  if (!outcome.ok()) {
    log::Error("an event was not recorded",
               {{"vm", name},
                {"event", kind},
                {"error", outcome.status().ToString()}});
    return Result::kFailed;
  }
  if (outcome->recorded && !error.empty()) {
    log::Warning("measuring failed",
                 {{"vm", name}, {"event", kind}, {"error", error}});
  } else if (outcome->changed) {
    log::Info("configuration changed", {{"vm", name}, {"event", kind}});
  }
  return result;
}

void Lifecycle::Queue::TrimNow() {
  if (const absl::Status trimmed = parts_.store.Trim(options_.event_history);
      !trimmed.ok()) {
    log::Warning("the event history was not trimmed",
                 {{"error", trimmed.ToString()}});
  }
}

}  // namespace vmattest::attestor
