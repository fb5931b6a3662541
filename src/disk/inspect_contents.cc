#include "disk/inspect_contents.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "disk/appliance_file_tree.h"
#include "disk/cached_source.h"
#include "disk/content.h"
#include "disk/partition_table.h"

namespace vmattest::disk {
namespace {

constexpr size_t kMaxVolumes = 128;    // logical ones, of one disk
constexpr size_t kMaxSubvolumes = 64;  // of one btrfs
constexpr uint64_t kTopSubvolume = 5;  // BTRFS_FS_TREE_OBJECTID
constexpr uint64_t kBtrfsSuper = 65536;
// On-disk formats: linux/fs/xfs/libxfs/xfs_format.h, struct xfs_dsb;
// linux/include/uapi/linux/btrfs_tree.h, struct btrfs_super_block.
constexpr uint64_t kXfsUuidAt = 32;
constexpr uint64_t kBtrfsUuidAt = kBtrfsSuper + 32;
constexpr uint64_t kBtrfsLogRootAt = kBtrfsSuper + 96;

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

// A device of the appliance, read without its file systems.
class Device final : public BlockSource {
 public:
  Device(Appliance& appliance, std::string name, uint64_t size)
      : appliance_(appliance), name_(std::move(name)), size_(size) {}

  [[nodiscard]] uint64_t size() const override { return size_; }
  [[nodiscard]] absl::Status ReadAt(uint64_t offset,
                                    std::span<uint8_t> buffer) override {
    RETURN_IF_ERROR(CheckRange(*this, offset, buffer.size()));
    while (!buffer.empty()) {
      const auto piece =
          buffer.first(std::min(buffer.size(), Appliance::kMaxRead));
      RETURN_IF_ERROR(appliance_.ReadDevice(name_, offset, piece));
      offset += piece.size();
      buffer = buffer.subspan(piece.size());
    }
    return absl::OkStatus();
  }

 private:
  Appliance& appliance_;
  const std::string name_;
  const uint64_t size_;
};

class Walk {
 public:
  Walk(Appliance& appliance, HashAlgorithm algorithm,
       const InspectLimits& limits)
      : appliance_(appliance),
        algorithm_(algorithm),
        limits_(limits),
        deadline_(std::chrono::steady_clock::now() + limits.time),
        leaves_(limits.leaves) {}

  absl::Status Visit(const ApplianceContent& place, bool is_volume) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        deadline_ - std::chrono::steady_clock::now());
    Budget budget(left, limits_.read_bytes);
    Device device(appliance_, place.device, place.size);
    CachedSource cached(device, budget);
    const Inventory inventory{
        .algorithm = algorithm_, .budget = budget, .leaves = leaves_};
    std::vector<ApplianceContent> volumes;
    const Foreign foreign = [&](ContentKind kind, BlockSource& content,
                                const std::string& prefix) {
      if (kind == ContentKind::kLvm2) {
        return !is_volume && AddPhysicalVolume(place, volumes);
      }
      AddFilesystem(kind, content, prefix, place.device, inventory);
      return true;
    };
    const absl::Status status =
        AddContent(cached, place.prefix, false, inventory, foreign);
    RETURN_IF_ERROR(Fatal(budget));
    if (!status.ok() || !budget.failure().ok()) {
      Refuse(place.prefix, status.ok() ? budget.failure() : status);
    }
    for (const ApplianceContent& volume : volumes) {
      RETURN_IF_ERROR(Visit(volume, true));
    }
    return absl::OkStatus();
  }

  std::vector<ConfigLeaf> Take() && { return std::move(leaves_).Take(); }

 private:
  // What ends the inspection of the whole disk.
  absl::Status Fatal(const Budget& budget) const {
    RETURN_IF_ERROR(appliance_.disk_failure());
    if (absl::IsDeadlineExceeded(budget.failure()) ||
        std::chrono::steady_clock::now() >= deadline_) {
      return absl::DeadlineExceededError("looking into the disk took too long");
    }
    return absl::OkStatus();
  }

  void Refuse(const std::string& prefix, const absl::Status& status) {
    leaves_.Unavailable(prefix, "libguestfs: " + MessageOf(status));
  }

  void AddUuid(BlockSource& content, uint64_t at, const std::string& prefix) {
    std::array<uint8_t, 16> raw{};
    if (content.ReadAt(at, raw).ok()) {
      const std::string hex = ToHex(raw);
      leaves_.Text(
          prefix + "/filesystem/uuid",
          fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4),
                      hex.substr(12, 4), hex.substr(16, 4), hex.substr(20)));
    }
  }

  void AddFilesystem(ContentKind kind, BlockSource& content,
                     const std::string& prefix, const std::string& device,
                     const Inventory& inventory) {
    if (kind == ContentKind::kBtrfs) {
      AddBtrfs(content, prefix, device, inventory);
      return;
    }
    std::string options = "ro";
    if (kind == ContentKind::kXfs) {
      options = "ro,norecovery,nouuid";
      AddUuid(content, kXfsUuidAt, prefix);
      const absl::StatusOr<std::string> log = appliance_.XfsLog(device);
      leaves_.Text(prefix + "/journal", JournalOfXfsLog(log.value_or("")));
    }
    (void)AddMounted(device, options, prefix, inventory);
  }

  bool AddMounted(const std::string& device, const std::string& options,
                  const std::string& prefix, const Inventory& inventory) {
    const auto tree =
        ApplianceFileTree::Mount(appliance_, inventory.budget, device, options);
    if (!tree.ok()) {
      Refuse(prefix, tree.status());
      return false;
    }
    AddSystem(**tree, prefix, inventory);
    return true;
  }

  void AddBtrfs(BlockSource& content, const std::string& prefix,
                const std::string& device, const Inventory& inventory) {
    AddUuid(content, kBtrfsUuidAt, prefix);
    std::array<uint8_t, 8> log_root{};
    const bool known = content.ReadAt(kBtrfsLogRootAt, log_root).ok();
    leaves_.Text(prefix + "/journal", !known ? "unknown"
                                      : LittleEndian(log_root, 0, 8) != 0
                                          ? "needs-recovery"
                                          : "clean");
    const auto options = [](uint64_t id) {
      return fmt::format("ro,rescue=nologreplay,subvolid={}", id);
    };
    std::vector<Appliance::Subvolume> subvolumes;
    {
      const auto top = ApplianceFileTree::Mount(appliance_, inventory.budget,
                                                device, options(kTopSubvolume));
      if (!top.ok()) {
        Refuse(prefix, top.status());
        return;
      }
      AddSystem(**top, prefix, inventory);
      subvolumes = ListSubvolumes(prefix);
    }
    for (const Appliance::Subvolume& subvolume : subvolumes) {
      const std::string below = fmt::format("{}/subvolume[{}]", prefix,
                                            EscapeLeafKey(subvolume.path));
      leaves_.Text(below + "/id", std::to_string(subvolume.id));
      (void)AddMounted(device, options(subvolume.id), below, inventory);
    }
  }

  std::vector<Appliance::Subvolume> ListSubvolumes(const std::string& prefix) {
    const absl::StatusOr<uint64_t> standard = appliance_.DefaultSubvolume();
    if (standard.ok()) {
      leaves_.Text(prefix + "/filesystem/default-subvolume",
                   std::to_string(*standard));
    }
    auto subvolumes = appliance_.Subvolumes();
    if (!subvolumes.ok()) {
      leaves_.Unavailable(prefix + "/subvolume",
                          MessageOf(subvolumes.status()));
      return {};
    }
    std::sort(subvolumes->begin(), subvolumes->end(),
              [](const Appliance::Subvolume& a, const Appliance::Subvolume& b) {
                return std::tie(a.path, a.id) < std::tie(b.path, b.id);
              });
    if (subvolumes->size() > kMaxSubvolumes) {
      leaves_.Unavailable(
          prefix + "/subvolume",
          fmt::format("more than {}: {}", kMaxSubvolumes, subvolumes->size()));
      subvolumes->resize(kMaxSubvolumes);
    }
    return *std::move(subvolumes);
  }

  // Says what the volume belongs to; the first of a group has the group's
  // logical volumes below it.
  bool AddPhysicalVolume(const ApplianceContent& place,
                         std::vector<ApplianceContent>& volumes) {
    if (!lvm_) {
      absl::StatusOr<Appliance::Lvm> lvm = appliance_.ReadLvm();
      if (!lvm.ok()) {
        Refuse(place.prefix, lvm.status());
        return true;
      }
      lvm_ = *std::move(lvm);
    }
    const auto own = std::find_if(
        lvm_->physical.begin(), lvm_->physical.end(),
        [&](const auto& volume) { return volume.device == place.device; });
    if (own == lvm_->physical.end()) {
      leaves_.Unavailable(place.prefix, "libguestfs: LVM does not accept it");
      return true;
    }
    leaves_.Text(place.prefix + "/pv/uuid", own->uuid);
    const auto group = std::find_if(
        lvm_->groups.begin(), lvm_->groups.end(), [&](const auto& candidate) {
          return std::find(candidate.physical.begin(), candidate.physical.end(),
                           own->uuid) != candidate.physical.end();
        });
    if (group == lvm_->groups.end()) {
      leaves_.Text(place.prefix + "/pv/group", "none");
      return true;
    }
    leaves_.Text(place.prefix + "/pv/group", group->name);
    leaves_.Text(place.prefix + "/pv/group/uuid", group->uuid);
    AddGroup(*group, place, volumes);
    return true;
  }

  void AddGroup(const Appliance::Group& group, const ApplianceContent& place,
                std::vector<ApplianceContent>& volumes) {
    std::set<std::string> here;
    for (const Appliance::PhysicalVolume& volume : lvm_->physical) {
      here.insert(volume.uuid);
    }
    const auto missing = std::count_if(
        group.physical.begin(), group.physical.end(),
        [&here](const std::string& uuid) { return here.count(uuid) == 0; });
    if (missing > 0) {
      leaves_.Unavailable(
          place.prefix,
          fmt::format("LVM: {} of the {} physical volumes of its group are not "
                      "on this disk",
                      missing, group.physical.size()));
      return;
    }
    if (!groups_.insert(group.uuid).second) {
      return;
    }
    std::vector<const Appliance::LogicalVolume*> logical;
    for (const Appliance::LogicalVolume& volume : lvm_->logical) {
      if (volume.group == group.name) {
        logical.push_back(&volume);
      }
    }
    std::sort(logical.begin(), logical.end(),
              [](const auto* a, const auto* b) { return a->name < b->name; });
    for (const Appliance::LogicalVolume* volume : logical) {
      AddVolume(*volume, place, volumes);
    }
  }

  void AddVolume(const Appliance::LogicalVolume& volume,
                 const ApplianceContent& place,
                 std::vector<ApplianceContent>& volumes) {
    if (++volumes_ > kMaxVolumes) {
      if (volumes_ == kMaxVolumes + 1) {
        leaves_.Unavailable(
            place.prefix + "/lv",
            fmt::format("more than {} logical volumes", kMaxVolumes));
      }
      return;
    }
    const std::string prefix = fmt::format(
        "{}/lv[{}]", place.prefix,
        EscapeLeafKey(fmt::format("{}/{}", volume.group, volume.name)));
    leaves_.Text(prefix + "/uuid", volume.uuid);
    leaves_.Size(prefix + "/size", volume.size);
    volumes.push_back({prefix, volume.device, volume.size});
  }

  Appliance& appliance_;
  const HashAlgorithm algorithm_;
  const InspectLimits limits_;
  const std::chrono::steady_clock::time_point deadline_;
  LeafList leaves_;
  std::optional<Appliance::Lvm> lvm_;
  std::set<std::string> groups_;  // whose volumes are listed
  size_t volumes_ = 0;
};

}  // namespace

std::string JournalOfXfsLog(std::string_view output) {
  const bool clean = output.find("<CLEAN>") != std::string_view::npos;
  const bool dirty = output.find("<DIRTY>") != std::string_view::npos;
  return clean == dirty ? "unknown" : dirty ? "needs-recovery" : "clean";
}

absl::StatusOr<std::vector<ConfigLeaf>> InspectContents(
    Appliance& appliance, const std::vector<ApplianceContent>& contents,
    HashAlgorithm algorithm, const InspectLimits& limits) {
  Walk walk(appliance, algorithm, limits);
  for (const ApplianceContent& content : contents) {
    RETURN_IF_ERROR(walk.Visit(content, false));
  }
  return std::move(walk).Take();
}

}  // namespace vmattest::disk
