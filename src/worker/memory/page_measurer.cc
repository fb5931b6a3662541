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

constexpr size_t kBatch = 1024;                // pages that a task has
constexpr size_t kRunBytes = size_t{1} << 16;  // stays in the CPU's cache

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
  // What a thread works with.
  struct Local {
    std::vector<uint8_t> buffer;
    std::optional<PieceTagger> tagger;
    uint64_t bytes = 0;
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
    local.buffer.resize(std::max<size_t>(kRunBytes, region_.grid.page_bytes()));
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
        SetHole(page++, range);
      } else if (extent->begin <= range.begin && range.end <= extent->end) {
        const uint64_t end = RunEnd(page, last, extent->end);
        HashRun(page, end, local);
        page = end;
      } else {
        HashMixed(page++, range, local);
      }
    }
    if (options_.progress) {
      options_.progress(local.bytes);
    }
  }

  // How many pages from `page` on lie side by side, whole, before `limit`.
  uint64_t RunEnd(uint64_t page, uint64_t last, uint64_t limit) const {
    const uint64_t size = region_.grid.page_bytes();
    AddressRange range = region_.grid.At(page);
    if (range.end - range.begin != size) {
      return page + 1;
    }
    const uint64_t most =
        std::min(last, page + std::max<uint64_t>(1, kRunBytes / size));
    uint64_t end = page + 1;
    while (end < most && (wanted_ == nullptr || (*wanted_)[end] != 0)) {
      const AddressRange next = region_.grid.At(end);
      if (next.begin != range.end || next.end - next.begin != size ||
          next.end > limit) {
        break;
      }
      range = next;
      ++end;
    }
    return end;
  }

  [[nodiscard]] std::span<uint8_t> DigestOf(uint64_t page) {
    return std::span(region_.digests)
        .subspan(page * digest_size_, digest_size_);
  }

  void Store(uint64_t page, ByteView digest) {
    const std::span<uint8_t> kept = DigestOf(page);
    if (std::equal(digest.begin(), digest.end(), kept.begin())) {
      ++unchanged_;
      return;
    }
    std::copy(digest.begin(), digest.end(), kept.begin());
    if (changed_ != nullptr) {
      (*changed_)[page] = 1;
    }
  }

  void SetHole(uint64_t page, const AddressRange& range) {
    region_.known[page] = RegionPages::kHole;
    const uint64_t size = range.end - range.begin;
    Store(page, size == region_.grid.page_bytes()
                    ? zero_digest_
                    : Hash(region_.algorithm, Bytes(size)));
  }

  void SetUnreadable(uint64_t page) {
    region_.known[page] = RegionPages::kNothing;
    ++unreadable_;
    Store(page, DigestBytes(digest_size_));
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
  bool HashInPlace(const AddressRange& range, size_t page_size,
                   std::span<uint8_t> out) const {
    if (region_.algorithm != HashAlgorithm::kBlake3 ||
        page_size != memory::kPageSize || options_.tag_key != nullptr ||
        copy_ != nullptr) {
      return false;
    }
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

  void HashRun(uint64_t first, uint64_t end, Local& local) {
    const AddressRange head = region_.grid.At(first);
    const AddressRange range{head.begin, region_.grid.At(end - 1).end};
    const size_t size = head.end - head.begin;
    local.bytes += range.end - range.begin;
    Bytes digests((end - first) * digest_size_);
    if (!HashInPlace(range, size, digests)) {
      const uint8_t* const data = Fetch(range, local);
      if (data == nullptr && end - first > 1) {
        for (uint64_t page = first; page < end; ++page) {
          HashRun(page, page + 1, local);
        }
        return;
      }
      if (data == nullptr) {
        SetUnreadable(first);
        return;
      }
      if (local.tagger) {
        for (uint64_t page = first; page < end; ++page) {
          StoreTagged(page, {data + (page - first) * size, size}, local);
        }
        return;
      }
      HashPieces(region_.algorithm, {data, range.end - range.begin}, size,
                 digests);
    }
    for (uint64_t page = first; page < end; ++page) {
      Store(page, ByteView(digests).subspan((page - first) * digest_size_,
                                            digest_size_));
    }
  }

  void StoreTagged(uint64_t page, ByteView data, Local& local) {
    std::array<uint8_t, PieceTagger::kTagSize> tag;
    local.tagger->Tag(data, tag);
    const auto kept =
        std::span(region_.tags).subspan(page * tag.size()).first<tag.size()>();
    if (region_.known[page] == RegionPages::kTagged &&
        std::equal(tag.begin(), tag.end(), kept.begin())) {
      ++unchanged_;
      return;
    }
    std::copy(tag.begin(), tag.end(), kept.begin());
    region_.known[page] = RegionPages::kTagged;
    Store(page, Hash(region_.algorithm, data));
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
        SetUnreadable(page);
        return;
      }
      std::copy_n(data, part.end - part.begin,
                  bytes.data() + (part.begin - range.begin));
    }
    local.bytes += size;
    if (local.tagger) {
      StoreTagged(page, bytes, local);
    } else {
      Store(page, Hash(region_.algorithm, bytes));
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
