#include "snapshot/page_check.h"

#include <algorithm>

#include "fmt/format.h"
#include "memory/page_grid.h"
#include "snapshot/page_tree.h"

namespace vmattest::snapshot {
namespace {

using evidence::RegionState;
using evidence::SnapshotPages;
using evidence::StateStatement;

constexpr uint64_t kMaxAddress = uint64_t{1} << 52;

// Empty: a range is none.
std::vector<memory::AddressRange> RangesOf(
    const SnapshotPages::Region& region) {
  std::vector<memory::AddressRange> ranges;
  for (const evidence::PhysicalRange& range : region.ranges) {
    if (range.begin >= range.end || range.end > kMaxAddress) {
      return {};
    }
    ranges.push_back({range.begin, range.end});
  }
  return ranges;
}

// What is wrong with one region's pages; empty: nothing.
std::string Wrong(const StateStatement& statement, const RegionState& region,
                  const SnapshotPages::Region& pages) {
  const std::vector<memory::AddressRange> ranges = RangesOf(pages);
  if (ranges.size() != pages.ranges.size()) {
    return "a range that is none";
  }
  if (SelectionDigest(statement.algorithm, ranges) != region.selection) {
    return "other addresses";
  }
  const uint64_t count = memory::PageGrid(ranges, statement.page_bytes).size();
  if (count != region.pages ||
      pages.digests.size() != count * DigestSize(statement.algorithm)) {
    return "another number of pages";
  }
  if (PageTreeRoot(statement.algorithm, pages.digests) != region.root) {
    return "other pages";
  }
  uint64_t next = 0;
  for (const SnapshotPages::Part& part : pages.parts) {
    if (part.first_page != next || part.pages > count - next ||
        part.absent > part.size) {
      return fmt::format("part '{}' in another place", part.name);
    }
    next += part.pages;
  }
  return pages.parts.empty() || next == count ? "" : "pages of no part";
}

const SnapshotPages::Region* Find(const SnapshotPages& pages,
                                  const std::string& name) {
  const auto found =
      std::find_if(pages.regions.begin(), pages.regions.end(),
                   [&](const auto& one) { return one.name == name; });
  return found == pages.regions.end() ? nullptr : &*found;
}

// A region without pages is the records about processes.
bool IsOfTasks(const StateStatement& statement, const RegionState& region,
               const SnapshotPages& pages) {
  std::vector<evidence::StateRecord> tasks;
  for (const evidence::StateRecord& record : pages.records) {
    if (record.name.rfind("process/", 0) == 0) {
      tasks.push_back(record);
    }
  }
  return region.pages == 0 &&
         evidence::RecordsRoot(statement.algorithm, tasks) == region.root;
}

}  // namespace

std::vector<std::string> CheckPages(const StateStatement& statement,
                                    const SnapshotPages& pages) {
  std::vector<std::string> problems;
  if (statement.page_bytes == 0) {
    return {"pages of no size"};
  }
  for (const RegionState& region : statement.regions) {
    if (!region.unavailable.empty()) {
      continue;
    }
    const SnapshotPages::Region* const found = Find(pages, region.name);
    std::string wrong;
    if (found != nullptr) {
      wrong = Wrong(statement, region, *found);
    } else if (!IsOfTasks(statement, region, pages)) {
      wrong = "not there";
    }
    if (!wrong.empty()) {
      problems.push_back(fmt::format("region '{}': {}", region.name, wrong));
    }
  }
  if (pages.records.size() != statement.record_count ||
      evidence::RecordsRoot(statement.algorithm, pages.records) !=
          statement.records_root) {
    problems.emplace_back("records: not those of the statement");
  }
  return problems;
}

}  // namespace vmattest::snapshot
