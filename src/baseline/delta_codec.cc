#include "baseline/delta.h"
#include "vmattest/v1/baseline.pb.h"
#include "wire/messages.h"

namespace vmattest::baseline {
namespace {

constexpr std::string_view kFormat = "vmattest/snapshot-delta/v1";
constexpr size_t kMaxRegions = 128;
constexpr size_t kMaxParts = 1u << 16;
constexpr size_t kMaxRecords = 1u << 17;

void Fill(const RegionDelta& region, v1::RegionDelta& message) {
  message.set_name(region.name);
  for (const PageRun& run : region.runs) {
    v1::PageRun& added = *message.add_runs();
    added.set_first(run.first);
    added.set_digests(wire::ToField(run.digests));
  }
  message.set_moved(region.moved);
  for (const evidence::PhysicalRange& range : region.ranges) {
    v1::PhysicalRange& added = *message.add_ranges();
    added.set_begin(range.begin);
    added.set_end(range.end);
  }
  for (const evidence::SnapshotPages::Part& part : region.parts) {
    v1::RegionPart& added = *message.add_parts();
    added.set_name(part.name);
    added.set_content(part.content);
    added.set_address(part.address);
    added.set_size(part.size);
    added.set_absent(part.absent);
    added.set_first_page(part.first_page);
    added.set_pages(part.pages);
  }
}

RegionDelta ToRegion(const v1::RegionDelta& message) {
  RegionDelta region;
  region.name = message.name();
  for (const v1::PageRun& run : message.runs()) {
    region.runs.push_back({run.first(), wire::FromField(run.digests())});
  }
  region.moved = message.moved();
  for (const v1::PhysicalRange& range : message.ranges()) {
    region.ranges.push_back({range.begin(), range.end()});
  }
  for (const v1::RegionPart& part : message.parts()) {
    region.parts.push_back({.name = part.name(),
                            .content = part.content(),
                            .address = part.address(),
                            .size = part.size(),
                            .absent = part.absent(),
                            .first_page = part.first_page(),
                            .pages = part.pages()});
  }
  return region;
}

}  // namespace

Bytes EncodeDelta(const Delta& delta) {
  v1::SnapshotDelta message;
  message.set_format(std::string(kFormat));
  for (const RegionDelta& region : delta.regions) {
    Fill(region, *message.add_regions());
  }
  for (const RecordDelta& record : delta.records) {
    v1::RecordDelta& added = *message.add_records();
    added.set_name(record.record.name);
    added.set_text(record.record.text);
    added.set_gone(record.gone);
  }
  return wire::Serialize(message);
}

absl::StatusOr<Delta> ParseDelta(ByteView bytes) {
  v1::SnapshotDelta message;
  RETURN_IF_ERROR(
      wire::ParseMessage(bytes, kMaxDelta, "SnapshotDelta", message));
  if (message.format() != kFormat) {
    return wire::Malformed("SnapshotDelta.format", message.format());
  }
  RETURN_IF_ERROR(wire::CheckCount("SnapshotDelta.regions",
                                   static_cast<size_t>(message.regions_size()),
                                   kMaxRegions));
  RETURN_IF_ERROR(wire::CheckCount("SnapshotDelta.records",
                                   static_cast<size_t>(message.records_size()),
                                   kMaxRecords));
  Delta delta;
  for (const v1::RegionDelta& region : message.regions()) {
    RETURN_IF_ERROR(wire::CheckCount("RegionDelta.parts",
                                     static_cast<size_t>(region.parts_size()),
                                     kMaxParts));
    delta.regions.push_back(ToRegion(region));
  }
  for (const v1::RecordDelta& record : message.records()) {
    delta.records.push_back({{record.name(), record.text()}, record.gone()});
  }
  RETURN_IF_ERROR(
      wire::CheckCanonical(bytes, EncodeDelta(delta), "SnapshotDelta"));
  return delta;
}

}  // namespace vmattest::baseline
