#include "capture/state_statement.h"

#include <utility>

#include "memory/page_grid.h"
#include "snapshot/page_tree.h"

namespace vmattest::capture {
namespace {

constexpr std::string_view kNotAsked =
    "not-asked: the policy selects nothing that has a meaning";

bool HasPages(const snapshot::SelectedRegion& region) {
  return region.unavailable.empty() && !region.records;
}

std::vector<evidence::SnapshotPages::Part> PartsOf(
    const snapshot::SelectedRegion& region, uint32_t page_bytes) {
  std::vector<evidence::SnapshotPages::Part> parts;
  uint64_t next = 0;
  for (const memory::NamedPart& part : region.parts) {
    const uint64_t pages = memory::PageGrid(part.runs, page_bytes).size();
    parts.push_back({part.name,
                     part.content,
                     part.address,
                     part.size,
                     part.absent,
                     next,
                     pages,
                     {}});
    for (const memory::NamedPart::Symbol& symbol : part.symbols) {
      parts.back().symbols.push_back({symbol.offset, symbol.name});
    }
    next += pages;
  }
  return parts;
}

// A region of tasks is the records about processes.
DigestBytes TaskRoot(HashAlgorithm algorithm,
                     const std::vector<evidence::StateRecord>& records) {
  std::vector<evidence::StateRecord> tasks;
  for (const evidence::StateRecord& record : records) {
    if (record.name.rfind("process/", 0) == 0) {
      tasks.push_back(record);
    }
  }
  return evidence::RecordsRoot(algorithm, tasks);
}

evidence::SnapshotPages::Region AddPages(const snapshot::Policy& policy,
                                         const snapshot::SelectedRegion& region,
                                         memory::MeasuredRegion measured,
                                         evidence::RegionState& told) {
  told.bytes = region.bytes();
  told.pages = measured.pages;
  told.selection = snapshot::SelectionDigest(policy.algorithm, region.ranges);
  told.root = snapshot::PageTreeRoot(policy.algorithm, measured.digests);
  told.unreadable_pages = measured.unreadable;
  told.torn_pages = measured.torn;
  evidence::SnapshotPages::Region pages{
      region.name, {}, {}, PartsOf(region, policy.page_bytes)};
  for (const memory::AddressRange& range : region.ranges) {
    pages.ranges.push_back({range.begin, range.end});
  }
  pages.digests = std::move(measured.digests);
  return pages;
}

}  // namespace

memory::MeasurePlan PlanOf(
    const snapshot::Policy& policy,
    const std::vector<snapshot::SelectedRegion>& regions) {
  memory::MeasurePlan plan;
  plan.algorithm = policy.algorithm;
  plan.page_bytes = policy.page_bytes;
  plan.rereads = policy.rereads;
  plan.incremental = true;
  for (const snapshot::SelectedRegion& region : regions) {
    if (HasPages(region)) {
      plan.regions.push_back(region.ranges);
    }
  }
  return plan;
}

evidence::StateStatement BeginStatement(const snapshot::Policy& policy,
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
  statement.consistency = ToString(snapshot::Consistency::kLive);
  return statement;
}

void AddMeaning(const snapshot::Policy& policy,
                const memory::GuestMeaning* meaning, MeasuredState& state) {
  evidence::StateStatement& statement = state.statement;
  if (meaning == nullptr) {
    statement.semantics = kNotAsked;
    statement.cpu_state = "unavailable: " + std::string(kNotAsked);
    statement.code_hash_state = statement.cpu_state;
    return;
  }
  statement.semantics = meaning->semantics;
  statement.kernel_release = meaning->kernel_release;
  statement.kernel_build_id = meaning->kernel_build_id;
  statement.code_hash = meaning->code_hash;
  statement.code_hash_state = meaning->code_hash_state;
  statement.cpu_state = meaning->cpu_state;
  for (const memory::GuestFinding& finding : meaning->findings) {
    statement.findings.push_back({finding.code, finding.severity,
                                  finding.element, finding.expected,
                                  finding.found});
  }
  for (const memory::GuestRecord& record : meaning->records) {
    state.pages.records.push_back({record.name, record.text});
  }
  statement.record_count = state.pages.records.size();
  statement.records_root =
      evidence::RecordsRoot(policy.algorithm, state.pages.records);
  statement.notes.insert(statement.notes.end(), meaning->notes.begin(),
                         meaning->notes.end());
}

void AddRegions(const snapshot::Policy& policy,
                const std::vector<snapshot::SelectedRegion>& selected,
                std::vector<memory::MeasuredRegion> measured,
                MeasuredState& state) {
  auto next = measured.begin();
  for (const snapshot::SelectedRegion& region : selected) {
    evidence::RegionState told;
    told.name = region.name;
    told.severity = ToString(region.severity);
    told.unavailable = region.unavailable;
    if (HasPages(region)) {
      state.pages.regions.push_back(
          AddPages(policy, region, std::move(*next++), told));
    } else if (region.unavailable.empty()) {
      told.selection = snapshot::SelectionDigest(policy.algorithm, {});
      told.root = TaskRoot(policy.algorithm, state.pages.records);
      told.unavailable = told.root.empty() ? "not-found: no tasks" : "";
    }
    state.statement.regions.push_back(std::move(told));
  }
  state.statement.root =
      evidence::StateRoot(policy.algorithm, state.statement.regions);
}

}  // namespace vmattest::capture
