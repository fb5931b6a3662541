#include "cli/snapshot_show.h"

#include <fmt/format.h>

#include "base/file.h"
#include "cli/exit_code.h"
#include "cli/print.h"
#include "memory/page_grid.h"
#include "snapshot/page_check.h"
#include "wire/codec.h"

namespace vmattest::cli {
namespace {

constexpr size_t kAllParts = SIZE_MAX;

void Line(std::ostream& out, std::string_view label, const std::string& text) {
  out << fmt::format("{:<12}{}\n", label, text);
}

void PrintStatement(const evidence::StateStatement& statement,
                    std::ostream& out) {
  Line(out, "vm",
       fmt::format("{} {}", Printable(statement.header.vm_name),
                   Printable(statement.header.vm_uuid)));
  Line(out, "subset",
       fmt::format("{}@{} sha256:{}", Printable(statement.policy_id),
                   statement.policy_version, ToHex(statement.policy_digest)));
  Line(out, "consistency",
       fmt::format("{}, pause {} us", Printable(statement.consistency),
                   statement.pause_us));
  for (const evidence::RegionState& region : statement.regions) {
    Line(out, "region",
         region.unavailable.empty()
             ? fmt::format("{} ({}) {}, {} pages, {} unreadable, {} torn",
                           Printable(region.name), Printable(region.severity),
                           ToHex(region.root), region.pages,
                           region.unreadable_pages, region.torn_pages)
             : fmt::format("{} unavailable: {}", Printable(region.name),
                           Printable(region.unavailable)));
  }
  PrintFindings(statement.semantics, statement.kernel_release,
                statement.findings, out);
  Line(out, "build id", ToHex(statement.kernel_build_id));
  Line(out, "code hash",
       fmt::format("{} ({})", ToHex(statement.code_hash),
                   Printable(statement.code_hash_state)));
  Line(out, "cpu state", Printable(statement.cpu_state));
  Line(out, "records",
       fmt::format("{} {}", statement.record_count,
                   ToHex(statement.records_root)));
  for (const std::string& note : statement.notes) {
    Line(out, "note", Printable(note));
  }
}

absl::StatusOr<evidence::SnapshotPages> LoadPages(const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes bytes,
                   ReadFile(path, wire::kMaxSnapshotPagesSize));
  absl::StatusOr<evidence::SnapshotPages> pages =
      wire::ParseSnapshotPages(bytes);
  return pages.ok() ? std::move(pages)
                    : absl::StatusOr<evidence::SnapshotPages>(
                          Annotate(pages.status(), path));
}

// Parts are cut at 4096, whatever the addresses.
memory::PageGrid GridOf(const evidence::SnapshotPages::Region& region) {
  std::vector<memory::AddressRange> ranges;
  for (const evidence::PhysicalRange& range : region.ranges) {
    ranges.push_back({range.begin, range.end});
  }
  return {std::move(ranges), memory::kPageSize};
}

absl::StatusOr<int> Show(const SnapshotShowArgs& args, std::ostream& out,
                         std::ostream& err) {
  ASSIGN_OR_RETURN(const Bytes file,
                   ReadFile(args.file, wire::kMaxEvidenceSize));
  ASSIGN_OR_RETURN_WITH(const evidence::StateStatement statement,
                        StatementOf(file), args.file);
  PrintStatement(statement, out);
  if (args.pages.empty()) {
    return kExitGood;
  }
  ASSIGN_OR_RETURN(const evidence::SnapshotPages pages, LoadPages(args.pages));
  const std::vector<std::string> problems =
      snapshot::CheckPages(statement, pages);
  for (const std::string& problem : problems) {
    err << fmt::format("{}: not this snapshot's: {}\n", args.pages,
                       Printable(problem));
  }
  if (!problems.empty()) {
    return kExitNotTrustworthy;
  }
  PrintParts(pages, kAllParts, out);
  for (const evidence::StateRecord& record : pages.records) {
    if (args.records) {
      Line(out, "record",
           fmt::format("{} = {}", Printable(record.name),
                       Printable(record.text)));
    }
  }
  return kExitGood;
}

}  // namespace

absl::StatusOr<evidence::StateStatement> StatementOf(ByteView evidence) {
  ASSIGN_OR_RETURN(const evidence::Evidence parsed,
                   wire::ParseEvidence(evidence));
  if (parsed.envelope.payload_type != evidence::kStatePayloadType) {
    return absl::InvalidArgumentError("it is not about a VM's memory");
  }
  return wire::ParseStateStatement(parsed.envelope.payload);
}

absl::StatusOr<std::vector<std::string>> CheckPagesFile(
    const evidence::StateStatement& statement, const std::string& path) {
  ASSIGN_OR_RETURN(const evidence::SnapshotPages pages, LoadPages(path));
  return snapshot::CheckPages(statement, pages);
}

void PrintFindings(const std::string& semantics, const std::string& release,
                   const std::vector<evidence::StateFinding>& findings,
                   std::ostream& out) {
  Line(out, "kernel",
       release.empty()
           ? Printable(semantics)
           : fmt::format("{} {}", Printable(semantics), Printable(release)));
  for (const evidence::StateFinding& finding : findings) {
    Line(out, "finding",
         fmt::format("{} {} {}: expected {}, found {}",
                     Printable(finding.severity), Printable(finding.code),
                     Printable(finding.element), Printable(finding.expected),
                     Printable(finding.found)));
  }
}

void PrintParts(const evidence::SnapshotPages& pages, size_t most,
                std::ostream& out) {
  for (const evidence::SnapshotPages::Region& region : pages.regions) {
    const memory::PageGrid grid = GridOf(region);
    size_t shown = 0;
    for (const evidence::SnapshotPages::Part& part : region.parts) {
      if (shown++ == most) {
        Line(out, "part",
             fmt::format("{}: {} more", Printable(region.name),
                         region.parts.size() - most));
        break;
      }
      Line(
          out, "part",
          fmt::format(
              "{}: {} ({}) {:#x}, {} bytes{}{}", Printable(region.name),
              Printable(part.name), Printable(part.content), part.address,
              part.size,
              part.pages == 0
                  ? ""
                  : fmt::format(", RAM {:#x}", grid.At(part.first_page).begin),
              part.absent == 0 ? "" : fmt::format(", {} absent", part.absent)));
    }
  }
}

int RunSnapshotShow(const SnapshotShowArgs& args, std::ostream& out,
                    std::ostream& err) {
  const absl::StatusOr<int> code = Show(args, out, err);
  if (code.ok()) {
    return *code;
  }
  err << "vmattest snapshot show: "
      << Printable(std::string(code.status().message())) << "\n";
  return kExitUsage;
}

}  // namespace vmattest::cli
