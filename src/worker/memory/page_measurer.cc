#include "worker/memory/page_measurer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <optional>

#include "crypto/digest.h"
#include "crypto/page_hash.h"

namespace vmattest::worker {
namespace {

using memory::AddressRange;

constexpr size_t kBatch = 1024;                    // pages that a task has
constexpr size_t kRunBytes = size_t{1} << 16;      // stays in the CPU's cache
constexpr size_t kInPlaceBytes = size_t{1} << 20;  // is looked at once

// One pass over the pages of a region that are wanted.
class Pass {
 public:
  Pass(const GuestView& view, const GuestCopy* copy,
       const MeasureOptions& options, RegionPages& region)
      : view_(view),
        copy_(copy),
        options_(options),
        region_(region),
        digest_size_(DigestSize(region.algorithm)),
        zero_digest_(Hash(region.algorithm, Bytes(region.grid.page_bytes()))) {}

  absl::Status Run(const Bytes* wanted, Bytes* changed) {
    wanted_ = wanted;
    changed_ = changed;
    for (const AddressRange& range : region_.grid.ranges()) {
      ASSIGN_OR_RETURN(const std::vector<AddressRange> extents,
                       copy_ != nullptr ? copy_->Extents(view_, range)
                                        : view_.Extents(range));
      extents_.insert(extents_.end(), extents.begin(), extents.end());
    }
    SortExtents();
    const uint64_t pages = region_.grid.size();
    RunOnThreads(options_.threads, (pages + kBatch - 1) / kBatch,
                 [&](size_t task) {
                   const uint64_t first = task * kBatch;
                   Batch(first, std::min<uint64_t>(pages, first + kBatch));
                 });
    return absl::OkStatus();
  }

  [[nodiscard]] uint64_t unchanged() const { return unchanged_; }
  [[nodiscard]] uint64_t unreadable() const { return unreadable_; }
  [[nodiscard]] uint64_t present_bytes() const {
    uint64_t bytes = 0;
    for (const AddressRange& extent : extents_) {
      bytes += extent.end - extent.begin;
    }
    return bytes;
  }

 private:
  // What a thread works with. It counts for itself: one counter for all would
  // be passed to and fro at each page.
  struct Local {
    std::vector<uint8_t> buffer;
    Bytes digests;
    std::optional<PieceTagger> tagger;
    uint64_t bytes = 0;
    uint64_t unchanged = 0;
    uint64_t unreadable = 0;
  };

  // Ranges come in any order, and may have the same bytes.
  void SortExtents() {
    std::sort(extents_.begin(), extents_.end(),
              [](const AddressRange& a, const AddressRange& b) {
                return a.begin < b.begin;
              });
    std::vector<AddressRange> merged;
    for (const AddressRange& extent : extents_) {
      if (!merged.empty() && extent.begin <= merged.back().end) {
        merged.back().end = std::max(merged.back().end, extent.end);
      } else {
        merged.push_back(extent);
      }
    }
    extents_ = std::move(merged);
  }

  [[nodiscard]] std::vector<AddressRange>::const_iterator FirstAfter(
      uint64_t address) const {
    return std::upper_bound(
        extents_.begin(), extents_.end(), address,
        [](uint64_t at, const AddressRange& one) { return at < one.end; });
  }

  void Batch(uint64_t first, uint64_t last) {
    Local local;
    if (options_.tag_key != nullptr) {
      local.tagger.emplace(*options_.tag_key);
    }
    uint64_t from = region_.grid.At(first).begin;
    auto extent = FirstAfter(from);
    for (uint64_t page = first; page < last;) {
      const AddressRange range = region_.grid.At(page);
      if (range.begin < from) {
        extent = FirstAfter(range.begin);
      }
      from = range.begin;
      while (extent != extents_.end() && extent->end <= range.begin) {
        ++extent;
      }
      if (wanted_ != nullptr && (*wanted_)[page] == 0) {
        ++page;
      } else if (extent == extents_.end() || extent->begin >= range.end) {
        SetHole(page++, range, local);
      } else if (extent->begin <= range.begin && range.end <= extent->end) {
        const bool in_place = MayHashInPlace(range);
        const uint64_t end = RunEnd(page, last, extent->end, in_place);
        HashRun(page, end, in_place, local);
        page = end;
      } else {
        HashMixed(page++, range, local);
      }
    }
    unchanged_ += local.unchanged;
    unreadable_ += local.unreadable;
    if (options_.progress) {
      options_.progress(local.bytes);
    }
  }

  // Where the pages that can be taken together with `page` end, all of them
  // below the address `limit`.
  uint64_t RunEnd(uint64_t page, uint64_t last, uint64_t limit,
                  bool in_place) const {
    const uint64_t size = region_.grid.page_bytes();
    const uint64_t most = (in_place ? kInPlaceBytes : kRunBytes) / size;
    const uint64_t there = (limit - region_.grid.At(page).begin) / size;
    const uint64_t together =
        std::min({last - page, region_.grid.WholeFrom(page), most, there});
    uint64_t end = page + 1;
    while (end < page + together &&
           (wanted_ == nullptr || (*wanted_)[end] != 0)) {
      ++end;
    }
    return end;
  }

  [[nodiscard]] std::span<uint8_t> DigestOf(uint64_t page) {
    return std::span(region_.digests)
        .subspan(page * digest_size_, digest_size_);
  }

  void Store(uint64_t page, ByteView digest, Local& local) {
    const std::span<uint8_t> kept = DigestOf(page);
    if (std::equal(digest.begin(), digest.end(), kept.begin())) {
      ++local.unchanged;
      return;
    }
    std::copy(digest.begin(), digest.end(), kept.begin());
    if (changed_ != nullptr) {
      (*changed_)[page] = 1;
    }
  }

  void SetHole(uint64_t page, const AddressRange& range, Local& local) {
    region_.known[page] = RegionPages::kHole;
    const uint64_t size = range.end - range.begin;
    Store(page,
          size == region_.grid.page_bytes()
              ? zero_digest_
              : Hash(region_.algorithm, Bytes(size)),
          local);
  }

  void SetUnreadable(uint64_t page, Local& local) {
    region_.known[page] = RegionPages::kNothing;
    ++local.unreadable;
    Store(page, DigestBytes(digest_size_), local);
  }

  // Where the pages' bytes are, copied into the buffer if they might change
  // while they are looked at twice; nullptr: they cannot be read.
  const uint8_t* Fetch(const AddressRange& range, Local& local) const {
    const size_t size = range.end - range.begin;
    if (copy_ != nullptr) {
      if (const uint8_t* const copied = copy_->Direct(range)) {
        return copied;
      }
    }
    local.buffer.resize(std::max(local.buffer.size(), size));
    if (const uint8_t* const direct = view_.Direct(range)) {
      struct Copy {
        uint8_t* to;
        const uint8_t* from;
        size_t size;
      } copy{local.buffer.data(), direct, size};
      return memory::GuardedRead(
                 [](void* argument) {
                   const auto& all = *static_cast<Copy*>(argument);
                   std::memcpy(all.to, all.from, all.size);
                 },
                 &copy)
                 ? local.buffer.data()
                 : nullptr;
    }
    return view_.Read(range, {local.buffer.data(), size}).ok()
               ? local.buffer.data()
               : nullptr;
  }

  // BLAKE3 over mapped memory needs no copy: each byte is looked at once, and
  // nothing is left behind where it ends in the middle.
  [[nodiscard]] bool MayHashInPlace(const AddressRange& page) const {
    return region_.algorithm == HashAlgorithm::kBlake3 &&
           page.end - page.begin == memory::kPageSize &&
           options_.tag_key == nullptr && copy_ == nullptr &&
           view_.Direct(page) != nullptr;
  }

  bool HashInPlace(const AddressRange& range, std::span<uint8_t> out) const {
    const uint8_t* const direct = view_.Direct(range);
    if (direct == nullptr) {
      return false;
    }
    struct Work {
      ByteView data;
      std::span<uint8_t> out;
    } work{{direct, range.end - range.begin}, out};
    return memory::GuardedRead(
        [](void* argument) {
          const auto& all = *static_cast<Work*>(argument);
          HashPieces(HashAlgorithm::kBlake3, all.data, memory::kPageSize,
                     all.out);
        },
        &work);
  }

  void HashRun(uint64_t first, uint64_t end, bool in_place, Local& local) {
    const AddressRange head = region_.grid.At(first);
    const AddressRange range{head.begin, region_.grid.At(end - 1).end};
    const size_t size = head.end - head.begin;
    local.digests.resize((end - first) * digest_size_);
    const bool hashed = in_place && HashInPlace(range, local.digests);
    const uint8_t* const data = in_place ? nullptr : Fetch(range, local);
    if (!hashed && data == nullptr && (in_place || end - first > 1)) {
      for (uint64_t page = first; page < end; ++page) {
        HashRun(page, page + 1, false, local);
      }
      return;
    }
    local.bytes += range.end - range.begin;
    if (hashed) {
      StoreAll(first, end, local);
    } else if (data == nullptr) {
      SetUnreadable(first, local);
    } else if (local.tagger) {
      for (uint64_t page = first; page < end; ++page) {
        StoreTagged(page, {data + (page - first) * size, size}, local);
      }
    } else {
      HashPieces(region_.algorithm, {data, range.end - range.begin}, size,
                 local.digests);
      StoreAll(first, end, local);
    }
  }

  void StoreAll(uint64_t first, uint64_t end, Local& local) {
    const ByteView digests(local.digests);
    const auto kept =
        region_.digests.begin() + static_cast<ptrdiff_t>(first * digest_size_);
    if (std::equal(digests.begin(), digests.end(), kept)) {
      local.unchanged += end - first;
      return;
    }
    for (uint64_t page = first; page < end; ++page) {
      Store(page, digests.subspan((page - first) * digest_size_, digest_size_),
            local);
    }
  }

  void StoreTagged(uint64_t page, ByteView data, Local& local) {
    std::array<uint8_t, PieceTagger::kTagSize> tag;
    local.tagger->Tag(data, tag);
    const auto kept =
        std::span(region_.tags).subspan(page * tag.size()).first<tag.size()>();
    if (region_.known[page] == RegionPages::kTagged &&
        std::equal(tag.begin(), tag.end(), kept.begin())) {
      ++local.unchanged;
      return;
    }
    std::copy(tag.begin(), tag.end(), kept.begin());
    region_.known[page] = RegionPages::kTagged;
    Store(page, Hash(region_.algorithm, data), local);
  }

  // A large page with holes in it, which are not to be touched.
  void HashMixed(uint64_t page, const AddressRange& range, Local& local) {
    const size_t size = range.end - range.begin;
    std::vector<uint8_t> bytes(size);
    for (const AddressRange& extent : extents_) {
      const AddressRange part{std::max(extent.begin, range.begin),
                              std::min(extent.end, range.end)};
      if (part.begin >= part.end) {
        continue;
      }
      const uint8_t* const data = Fetch(part, local);
      if (data == nullptr) {
        SetUnreadable(page, local);
        return;
      }
      std::copy_n(data, part.end - part.begin,
                  bytes.data() + (part.begin - range.begin));
    }
    local.bytes += size;
    if (local.tagger) {
      StoreTagged(page, bytes, local);
    } else {
      Store(page, Hash(region_.algorithm, bytes), local);
    }
  }

  const GuestView& view_;
  const GuestCopy* const copy_;
  const MeasureOptions& options_;
  RegionPages& region_;
  const size_t digest_size_;
  const DigestBytes zero_digest_;
  const Bytes* wanted_ = nullptr;
  Bytes* changed_ = nullptr;
  std::vector<AddressRange> extents_;
  std::atomic<uint64_t> unchanged_ = 0;
  std::atomic<uint64_t> unreadable_ = 0;
};

}  // namespace

absl::Status MeasurePages(const GuestView& view, const GuestCopy* copy,
                          const MeasureOptions& options, RegionPages& region) {
  const uint64_t pages = region.grid.size();
  region.digests.resize(pages * DigestSize(region.algorithm));
  region.known.resize(pages);
  if (options.tag_key != nullptr) {
    region.tags.resize(pages * PieceTagger::kTagSize);
  }
  Pass first(view, copy, options, region);
  RETURN_IF_ERROR(first.Run(nullptr, nullptr));
  region.unchanged = first.unchanged();
  region.unreadable = first.unreadable();
  region.present_bytes = first.present_bytes();
  region.torn = 0;
  Bytes wanted(options.rereads == 0 ? 0 : pages, 1);
  for (uint32_t i = 0; i < options.rereads; ++i) {
    Bytes changed(pages);
    Pass again(view, copy, options, region);
    RETURN_IF_ERROR(again.Run(&wanted, &changed));
    region.torn = static_cast<uint64_t>(
        std::count(changed.begin(), changed.end(), uint8_t{1}));
    region.unreadable = std::max(region.unreadable, again.unreadable());
    wanted = std::move(changed);
    if (region.torn == 0) {
      break;
    }
  }
  return absl::OkStatus();
}

}  // namespace vmattest::worker
