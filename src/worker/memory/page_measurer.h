#ifndef VMATTEST_WORKER_MEMORY_PAGE_MEASURER_H_
#define VMATTEST_WORKER_MEMORY_PAGE_MEASURER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "base/bytes.h"
#include "base/secret_bytes.h"
#include "memory/page_grid.h"
#include "vmattest/types/digest.h"
#include "worker/memory/page_source.h"

namespace vmattest::worker {

// The digests of one region's pages, and what makes the next time cheaper.
struct RegionPages {
  memory::PageGrid grid;
  HashAlgorithm algorithm = HashAlgorithm::kSha256;
  Bytes digests;  // of every page; zeros where it could not be read
  Bytes tags;     // crypto/page_hash.h; empty: not kept
  // kNothing, kHole or kTagged.
  Bytes known;
  static constexpr uint8_t kNothing = 0;
  static constexpr uint8_t kHole = 1;
  static constexpr uint8_t kTagged = 2;

  uint64_t unreadable = 0;
  uint64_t torn = 0;
  uint64_t unchanged = 0;
  uint64_t present_bytes = 0;
};

struct MeasureOptions {
  // What changed while it was read is read again, so often; what changed each
  // time is torn.
  uint32_t rereads = 0;
  size_t threads = 1;
  // With which tags are made. nullptr: none, every page is hashed.
  const SecretBytes* tag_key = nullptr;
  std::function<void(uint64_t bytes)> progress;  // may be empty
};

// Measures, or measures again, the pages of `region`. Every page is read; with
// tags only those are hashed whose bytes are not what they were. With `copy`
// what that has is taken from there, the rest from the running guest.
// UNAVAILABLE: the guest is gone.
absl::Status MeasurePages(const GuestView& view, const GuestCopy* copy,
                          const MeasureOptions& options, RegionPages& region);

}  // namespace vmattest::worker

#endif  // VMATTEST_WORKER_MEMORY_PAGE_MEASURER_H_
