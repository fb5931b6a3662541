#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "vmattest/v1/snapshot.pb.h"
#include "wire/codec.h"
#include "wire/messages.h"

namespace vmattest::wire {
namespace {

constexpr size_t kMaxRegions = 128;
constexpr size_t kMaxRamRanges = 1024;
constexpr size_t kMaxNotes = 64;
constexpr size_t kMaxFindings = 1024;
constexpr size_t kMaxRecords = 1 << 20;
constexpr size_t kMaxParts = 1 << 20;
constexpr size_t kMaxSymbolName = 64;
constexpr std::string_view kPagesFormat = "vmattest/snapshot-pages/v1";

void Fill(const evidence::PhysicalRange& range, v1::PhysicalRange& message) {
  message.set_begin(range.begin);
  message.set_end(range.end);
}

void Fill(const evidence::RegionState& region, v1::StateRegion& message) {
  message.set_name(region.name);
  message.set_severity(region.severity);
  message.set_bytes(region.bytes);
  message.set_pages(region.pages);
  message.set_selection(ToField(region.selection));
  message.set_root(ToField(region.root));
  message.set_unreadable_pages(region.unreadable_pages);
  message.set_torn_pages(region.torn_pages);
  message.set_unavailable(region.unavailable);
}

evidence::RegionState ToRegion(const v1::StateRegion& message) {
  return {.name = message.name(),
          .severity = message.severity(),
          .bytes = message.bytes(),
          .pages = message.pages(),
          .selection = FromField(message.selection()),
          .root = FromField(message.root()),
          .unreadable_pages = message.unreadable_pages(),
          .torn_pages = message.torn_pages(),
          .unavailable = message.unavailable()};
}

void Fill(const evidence::StateFinding& finding, v1::StateFinding& message) {
  message.set_code(finding.code);
  message.set_severity(finding.severity);
  message.set_element(finding.element);
  message.set_expected(finding.expected);
  message.set_found(finding.found);
}

evidence::StateFinding ToFinding(const v1::StateFinding& message) {
  return {message.code(), message.severity(), message.element(),
          message.expected(), message.found()};
}

void Fill(const evidence::SnapshotPages::Part& part, v1::RegionPart& message) {
  message.set_name(part.name);
  message.set_content(part.content);
  message.set_address(part.address);
  message.set_size(part.size);
  message.set_absent(part.absent);
  message.set_first_page(part.first_page);
  message.set_pages(part.pages);
  for (const auto& symbol : part.symbols) {
    v1::PartSymbol& added = *message.add_symbols();
    added.set_offset(symbol.offset);
    added.set_name(symbol.name);
  }
}

bool IsSymbolName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxSymbolName &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c >= 0x20 && c < 0x7f; });
}

absl::StatusOr<evidence::SnapshotPages::Part> ToPart(
    const v1::RegionPart& message) {
  evidence::SnapshotPages::Part part{.name = message.name(),
                                     .content = message.content(),
                                     .address = message.address(),
                                     .size = message.size(),
                                     .absent = message.absent(),
                                     .first_page = message.first_page(),
                                     .pages = message.pages()};
  for (const v1::PartSymbol& symbol : message.symbols()) {
    if (!IsSymbolName(symbol.name()) || symbol.offset() >= part.size ||
        (!part.symbols.empty() &&
         symbol.offset() <= part.symbols.back().offset)) {
      return Malformed("RegionPart.symbols",
                       fmt::format("one at {:#x}", symbol.offset()));
    }
    part.symbols.push_back({symbol.offset(), symbol.name()});
  }
  return part;
}

absl::Status CheckSizes(const v1::StateStatement& message) {
  RETURN_IF_ERROR(CheckCount("StateStatement.regions",
                             static_cast<size_t>(message.regions_size()),
                             kMaxRegions));
  RETURN_IF_ERROR(CheckCount("StateStatement.ram",
                             static_cast<size_t>(message.ram_size()),
                             kMaxRamRanges));
  RETURN_IF_ERROR(CheckCount("StateStatement.findings",
                             static_cast<size_t>(message.findings_size()),
                             kMaxFindings));
  return CheckCount("StateStatement.notes",
                    static_cast<size_t>(message.notes_size()), kMaxNotes);
}

}  // namespace

v1::Boot ToMessage(const evidence::Boot& boot) {
  v1::Boot message;
  message.set_listener(ToField(boot.listener));
  message.set_resets(boot.resets);
  return message;
}

absl::StatusOr<evidence::Boot> FromMessage(const v1::Boot& message,
                                           std::string_view field) {
  if (message.listener().size() != evidence::kBootListenerSize) {
    return Malformed(fmt::format("{}.listener", field),
                     fmt::format("has {} bytes", message.listener().size()));
  }
  return evidence::Boot{FromField(message.listener()), message.resets()};
}

Bytes EncodeStateStatement(const evidence::StateStatement& statement) {
  v1::StateStatement message;
  *message.mutable_header() = ToMessage(statement.header);
  message.set_algorithm(static_cast<v1::HashAlgorithm>(statement.algorithm));
  message.set_page_bytes(statement.page_bytes);
  message.set_policy_id(statement.policy_id);
  message.set_policy_version(statement.policy_version);
  message.set_policy_digest(ToField(statement.policy_digest));
  message.set_cause(statement.cause);
  message.set_vm_state(statement.vm_state);
  message.set_consistency_requested(statement.consistency_requested);
  message.set_consistency(statement.consistency);
  message.set_pause_us(statement.pause_us);
  message.set_reader(statement.reader);
  message.set_map_proof(statement.map_proof);
  for (const evidence::PhysicalRange& range : statement.ram) {
    Fill(range, *message.add_ram());
  }
  for (const evidence::RegionState& region : statement.regions) {
    Fill(region, *message.add_regions());
  }
  message.set_root(ToField(statement.root));
  message.set_code_hash(ToField(statement.code_hash));
  message.set_code_hash_state(statement.code_hash_state);
  for (const std::string& note : statement.notes) {
    message.add_notes(note);
  }
  message.set_semantics(statement.semantics);
  message.set_kernel_release(statement.kernel_release);
  message.set_kernel_build_id(ToField(statement.kernel_build_id));
  for (const evidence::StateFinding& finding : statement.findings) {
    Fill(finding, *message.add_findings());
  }
  message.set_records_root(ToField(statement.records_root));
  message.set_record_count(statement.record_count);
  message.set_cpu_state(statement.cpu_state);
  message.set_run(statement.run);
  if (statement.boot) {
    *message.mutable_boot() = ToMessage(*statement.boot);
  }
  return Serialize(message);
}

absl::StatusOr<evidence::StateStatement> ParseStateStatement(ByteView bytes) {
  v1::StateStatement message;
  RETURN_IF_ERROR(
      ParseMessage(bytes, kMaxStatementSize, "StateStatement", message));
  RETURN_IF_ERROR(CheckSizes(message));
  const std::optional<HashAlgorithm> algorithm =
      KnownAlgorithm(message.algorithm());
  if (!algorithm) {
    return Malformed(
        "StateStatement.algorithm",
        fmt::format("{} is unknown", static_cast<int>(message.algorithm())));
  }
  evidence::StateStatement statement;
  statement.header = FromMessage(message.header());
  statement.algorithm = *algorithm;
  statement.page_bytes = message.page_bytes();
  statement.policy_id = message.policy_id();
  statement.policy_version = message.policy_version();
  statement.policy_digest = FromField(message.policy_digest());
  statement.cause = message.cause();
  statement.vm_state = message.vm_state();
  statement.consistency_requested = message.consistency_requested();
  statement.consistency = message.consistency();
  statement.pause_us = message.pause_us();
  statement.reader = message.reader();
  statement.map_proof = message.map_proof();
  for (const v1::PhysicalRange& range : message.ram()) {
    statement.ram.push_back({range.begin(), range.end()});
  }
  for (const v1::StateRegion& region : message.regions()) {
    statement.regions.push_back(ToRegion(region));
  }
  statement.root = FromField(message.root());
  statement.code_hash = FromField(message.code_hash());
  statement.code_hash_state = message.code_hash_state();
  statement.notes.assign(message.notes().begin(), message.notes().end());
  statement.semantics = message.semantics();
  statement.kernel_release = message.kernel_release();
  statement.kernel_build_id = FromField(message.kernel_build_id());
  for (const v1::StateFinding& finding : message.findings()) {
    statement.findings.push_back(ToFinding(finding));
  }
  statement.records_root = FromField(message.records_root());
  statement.record_count = message.record_count();
  statement.cpu_state = message.cpu_state();
  statement.run = message.run();
  if (message.has_boot()) {
    ASSIGN_OR_RETURN(statement.boot,
                     FromMessage(message.boot(), "StateStatement.boot"));
  }
  RETURN_IF_ERROR(
      CheckCanonical(bytes, EncodeStateStatement(statement), "StateStatement"));
  return statement;
}

Bytes EncodeSnapshotPages(const evidence::SnapshotPages& pages) {
  v1::SnapshotPages message;
  message.set_format(std::string(kPagesFormat));
  for (const evidence::SnapshotPages::Region& region : pages.regions) {
    v1::RegionPages& added = *message.add_regions();
    added.set_name(region.name);
    for (const evidence::PhysicalRange& range : region.ranges) {
      Fill(range, *added.add_ranges());
    }
    added.set_digests(ToField(region.digests));
    for (const evidence::SnapshotPages::Part& part : region.parts) {
      Fill(part, *added.add_parts());
    }
  }
  for (const evidence::StateRecord& record : pages.records) {
    v1::StateRecord& added = *message.add_records();
    added.set_name(record.name);
    added.set_text(record.text);
  }
  return Serialize(message);
}

absl::StatusOr<evidence::SnapshotPages> ParseSnapshotPages(ByteView bytes) {
  v1::SnapshotPages message;
  RETURN_IF_ERROR(
      ParseMessage(bytes, kMaxSnapshotPagesSize, "SnapshotPages", message));
  if (message.format() != kPagesFormat) {
    return Malformed("SnapshotPages.format", message.format());
  }
  RETURN_IF_ERROR(CheckCount("SnapshotPages.regions",
                             static_cast<size_t>(message.regions_size()),
                             kMaxRegions));
  RETURN_IF_ERROR(CheckCount("SnapshotPages.records",
                             static_cast<size_t>(message.records_size()),
                             kMaxRecords));
  evidence::SnapshotPages pages;
  for (const v1::RegionPages& region : message.regions()) {
    evidence::SnapshotPages::Region added;
    added.name = region.name();
    for (const v1::PhysicalRange& range : region.ranges()) {
      added.ranges.push_back({range.begin(), range.end()});
    }
    added.digests = FromField(region.digests());
    RETURN_IF_ERROR(CheckCount("RegionPages.parts",
                               static_cast<size_t>(region.parts_size()),
                               kMaxParts));
    for (const v1::RegionPart& part : region.parts()) {
      ASSIGN_OR_RETURN(evidence::SnapshotPages::Part read, ToPart(part));
      added.parts.push_back(std::move(read));
    }
    pages.regions.push_back(std::move(added));
  }
  for (const v1::StateRecord& record : message.records()) {
    pages.records.push_back({record.name(), record.text()});
  }
  RETURN_IF_ERROR(
      CheckCanonical(bytes, EncodeSnapshotPages(pages), "SnapshotPages"));
  return pages;
}

}  // namespace vmattest::wire
