#include "ops/service_manager.h"

#include <systemd/sd-daemon.h>
#include <time.h>

#include <algorithm>

#include "fmt/format.h"

namespace vmattest::ops {
namespace {

// One notification is lines of KEY=value: text must not start a new one.
std::string OneLine(std::string_view text) {
  std::string line(text.substr(0, 512));
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

void Notify(const std::string& message) {
  (void)sd_notify(/*unset_environment=*/0, message.c_str());
}

}  // namespace

void ServiceManager::Ready(std::string_view status) const {
  Notify(fmt::format("READY=1\nSTATUS={}", OneLine(status)));
}

void ServiceManager::Status(std::string_view status) const {
  Notify(fmt::format("STATUS={}", OneLine(status)));
}

void ServiceManager::Reloading() const {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  Notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                     now.tv_sec * 1'000'000LL + now.tv_nsec / 1000));
}

void ServiceManager::Stopping() const { Notify("STOPPING=1"); }

void ServiceManager::KickWatchdog() const { Notify("WATCHDOG=1"); }

std::optional<std::chrono::microseconds> ServiceManager::watchdog_period()
    const {
  uint64_t period_us = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/0, &period_us) <= 0) {
    return std::nullopt;
  }
  return std::chrono::microseconds(period_us);
}

}  // namespace vmattest::ops
