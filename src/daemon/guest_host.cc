#include "daemon/guest_host.h"

#include <utility>

#include "fmt/format.h"

namespace vmattest::daemon {
namespace {

using guestchannel::Desk;

// One may wait for libvirt.
constexpr size_t kThreads = 2;
constexpr size_t kQueue = 256;

constexpr Desk::Outcome kOutcomes[] = {
    Desk::Outcome::kTaken, Desk::Outcome::kFailed, Desk::Outcome::kTooSoon,
    Desk::Outcome::kRefused, Desk::Outcome::kUnreadable};

}  // namespace

absl::StatusOr<std::unique_ptr<GuestHost>> GuestHost::Make(
    const config::MemoryConfig::GuestRequests& config, const Parts& parts,
    inspection::WorkerPoolOptions workers, capture::Capturer& capturer) {
  for (size_t i = 0; i < config.policies.size(); ++i) {
    RETURN_IF_ERROR_WITH(capturer.FindPolicy(config.policies[i]).status(),
                         fmt::format("policies[{}]", i));
  }
  return std::unique_ptr<GuestHost>(
      new GuestHost(config, parts, std::move(workers), capturer));
}

GuestHost::GuestHost(const config::MemoryConfig::GuestRequests& config,
                     const Parts& parts, inspection::WorkerPoolOptions workers,
                     capture::Capturer& capturer)
    : pool_(guestchannel::ForGuestRequests(std::move(workers))),
      parser_(pool_),
      threads_("guest", kThreads, kQueue),
      desk_({.parser = parser_,
             .work = threads_,
             .clock = parts.clock,
             .capture =
                 [&capturer](capture::CaptureRequest request,
                             capture::Capturer::Done done) {
                   capturer.Capture(std::move(request), std::move(done));
                 },
             .limit_of =
                 [&capturer](const std::string& id) {
                   const auto policy = capturer.FindPolicy(id);
                   return std::chrono::seconds(
                       policy.ok() ? (*policy)->max_seconds : 0);
                 },
             .note =
                 [&journal = parts.journal](auto kind, auto facts) {
                   journal.Note(std::move(kind), std::move(facts));
                 }},
            {.min_interval = std::chrono::seconds(config.min_interval_seconds),
             .policies = config.policies}),
      channels_({.hypervisor = parts.libvirt,
                 .work = threads_,
                 .take =
                     [this](const guestchannel::Guest& guest, Bytes payload,
                            Desk::Reply reply) {
                       desk_.Take(guest, std::move(payload), std::move(reply));
                     },
                 .looked = [this] { desk_.Forget(); }}) {}

void GuestHost::Stop() {
  channels_.Stop();
  pool_.Stop();
  threads_.Shutdown();
}

std::vector<ops::Metric> GuestHost::Metrics() const {
  std::vector<ops::Metric> all;
  const Desk::Counters counters = desk_.counters();
  for (const Desk::Outcome outcome : kOutcomes) {
    const auto found = counters.find(outcome);
    all.push_back(
        {"vmattest_guest_requests_total",
         "What guests asked for, by what became of it.",
         ops::Metric::Type::kCounter,
         found == counters.end() ? 0 : static_cast<double>(found->second),
         {{"outcome", std::string(Desk::ToString(outcome))}}});
  }
  all.push_back({"vmattest_guest_channels",
                 "Running VMs whose agents are listened to.",
                 ops::Metric::Type::kGauge,
                 static_cast<double>(channels_.connected()),
                 {}});
  return all;
}

}  // namespace vmattest::daemon
