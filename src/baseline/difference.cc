#include "baseline/difference.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "baseline/code_records.h"
#include "baseline/page_names.h"
#include "baseline/reason_codes.h"
#include "baseline/record_difference.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace vmattest::baseline {
namespace {

using evidence::StateFinding;
using evidence::StateStatement;
using snapshot::Severity;
using Part = evidence::SnapshotPages::Part;
using PagesRegion = evidence::SnapshotPages::Region;

constexpr Severity kSeverities[] = {Severity::kInfo, Severity::kLow,
                                    Severity::kMedium, Severity::kHigh,
                                    Severity::kCritical};

// A document was checked; what nobody knows counts as the worst.
Severity SeverityOf(std::string_view name) {
  const absl::StatusOr<Severity> severity = ParseSeverity(name);
  return severity.ok() ? *severity : Severity::kCritical;
}

bool SameCodeHash(const Baseline& baseline, const StateStatement& statement) {
  return !baseline.code_hash.empty() &&
         baseline.code_hash == statement.code_hash;
}

// What processes run is not in the code hash.
bool IsKernels(const Part& part) {
  return part.name.rfind("kernel/", 0) == 0 ||
         part.name.rfind("symbol/", 0) == 0;
}
bool IsModule(const Part& part) { return part.name.rfind("module/", 0) == 0; }
// What a kernel that was started anew has elsewhere.
bool MovesWithTheKernel(const Part& part) {
  return IsKernels(part) || part.name == "idt" || part.name == "syscall_table";
}
// What a kernel writes before it makes it read-only: in each boot its own.
bool IsWrittenAtBoot(const Part& part) {
  return part.content == "ro_after_init" && !IsModule(part);
}

Kind KindOf(const Part& part, bool same_code) {
  if (part.content == "text") {
    return same_code ? Kind::kSelfModified : Kind::kCode;
  }
  return part.content == "data" ? Kind::kData : Kind::kConstant;
}

std::string PagesText(uint64_t pages) {
  return fmt::format("{} page{}", pages, pages == 1 ? "" : "s");
}

// Whether the kernel lies elsewhere than it did, as its parts in any region
// tell.
bool IsElsewhere(const LoadedBaseline& baseline, const Applied& applied) {
  return std::any_of(
      applied.regions.begin(), applied.regions.end(),
      [&baseline](const RegionChange& change) {
        std::map<std::string_view, uint64_t> now;
        for (const Part& part : change.now.parts) {
          now.emplace(part.name, part.address);
        }
        const std::vector<Part>& before = baseline.pages(change.region).parts;
        return change.moved &&
               std::any_of(
                   before.begin(), before.end(), [&now](const Part& part) {
                     const auto found = now.find(part.name);
                     return MovesWithTheKernel(part) && found != now.end() &&
                            found->second != part.address;
                   });
      });
}

// A kernel that KASLR put to the same place again is known by the reset, one
// that came without a reset by its place.
bool IsRebooted(const LoadedBaseline& baseline, const StateStatement& statement,
                const Applied& applied) {
  return evidence::IsResetBetween(baseline.baseline().boot, statement.boot) ||
         IsElsewhere(baseline, applied);
}

// One region's change, page by page, gathered by part or run.
class RegionNamer {
 public:
  RegionNamer(const LoadedBaseline& baseline, const StateStatement& statement,
              const CodeRecords& code, bool rebooted,
              const RegionChange& change)
      : baseline_(baseline.baseline()),
        region_(baseline_.regions[change.region]),
        before_(baseline.pages(change.region)),
        code_(code),
        rebooted_(rebooted),
        same_hash_(SameCodeHash(baseline_, statement)),
        tree_(baseline.tree(change.region)),
        change_(change) {}

  std::vector<Difference> Run() {
    if (change_.moved) {
      Moved();
    } else {
      InPlace(change_.pages);
    }
    if (unnamed_ > 0) {
      out_.push_back(Make(reason::kMemory, unnamed_kind_, "more", unnamed_));
    }
    return std::move(out_);
  }

 private:
  // Snapshots without records about code have the code hash of the kernel.
  [[nodiscard]] bool SameCode(const Part& part) const {
    return code_.tell() ? code_.Same(part.name) : same_hash_ && IsKernels(part);
  }

  Difference Make(std::string_view code, Kind kind, std::string_view what,
                  uint64_t extent) const {
    Difference difference;
    difference.code = code;
    difference.kind = kind;
    const bool harmless = kind == Kind::kSelfModified ||
                          kind == Kind::kPerBoot || kind == Kind::kExpected;
    difference.severity =
        harmless ? Severity::kInfo : SeverityOf(region_.severity);
    difference.extent = extent;
    difference.group = "region/" + region_.name;
    difference.element = fmt::format("{}: {}", region_.name, what);
    difference.expected = "as in " + baseline_.id();
    difference.found = PagesText(extent) + " changed";
    return difference;
  }

  void Add(Difference difference) {
    if (out_.size() < kMostNamed) {
      out_.push_back(std::move(difference));
      return;
    }
    // What harms least cannot hide what harms more.
    if (difference.severity != Severity::kInfo) {
      unnamed_ += difference.extent;
      unnamed_kind_ = difference.kind;
    }
  }

  void InPlace(const std::vector<uint64_t>& pages) {
    auto page = pages.begin();
    for (const Part& part : before_.parts) {
      page = std::lower_bound(page, pages.end(), part.first_page);
      const auto end =
          std::lower_bound(page, pages.end(), part.first_page + part.pages);
      if (page != end) {
        std::vector<uint64_t> in_part;
        std::transform(page, end, std::back_inserter(in_part),
                       [&](uint64_t one) { return one - part.first_page; });
        Judge(part, part, in_part, in_part.size());
      }
      page = end;
    }
    if (before_.parts.empty()) {
      AddRuns(pages);
    }
  }

  void AddPart(const Part& part, const std::vector<uint64_t>& pages,
               uint64_t count) {
    // What then differs are tables that the kernel wrote when it loaded it.
    const bool loaded = IsModule(part) && part.content == "rodata" &&
                        code_.SameConstants(part.name).value_or(false);
    Add(Make(reason::kMemory,
             loaded ? Kind::kSelfModified : KindOf(part, SameCode(part)),
             part.name + NamePages(part, baseline_.page_bytes, pages), count));
  }

  void AddRuns(const std::vector<uint64_t>& pages) {
    for (size_t i = 0; i < pages.size();) {
      size_t end = i + 1;
      while (end < pages.size() && pages[end] == pages[end - 1] + 1) {
        ++end;
      }
      Add(Make(reason::kMemory, Kind::kData,
               fmt::format("physical {:#x}", AddressOf(pages[i])), end - i));
      i = end;
    }
  }

  // The guest-physical address of a page of the baseline.
  [[nodiscard]] uint64_t AddressOf(uint64_t page) const {
    for (const evidence::PhysicalRange& range : before_.ranges) {
      const uint64_t first = range.begin / baseline_.page_bytes;
      const uint64_t count =
          (range.end + baseline_.page_bytes - 1) / baseline_.page_bytes - first;
      if (page < count) {
        return std::max(range.begin, (first + page) * baseline_.page_bytes);
      }
      page -= count;
    }
    return 0;
  }

  // Parts of one name and size are compared page by page.
  void Moved() {
    if (before_.parts.empty() || change_.now.parts.empty()) {
      Add(Make(reason::kMoved, Kind::kUnmeasured, "lies elsewhere", 1));
      return;
    }
    std::map<std::string_view, const Part*> now;
    for (const Part& part : change_.now.parts) {
      now.emplace(part.name, &part);
    }
    for (const Part& part : before_.parts) {
      const auto found = now.find(part.name);
      if (found == now.end()) {
        Gone(part);
        continue;
      }
      CompareParts(part, *found->second);
      now.erase(found);
    }
    for (const auto& [name, part] : now) {
      Came(*part);
    }
  }

  void Gone(const Part& part) {
    Difference difference =
        Make(reason::kMoved, Kind::kExpected, part.name, part.pages);
    difference.found = "";
    Add(std::move(difference));
  }

  void Came(const Part& part) {
    Difference difference =
        Make(reason::kMoved, Kind::kExpected, part.name, part.pages);
    difference.expected = "";
    difference.found = PagesText(part.pages);
    Add(std::move(difference));
  }

  void CompareParts(const Part& before, const Part& after) {
    const size_t size = DigestSize(baseline_.algorithm);
    const uint64_t common = std::min(before.pages, after.pages);
    uint64_t differ = std::max(before.pages, after.pages) - common;
    std::vector<uint64_t> pages;
    for (uint64_t i = 0; i < common; ++i) {
      const ByteView old = tree_.Node(0, before.first_page + i);
      const uint8_t* fresh =
          change_.now.digests.data() + (after.first_page + i) * size;
      if (!std::equal(old.begin(), old.end(), fresh)) {
        ++differ;
        pages.push_back(i);
      }
    }
    if (pages.empty() && differ > 0) {
      pages.push_back(common);
    }
    if (differ > 0) {
      Judge(before, after, pages, differ);
    }
  }

  // `pages` are numbers in the part; `differ` is at least as many.
  void Judge(const Part& before, const Part& after,
             const std::vector<uint64_t>& pages, uint64_t differ) {
    // A module is also loaded anew without a reboot.
    const bool anew = IsModule(before)
                          ? rebooted_ || before.address != after.address
                          : rebooted_ && before.content == after.content;
    const std::optional<bool> constants =
        before.content == "rodata" && (IsModule(before) || IsKernels(before))
            ? code_.SameConstants(before.name)
            : std::nullopt;
    if (anew && IsModule(before) && constants) {
      AddAnew(before, differ, constants, "code/" + before.name);
    } else if (anew && (IsModule(before) ||
                        (IsKernels(before) && before.content == "text"))) {
      AddAnew(before, differ,
              SameCode(before) ? std::optional(true) : std::nullopt,
              "code hash");
    } else if (anew && IsKernels(before) && before.content == "rodata") {
      AddAnew(before, differ, constants, "code/rodata");
    } else if (anew && IsWrittenAtBoot(before)) {
      Add(Make(reason::kMemory, Kind::kPerBoot, before.name, differ));
    } else {
      AddPart(before, pages, differ);
    }
  }

  // Of what only `proof` tells that it is the same after it was relocated:
  // text, constants, and all that came with a module, which anybody may load.
  void AddAnew(const Part& part, uint64_t pages, std::optional<bool> same,
               std::string_view proof) {
    Difference difference = Make(reason::kMemory,
                                 !same   ? Kind::kUnmeasured
                                 : *same ? Kind::kPerBoot
                                         : KindOf(part, false),
                                 part.name, pages);
    if (!same) {
      difference.found = fmt::format("loaded anew, and no {} of both", proof);
    } else if (!*same) {
      difference.found += fmt::format(", and {} is another", proof);
    }
    Add(std::move(difference));
  }

  const Baseline& baseline_;
  const Region& region_;
  const PagesRegion& before_;
  const CodeRecords& code_;
  const bool rebooted_;
  const bool same_hash_;
  const DigestTree& tree_;
  const RegionChange& change_;
  std::vector<Difference> out_;
  uint64_t unnamed_ = 0;
  Kind unnamed_kind_ = Kind::kData;
};

Kind ToKind(RecordDifference::Kind kind) {
  switch (kind) {
    case RecordDifference::Kind::kExpected:
      return Kind::kExpected;
    case RecordDifference::Kind::kData:
      return Kind::kData;
    case RecordDifference::Kind::kUnmeasured:
      return Kind::kUnmeasured;
    case RecordDifference::Kind::kCode:
      break;
  }
  return Kind::kCode;
}

void CompareAllRecords(const LoadedBaseline& baseline,
                       const StateStatement& statement, const Applied& applied,
                       std::vector<Difference>& out) {
  if (baseline.baseline().records_root.empty()) {
    return;
  }
  if (statement.records_root.empty()) {
    out.push_back({reason::kUnavailable, Kind::kUnmeasured, Severity::kHigh, 1,
                   "records", "records", "measured", statement.semantics});
    return;
  }
  for (RecordDifference& change :
       CompareRecords(baseline.records(), applied.records)) {
    const std::string family = change.name.substr(0, change.name.find('/'));
    const std::string fields =
        change.fields.empty()
            ? ""
            : fmt::format(" ({})", fmt::join(change.fields, ", "));
    const std::string_view code =
        change.kind == RecordDifference::Kind::kUnmeasured
            ? reason::kUnavailable
        : family == "code" ? reason::kCodeHash
                           : reason::kRecord;
    out.push_back({code, ToKind(change.kind), change.severity, 1,
                   "records/" + family, change.name + fields,
                   std::move(change.before), std::move(change.after)});
  }
}

bool IsAccepted(const Baseline& baseline, const StateFinding& finding) {
  return std::any_of(baseline.accepted.begin(), baseline.accepted.end(),
                     [&](const AcceptedFinding& accepted) {
                       return accepted.code == finding.code &&
                              accepted.element == finding.element;
                     });
}

void TakeOverFindings(const Baseline& baseline, const StateStatement& statement,
                      std::vector<Difference>& out) {
  for (const StateFinding& finding : statement.findings) {
    if (!IsAccepted(baseline, finding)) {
      out.push_back({reason::kFinding, Kind::kCode,
                     SeverityOf(finding.severity), 1, "finding/" + finding.code,
                     fmt::format("{} {}", finding.code, finding.element),
                     finding.expected, finding.found});
    }
  }
}

void CompareKernel(const Baseline& baseline, const StateStatement& statement,
                   const CodeRecords& code, std::vector<Difference>& out) {
  if (!baseline.kernel_build_id.empty() &&
      (baseline.kernel_build_id != statement.kernel_build_id ||
       baseline.kernel_release != statement.kernel_release)) {
    out.push_back({reason::kKernel, Kind::kCode, Severity::kHigh, 1, "kernel",
                   "kernel",
                   fmt::format("{} {}", baseline.kernel_release,
                               ToHex(baseline.kernel_build_id)),
                   fmt::format("{} {}", statement.kernel_release,
                               ToHex(statement.kernel_build_id))});
  }
  if (code.tell() || baseline.code_hash.empty() ||
      baseline.code_hash == statement.code_hash) {
    return;
  }
  const bool measured = !statement.code_hash.empty();
  out.push_back(
      {measured ? reason::kCodeHash : reason::kUnavailable,
       measured ? Kind::kCode : Kind::kUnmeasured,
       measured ? Severity::kCritical : Severity::kHigh, 1, "code-hash",
       "code_hash", ToHex(baseline.code_hash),
       measured ? ToHex(statement.code_hash) : statement.code_hash_state});
}

void TellUnavailable(const Baseline& baseline, const StateStatement& statement,
                     std::vector<Difference>& out) {
  for (const Region& region : baseline.regions) {
    const auto state =
        std::find_if(statement.regions.begin(), statement.regions.end(),
                     [&](const auto& one) { return one.name == region.name; });
    const bool there = state != statement.regions.end();
    if (there && state->unavailable.empty()) {
      continue;
    }
    out.push_back({reason::kUnavailable, Kind::kUnmeasured,
                   SeverityOf(region.severity), 1, "region/" + region.name,
                   region.name, "measured",
                   there ? state->unavailable : "not in the snapshot"});
  }
}

}  // namespace

std::string_view ToString(Kind kind) {
  switch (kind) {
    case Kind::kCode:
      return "code";
    case Kind::kConstant:
      return "constant";
    case Kind::kData:
      return "data";
    case Kind::kSelfModified:
      return "self-modified";
    case Kind::kPerBoot:
      return "per-boot";
    case Kind::kExpected:
      return "expected";
    case Kind::kUnmeasured:
      return "unmeasured";
    case Kind::kContradiction:
      break;
  }
  return "contradiction";
}

absl::StatusOr<Severity> ParseSeverity(std::string_view name) {
  for (const Severity severity : kSeverities) {
    if (snapshot::ToString(severity) == name) {
      return severity;
    }
  }
  return absl::InvalidArgumentError(fmt::format("no severity '{}'", name));
}

void SortByGravity(std::vector<Difference>& differences) {
  std::stable_sort(differences.begin(), differences.end(),
                   [](const Difference& a, const Difference& b) {
                     return a.severity > b.severity;
                   });
}

std::vector<Difference> CompareSnapshot(const LoadedBaseline& baseline,
                                        const StateStatement& statement,
                                        const Applied& applied) {
  std::vector<Difference> out;
  TakeOverFindings(baseline.baseline(), statement, out);
  const CodeRecords code(baseline.records(), applied.records);
  CompareKernel(baseline.baseline(), statement, code, out);
  TellUnavailable(baseline.baseline(), statement, out);
  const bool rebooted = IsRebooted(baseline, statement, applied);
  for (const RegionChange& change : applied.regions) {
    std::vector<Difference> named =
        RegionNamer(baseline, statement, code, rebooted, change).Run();
    std::move(named.begin(), named.end(), std::back_inserter(out));
  }
  CompareAllRecords(baseline, statement, applied, out);
  return out;
}

}  // namespace vmattest::baseline
