#include "linuxguest/page_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <tuple>

namespace vmattest::linuxguest {
namespace {

constexpr uint64_t kPresent = 1 << 0;
constexpr uint64_t kWritable = 1 << 1;
constexpr uint64_t kUser = 1 << 2;
constexpr uint64_t kLarge = 1 << 7;
constexpr uint64_t kNoExecute = uint64_t{1} << 63;
constexpr uint64_t kAddressMask = 0x000ffffffffff000;
constexpr uint64_t kEntries = 512;
constexpr uint64_t kLa57 = 1 << 12;
constexpr Access kAll{true, true, true};

// Bits of an address below level 1 (page table) ... 5.
constexpr int Shift(int level) { return 12 + 9 * (level - 1); }

bool IsLeaf(uint64_t entry, int level) {
  return level == 1 || (level <= 3 && (entry & kLarge) != 0);
}

// Set where they must not be: PS above level 3, address bits below a large
// page's size (bit 12 there is PAT).
bool HasReservedBits(uint64_t entry, int level) {
  if (level >= 4) {
    return (entry & kLarge) != 0;
  }
  if (level == 1 || (entry & kLarge) == 0) {
    return false;
  }
  return (entry & kAddressMask & ((uint64_t{1} << Shift(level)) - 1) &
          ~uint64_t{0x1000}) != 0;
}

uint64_t LeafAddress(uint64_t entry, int level) {
  return entry & kAddressMask & ~((uint64_t{1} << Shift(level)) - 1);
}

Access Narrow(const Access& above, uint64_t entry) {
  return {above.writable && (entry & kWritable) != 0,
          above.executable && (entry & kNoExecute) == 0,
          above.user && (entry & kUser) != 0};
}

uint64_t Canonical(uint64_t address, int levels) {
  const int unused = 64 - (Shift(levels) + 9);
  return static_cast<uint64_t>(static_cast<int64_t>(address << unused) >>
                               unused);
}

class Walker {
 public:
  Walker(PhysicalReader& reader, const Paging& paging, uint64_t begin,
         uint64_t end, std::span<const memory::AddressRange> watched,
         const std::function<absl::Status(const Mapping&)>& sink)
      : reader_(reader),
        paging_(paging),
        begin_(begin),
        end_(end),
        watched_(watched),
        sink_(sink) {}

  absl::StatusOr<WalkFacts> Run() {
    ASSIGN_OR_RETURN([[maybe_unused]] const bool any,
                     Table(paging_.root, paging_.levels, 0, kAll));
    RETURN_IF_ERROR(Flush());
    return std::move(facts_);
  }

 private:
  // A table, its level, whether what is below may be run, and written.
  using Look = std::tuple<uint64_t, int, bool, bool>;

  void Problem(std::string text) {
    if (facts_.problem_count++ < reader_.limits().problems) {
      facts_.problems.push_back(std::move(text));
    }
  }

  absl::Status Flush() {
    if (!run_) {
      return absl::OkStatus();
    }
    const Mapping run = *run_;
    run_.reset();
    return sink_(run);
  }

  absl::Status Leaf(const Mapping& leaf) {
    if (run_ && run_->address + run_->size == leaf.address &&
        run_->physical + run_->size == leaf.physical &&
        run_->access == leaf.access) {
      run_->size += leaf.size;
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(Flush());
    run_ = leaf;
    return absl::OkStatus();
  }

  // A table at two levels reads its own leaves as tables.
  void RememberLevel(uint64_t table, int level) {
    const auto [known, fresh] = levels_.emplace(table, level);
    if (!fresh && known->second != level) {
      Problem(
          fmt::format("the page table at 0x{:x} is used at levels {} and {}",
                      table, known->second, level));
    }
  }

  [[nodiscard]] bool MayMatter(const Access& access) const {
    return access.executable || (access.writable && !watched_.empty());
  }

  [[nodiscard]] bool IsWatched(uint64_t physical, uint64_t size) const {
    const auto after = std::upper_bound(
        watched_.begin(), watched_.end(), physical,
        [](uint64_t at, const memory::AddressRange& r) { return at < r.end; });
    return after != watched_.end() && after->begin < physical + size;
  }

  // True if something for the sink lies below.
  absl::StatusOr<bool> Table(uint64_t table, int level, uint64_t base,
                             const Access& access) {
    if (!MayMatter(access)) {
      return false;
    }
    const Look look{table, level, access.executable,
                    access.writable && !watched_.empty()};
    if (barren_.count(look) != 0) {
      return false;
    }
    if (++facts_.tables > reader_.limits().page_tables) {
      facts_.complete = false;
      return false;
    }
    RememberLevel(table, level);
    std::array<uint8_t, memory::kPageSize> raw{};
    if (const absl::Status read = reader_.Read(table, raw);
        absl::IsNotFound(read)) {
      Problem(fmt::format("a page table at 0x{:x}, where no RAM is", table));
      return false;
    } else if (!read.ok()) {
      return read;
    }
    bool all_seen = true;
    bool any = false;
    for (uint64_t i = 0; i < kEntries; ++i) {
      const uint64_t size = uint64_t{1} << Shift(level);
      const uint64_t address = Canonical(base + i * size, paging_.levels);
      if (address > end_ || address + (size - 1) < begin_) {
        all_seen = false;
        continue;
      }
      ASSIGN_OR_RETURN(const bool below, Entry(LittleEndian(raw, i * 8, 8),
                                               level, address, access));
      any = any || below;
    }
    if (!any && all_seen && facts_.complete) {
      barren_.insert(look);
    }
    return any;
  }

  absl::StatusOr<bool> Entry(uint64_t entry, int level, uint64_t address,
                             const Access& above) {
    if ((entry & kPresent) == 0) {
      return false;
    }
    const Access access = Narrow(above, entry);
    if (HasReservedBits(entry, level)) {
      Problem(fmt::format("reserved bits in the page table entry of 0x{:x}",
                          address));
      return false;
    }
    if (!IsLeaf(entry, level)) {
      return Table(entry & kAddressMask, level - 1, address, access);
    }
    const uint64_t size = uint64_t{1} << Shift(level);
    const uint64_t physical = LeafAddress(entry, level);
    if (!access.executable &&
        (!access.writable || !IsWatched(physical, size))) {
      return false;
    }
    RETURN_IF_ERROR(Leaf({address, physical, size, access}));
    return true;
  }

  PhysicalReader& reader_;
  const Paging paging_;
  const uint64_t begin_;
  const uint64_t end_;
  const std::span<const memory::AddressRange> watched_;
  const std::function<absl::Status(const Mapping&)>& sink_;
  WalkFacts facts_;
  std::optional<Mapping> run_;
  std::map<uint64_t, int> levels_;
  std::set<Look> barren_;
};

}  // namespace

Paging PagingOf(uint64_t cr3, uint64_t cr4) {
  return {cr3 & kAddressMask, (cr4 & kLa57) != 0 ? 5 : 4};
}

absl::StatusOr<Mapping> Translate(PhysicalReader& reader, const Paging& paging,
                                  uint64_t address) {
  if (Canonical(address, paging.levels) != address) {
    return absl::NotFoundError(
        fmt::format("0x{:x} is no canonical address", address));
  }
  uint64_t table = paging.root;
  Access access = kAll;
  for (int level = paging.levels; level >= 1; --level) {
    const uint64_t index = address >> Shift(level) & (kEntries - 1);
    const absl::StatusOr<uint64_t> entry = reader.U64(table + index * 8);
    if (absl::IsNotFound(entry.status())) {
      return absl::DataLossError(
          fmt::format("a page table at 0x{:x}, where no RAM is", table));
    }
    RETURN_IF_ERROR(entry.status());
    if ((*entry & kPresent) == 0) {
      return absl::NotFoundError(fmt::format("0x{:x} is not mapped", address));
    }
    if (HasReservedBits(*entry, level)) {
      return absl::DataLossError(fmt::format(
          "reserved bits in the page table entry of 0x{:x}", address));
    }
    access = Narrow(access, *entry);
    if (IsLeaf(*entry, level)) {
      const uint64_t size = uint64_t{1} << Shift(level);
      return Mapping{address & ~(size - 1), LeafAddress(*entry, level), size,
                     access};
    }
    table = *entry & kAddressMask;
  }
  return absl::InternalError("unreachable: level 1 is a leaf");
}

absl::StatusOr<WalkFacts> WalkCode(
    PhysicalReader& reader, const Paging& paging, uint64_t begin, uint64_t end,
    std::span<const memory::AddressRange> watched,
    const std::function<absl::Status(const Mapping&)>& sink) {
  return Walker(reader, paging, begin, end, watched, sink).Run();
}

absl::StatusOr<WalkFacts> WalkExecutable(
    PhysicalReader& reader, const Paging& paging, uint64_t begin, uint64_t end,
    const std::function<absl::Status(const Mapping&)>& sink) {
  return WalkCode(reader, paging, begin, end, {}, sink);
}

}  // namespace vmattest::linuxguest
