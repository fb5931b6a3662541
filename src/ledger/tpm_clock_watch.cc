#include "ledger/tpm_clock_watch.h"

#include <tuple>
#include <utility>

#include "fmt/format.h"
#include "wire/messages.h"

namespace vmattest::ledger {
namespace {

constexpr std::string_view kTpmClock = "ledger-tpm-clock";

auto Order(const TpmClock& clock) {
  return std::tie(clock.reset_count, clock.restart_count, clock.clock_ms);
}

std::string Told(const TpmClock& clock) {
  return fmt::format("{} ms after restart {} of reset {}", clock.clock_ms,
                     clock.restart_count, clock.reset_count);
}

}  // namespace

std::optional<Reason> TpmClockWatch::Take(const Entry& entry,
                                          uint64_t generation) {
  if (entry.by_document || !entry.body.has_clock()) {
    return std::nullopt;
  }
  const TpmClock clock = wire::FromMessage(entry.body.clock());
  Newest& newest = hosts_[entry.body.host_id()];
  const bool behind =
      newest.generation == generation && Order(clock) < Order(newest.clock);
  const Newest before =
      std::exchange(newest, {.generation = generation, .clock = clock});
  if (!behind) {
    return std::nullopt;
  }
  return Reason{std::string(kTpmClock), "host " + entry.body.host_id(),
                "not before " + Told(before.clock), Told(clock)};
}

}  // namespace vmattest::ledger
