#include "cli/policy_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"
#include "cli/exit_code.h"
#include "memory/ram_layout.h"
#include "snapshot/policy.h"
#include "snapshot/selection.h"

namespace vmattest::cli {
namespace {

// What a core copies while a guest stands, cautiously.
constexpr uint64_t kCopyBytesPerMs = uint64_t{4} << 20;
constexpr uint64_t kFixedPauseMs = 5;
// Measured: docs/performance.md, docs/memory.md.
constexpr uint64_t kMomentMs = 300;

// What an estimate for no VM in particular cannot know.
constexpr const char* kInVm = "known in a running VM (--vm)";

std::string Describe(const snapshot::Selector& selector) {
  if (const auto* physical = std::get_if<snapshot::PhysicalRanges>(&selector)) {
    return fmt::format("{} physical ranges", physical->ranges.size());
  }
  if (const auto* sample = std::get_if<snapshot::Sample>(&selector)) {
    return fmt::format("{} pages of RAM, drawn by {}", sample->pages,
                       sample->seed == snapshot::kNonceSeed
                           ? "the request's nonce"
                           : "a seed of the policy");
  }
  if (const auto* guest = std::get_if<snapshot::GuestSelector>(&selector)) {
    return fmt::format("{} {}{}{}", snapshot::ToString(guest->kind),
                       fmt::join(guest->names, " "),
                       guest->names.empty() || guest->parts.empty() ? "" : " ",
                       fmt::join(guest->parts, " "));
  }
  return "all RAM";
}

absl::Status Explain(const PolicyCheckArgs& args, std::ostream& out) {
  ASSIGN_OR_RETURN(const snapshot::Policy policy,
                   snapshot::LoadPolicy(args.file));
  memory::DomainMemory domain;
  domain.machine = "q35";
  domain.arch = "x86_64";
  domain.boot_bytes = args.memory_mib << 20;
  ASSIGN_OR_RETURN(const memory::RamLayout layout, memory::LayOut(domain));
  const std::string nonce(16, '\0');
  ASSIGN_OR_RETURN(
      const auto regions,
      snapshot::Select(policy, memory::RamOf(layout, policy.rom_shadow),
                       AsBytes(nonce), nullptr));
  std::vector<RegionCost> costs;
  for (const snapshot::SelectedRegion& region : regions) {
    const bool later = std::holds_alternative<snapshot::GuestSelector>(
        policy.regions[costs.size()].selector);
    costs.push_back({region.bytes(), 0, later ? kInVm : region.unavailable});
  }
  ExplainPolicy(policy, costs, fmt::format("a VM of {} MiB", args.memory_mib),
                out);
  return absl::OkStatus();
}

}  // namespace

void ExplainPolicy(const snapshot::Policy& policy,
                   const std::vector<RegionCost>& costs, const std::string& of,
                   std::ostream& out) {
  out << fmt::format(
      "policy      {}\ndigest      sha256:{}\nhash        {} of {} bytes\n"
      "consistency {}{}\n",
      snapshot::SubsetId(policy.id, policy.version), ToHex(policy.digest),
      ToString(policy.algorithm), policy.page_bytes,
      snapshot::ToString(policy.consistency),
      policy.consistency == snapshot::Consistency::kPaused
          ? fmt::format(", at most {} ms", policy.pause_budget_ms)
          : "");
  uint64_t bytes = 0;
  for (size_t i = 0; i < policy.regions.size() && i < costs.size(); ++i) {
    const snapshot::Region& region = policy.regions[i];
    out << fmt::format("region      {} ({}): {}", region.name,
                       snapshot::ToString(region.severity),
                       Describe(region.selector));
    if (!costs[i].unavailable.empty()) {
      out << fmt::format(", {}", costs[i].unavailable);
    } else if (costs[i].parts != 0) {
      out << fmt::format(", {} KiB in {} parts", costs[i].bytes >> 10,
                         costs[i].parts);
    } else {
      out << fmt::format(", {} KiB", costs[i].bytes >> 10);
    }
    out << "\n";
    bytes += costs[i].bytes;
  }
  if (policy.schedule) {
    out << fmt::format("schedule    every {} s, give or take {} %\n",
                       policy.schedule->every_seconds,
                       policy.schedule->jitter_percent);
  }
  out << fmt::format("reads       at most {} KiB of {}\n", bytes >> 10, of);
  switch (policy.consistency) {
    case snapshot::Consistency::kLive:
      break;
    case snapshot::Consistency::kPaused:
      out << fmt::format("pause       about {} ms\n",
                         kFixedPauseMs + bytes / kCopyBytesPerMs);
      break;
    case snapshot::Consistency::kPointInTime:
      out << fmt::format(
          "pause       about {} ms, while QEMU saves its devices\n", kMomentMs);
      break;
  }
}

int RunPolicyCheck(const PolicyCheckArgs& args, std::ostream& out,
                   std::ostream& err) {
  const absl::Status status = Explain(args, out);
  if (status.ok()) {
    return kExitGood;
  }
  err << "vmattest policy check: " << log::Quote(std::string(status.message()))
      << "\n";
  return kExitUsage;
}

}  // namespace vmattest::cli
