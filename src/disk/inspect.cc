#include "disk/inspect.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "disk/boot_files.h"
#include "disk/budget.h"
#include "disk/cached_source.h"
#include "disk/content.h"
#include "disk/guest_digest.h"
#include "disk/leaf_list.h"
#include "disk/partition_table.h"

namespace vmattest::disk {
namespace {

constexpr uint64_t kMaxBootPartition = uint64_t{64} << 20;
// BIOS boot code: before the disk's identifier, and before the first partition.
constexpr uint64_t kBootCodeSize = 440;
constexpr uint64_t kMaxBootGap = uint64_t{4} << 20;

std::string Join(const std::vector<std::string>& parts,
                 std::string_view between) {
  return fmt::format("{}", fmt::join(parts, between));
}

void AddDigest(BlockSource& content, uint64_t max_size, const std::string& leaf,
               const Inventory& inventory) {
  const absl::StatusOr<DigestBytes> digest =
      DigestOf(content, max_size, inventory);
  if (digest.ok()) {
    inventory.leaves.Digest(leaf, inventory.algorithm, *digest);
  } else {
    inventory.leaves.Unavailable(leaf, std::string(digest.status().message()));
  }
}

// Remembers a place that an appliance may read.
Foreign Note(std::vector<inspection::UnreadContent>& unread, uint64_t begin) {
  return [&unread, begin](ContentKind kind, BlockSource& content,
                          const std::string& prefix) {
    unread.push_back({.prefix = prefix,
                      .title = std::string(Title(kind)),
                      .begin = begin,
                      .size = content.size()});
    return false;
  };
}

absl::Status AddPartition(BlockSource& disk, const Partition& partition,
                          const Inventory& inventory,
                          std::vector<inspection::UnreadContent>& unread) {
  const std::string prefix = fmt::format("partition[{}]", partition.number);
  LeafList& leaves = inventory.leaves;
  leaves.Size(prefix + "/start", partition.begin);
  leaves.Size(prefix + "/size", partition.size);
  leaves.Text(prefix + "/type", partition.type);
  if (!partition.guid.empty()) {
    leaves.Text(prefix + "/guid", partition.guid);
  }
  if (!partition.name.empty()) {
    leaves.Text(prefix + "/name", partition.name);
  }
  if (!partition.problems.empty()) {
    leaves.Text(prefix + "/problems", Join(partition.problems, "; "));
  }
  if (partition.extended) {
    return absl::OkStatus();
  }
  if (!partition.inside || partition.size == 0) {
    leaves.Unavailable(prefix, partition.inside
                                   ? "an empty partition"
                                   : "reaches past the end of the disk");
    return absl::OkStatus();
  }
  SliceSource content(disk, partition.begin, partition.size);
  if (partition.type == kBiosBootType) {
    AddDigest(content, kMaxBootPartition, prefix + "/boot", inventory);
    return absl::OkStatus();
  }
  const bool is_efi_system =
      partition.type == kEfiSystemType || partition.type == "0xef";
  return AddContent(content, prefix, is_efi_system, inventory,
                    Note(unread, partition.begin));
}

// What a BIOS runs: the first sector's code, and where GRUB puts the rest.
void AddBootCode(BlockSource& disk, const PartitionTable& table,
                 const Inventory& inventory) {
  SliceSource code(disk, 0, kBootCodeSize);
  AddDigest(code, kBootCodeSize, "boot-code", inventory);
  if (table.kind != PartitionTable::Kind::kDos) {
    return;
  }
  uint64_t end = std::min(disk.size(), kMaxBootGap);
  for (const Partition& partition : table.partitions) {
    end = std::min(end, partition.begin);
  }
  if (end > 512) {
    SliceSource gap(disk, 512, end - 512);
    AddDigest(gap, kMaxBootGap, "boot-gap", inventory);
  }
}

absl::Status AddInventory(BlockSource& disk, const Inventory& inventory,
                          std::vector<inspection::UnreadContent>& unread) {
  ASSIGN_OR_RETURN(const PartitionTable table, ReadPartitionTable(disk));
  LeafList& leaves = inventory.leaves;
  switch (table.kind) {
    case PartitionTable::Kind::kNone:
      leaves.Text("table", "none");
      return AddContent(disk, "partition[0]", false, inventory,
                        Note(unread, 0));
    case PartitionTable::Kind::kDamaged:
      leaves.Unavailable("table", Join(table.problems, "; "));
      break;
    case PartitionTable::Kind::kDos:
      leaves.Text("table", "dos");
      break;
    case PartitionTable::Kind::kGpt:
      leaves.Text("table", "gpt");
      break;
  }
  if (table.kind != PartitionTable::Kind::kDamaged) {
    leaves.Text("table/guid", table.guid);
    if (!table.problems.empty()) {
      leaves.Text("table/problems", Join(table.problems, "; "));
    }
  }
  AddBootCode(disk, table, inventory);
  for (const Partition& partition : table.partitions) {
    RETURN_IF_ERROR(AddPartition(disk, partition, inventory, unread));
    RETURN_IF_ERROR(inventory.budget.failure());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<inspection::DiskReport> Inspect(BlockSource& disk,
                                               const InspectOptions& options,
                                               const Progress& progress) {
  inspection::DiskReport report;
  report.size = disk.size();
  if (options.inventory) {
    Budget budget(options.limits.time, options.limits.read_bytes);
    CachedSource cached(disk, budget);
    LeafList leaves(options.limits.leaves);
    const absl::Status status = AddInventory(
        cached,
        {.algorithm = options.algorithm, .budget = budget, .leaves = leaves},
        report.unread);
    RETURN_IF_ERROR(budget.failure());
    if (!status.ok()) {
      leaves.Unavailable("inventory", std::string(status.message()));
    }
    report.leaves = std::move(leaves).Take();
  }
  if (options.guest_digest) {
    ASSIGN_OR_RETURN(
        report.guest_digest,
        GuestDigest(disk, options.algorithm, options.hash_threads, progress));
  }
  return report;
}

}  // namespace vmattest::disk
