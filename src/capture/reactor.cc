#include "capture/reactor.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/log.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace vmattest::capture {
namespace {

constexpr std::string_view kFormat = "vmattest/reactions/v1";
constexpr size_t kMaxFile = 4u << 20;
constexpr int64_t kHourMs = 3'600'000;
constexpr size_t kMaxFact = 512;
constexpr size_t kMostNamed = 8;

std::string Done(std::string_view action) {
  return action == "pause"     ? "paused"
         : action == "isolate" ? "links down"
                               : "destroyed";
}

// What is to be told in one line.
std::string Named(const SnapshotVerdict& verdict) {
  std::vector<std::string> names = verdict.differences;
  if (names.empty()) {
    for (const Reason& reason : verdict.failures) {
      names.push_back(fmt::format("{} {}", reason.code, reason.element));
    }
  }
  names.resize(std::min(names.size(), kMostNamed));
  std::string text =
      fmt::format("{}", fmt::join(names, "; ")).substr(0, kMaxFact);
  // Some of it a guest has chosen.
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; },
      '?');
  return text;
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return lines;
}

}  // namespace

Reactor::Reactor(Parts parts) : parts_(std::move(parts)) {
  absl::Status loaded = Load();
  if (!loaded.ok()) {
    log::Error("nothing is done about snapshots but alerts",
               {{"why", loaded.ToString()}});
  }
  const MutexLock lock(mutex_);
  readable_ = std::move(loaded);
}

// Lines of "TIME UUID POLICY".
absl::Status Reactor::Load() {
  const absl::StatusOr<Bytes> file = ReadFile(parts_.file, kMaxFile);
  if (absl::IsNotFound(file.status())) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(file.status());
  const std::vector<std::string_view> lines = Lines(AsText(*file));
  const auto damaged = [this] {
    return absl::DataLossError(
        fmt::format("{} is damaged", parts_.file.string()));
  };
  if (lines.empty() || lines.front() != kFormat) {
    return damaged();
  }
  const MutexLock lock(mutex_);
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::string_view line = lines[i];
    const size_t first = line.find(' ');
    const size_t second = line.find(' ', first + 1);
    int64_t time = 0;
    if (first == std::string_view::npos || second == std::string_view::npos ||
        std::from_chars(line.data(), line.data() + first, time).ptr !=
            line.data() + first) {
      return damaged();
    }
    done_[{std::string(line.substr(first + 1, second - first - 1)),
           std::string(line.substr(second + 1))}]
        .push_back(time);
  }
  return absl::OkStatus();
}

absl::Status Reactor::Save() {
  std::string text = fmt::format("{}\n", kFormat);
  for (const auto& [key, times] : done_) {
    for (const int64_t time : times) {
      text += fmt::format("{} {} {}\n", time, key.first, key.second);
    }
  }
  return WriteFileAtomic(parts_.file, AsBytes(text));
}

// RESOURCE_EXHAUSTED: there were as many within the hour. A clock that was set
// back gives none anew.
absl::Status Reactor::Count(const Key& key, uint32_t most) {
  const MutexLock lock(mutex_);
  RETURN_IF_ERROR(readable_);
  const int64_t now = parts_.clock.Now().time_since_epoch().count();
  for (auto one = done_.begin(); one != done_.end();) {
    std::erase_if(one->second,
                  [now](int64_t time) { return time + kHourMs <= now; });
    one = one->second.empty() ? done_.erase(one) : std::next(one);
  }
  const auto known = done_.find(key);
  if (known != done_.end() && known->second.size() >= most) {
    return absl::ResourceExhaustedError(
        fmt::format("at most {} per hour", most));
  }
  done_[key].push_back(now);
  return Save();
}

// Another run has not done what this one did.
absl::Status Reactor::CheckRun(const Subject& subject, const Uuid& vm) const {
  const std::string now = parts_.run_of(vm, subject.vm_name);
  return subject.run.empty() || now.empty() || subject.run == now
             ? absl::OkStatus()
             : absl::FailedPreconditionError("it was started anew since");
}

absl::Status Reactor::TakeDown(const Uuid& vm) {
  ASSIGN_OR_RETURN(const hypervisor::DomainXml xml,
                   parts_.hypervisor.GetXml(vm));
  ASSIGN_OR_RETURN(const std::vector<std::string> links,
                   parts_.links_down(xml.xml));
  if (parts_.isolating) {
    parts_.isolating(vm);
  }
  absl::Status status;
  for (const std::string& link : links) {
    status.Update(parts_.hypervisor.UpdateDevice(vm, link));
  }
  return status;
}

absl::Status Reactor::Do(const std::string& action, const Uuid& vm) {
  if (action == "pause") {
    return parts_.hypervisor.Suspend(vm);
  }
  if (action == "isolate") {
    return TakeDown(vm);
  }
  return parts_.hypervisor.Destroy(vm);
}

std::string Reactor::Act(const Subject& subject,
                         const snapshot::Policy& policy) {
  const std::string& action = policy.reaction.action;
  if (action == "alert") {
    return "alert";
  }
  if (policy.reaction.dry_run) {
    const MutexLock lock(mutex_);
    ++counters_.dry_runs;
    return "would " + action;
  }
  const absl::StatusOr<Uuid> vm = ParseUuid(subject.vm_uuid);
  absl::Status status = vm.status();
  if (status.ok()) {
    status = CheckRun(subject, *vm);
  }
  if (status.ok()) {
    status = Count({subject.vm_uuid, policy.id},
                   std::max(1U, policy.reaction.at_most_per_hour));
  }
  if (status.ok()) {
    status = Do(action, *vm);
  }
  const MutexLock lock(mutex_);
  ++(status.ok()                         ? counters_.done
     : absl::IsResourceExhausted(status) ? counters_.held_back
                                         : counters_.failed);
  return status.ok() ? Done(action)
                     : fmt::format("not {}: {}", Done(action),
                                   std::string(status.message()));
}

std::string Reactor::React(const Subject& subject,
                           const snapshot::Policy& policy,
                           const SnapshotVerdict& verdict) {
  const bool below =
      verdict.compared && verdict.score < policy.reaction.below_score;
  if (verdict.trusted && !below) {
    return "";
  }
  {
    const MutexLock lock(mutex_);
    ++counters_.alerts;
  }
  const std::string outcome = below ? Act(subject, policy) : "alert";
  const std::string named = Named(verdict);
  log::Error(verdict.compared ? "a VM's memory is not as its baseline"
                              : "a snapshot of a VM was refused",
             {{"vm", subject.vm_name},
              {"uuid", subject.vm_uuid},
              {"snapshot", subject.snapshot},
              {"score", verdict.compared ? std::to_string(verdict.score) : ""},
              {"baseline", verdict.baseline},
              {"differences", named},
              {"reaction", outcome}});
  parts_.note(
      "memory-alert",
      {{"vm_uuid", subject.vm_uuid},
       {"vm_name", subject.vm_name.substr(0, kMaxFact)},
       {"policy", snapshot::SubsetId(policy.id, policy.version)},
       {"snapshot", subject.snapshot},
       {"score", verdict.compared ? std::to_string(verdict.score) : "none"},
       {"baseline", verdict.baseline},
       {"differences", named},
       {"reaction", outcome.substr(0, kMaxFact)}});
  return outcome;
}

Reactor::Counters Reactor::counters() const {
  const MutexLock lock(mutex_);
  return counters_;
}

}  // namespace vmattest::capture
