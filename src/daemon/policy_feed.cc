#include "daemon/policy_feed.h"

#include <utility>

#include "base/log.h"

namespace vmattest::daemon {
namespace {

constexpr std::chrono::seconds kDeadline{10};
constexpr size_t kMostWanted = 256;
constexpr size_t kMostVms = 4096;  // as the verifier takes

}  // namespace

std::vector<std::string> PolicyFeed::Vms() {
  std::set<std::string> vms;
  {
    const MutexLock lock(mutex_);
    vms = wanted_;
  }
  for (std::string& vm : parts_.defined()) {
    if (vms.size() < kMostVms) {
      vms.insert(std::move(vm));
    }
  }
  return {vms.begin(), vms.end()};
}

void PolicyFeed::Ask() {
  const std::vector<std::string> vms = Vms();
  const auto held =
      parts_.verifier.GetHostPolicy(vms, parts_.clock.Monotonic() + kDeadline);
  absl::Status status = Annotate(held.status(), "asking for policy");
  if (held.ok()) {
    const absl::StatusOr<size_t> taken =
        parts_.policy.Take(*held, parts_.clock.Now());
    status = Annotate(taken.status(), "keeping policy");
    if (taken.ok() && *taken > 0) {
      log::Info("policy was read", {{"new", std::to_string(*taken)}});
    }
  }
  if (status.ok() && held->revoked) {
    status = absl::FailedPreconditionError(
        "the verifier has revoked this host (vmattest hosts show)");
  }
  {
    const MutexLock lock(mutex_);
    status_ = std::move(status);
  }
  parts_.asked();
}

void PolicyFeed::Kick() {
  // If one waits already, that is enough.
  (void)pool_.Submit([this] { Ask(); });
}

void PolicyFeed::Want(const std::string& vm_uuid) {
  {
    const MutexLock lock(mutex_);
    if (wanted_.size() >= kMostWanted && !wanted_.contains(vm_uuid)) {
      wanted_.erase(wanted_.begin());
    }
    wanted_.insert(vm_uuid);
  }
  Kick();
}

absl::Status PolicyFeed::status() const {
  const MutexLock lock(mutex_);
  return status_;
}

}  // namespace vmattest::daemon
