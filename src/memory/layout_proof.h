#ifndef VMATTEST_MEMORY_LAYOUT_PROOF_H_
#define VMATTEST_MEMORY_LAYOUT_PROOF_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "memory/ram_layout.h"

namespace vmattest::memory {

// A piece of memory of the hypervisor's process that may be a block of RAM.
class BlockCandidate {
 public:
  virtual ~BlockCandidate() = default;
  [[nodiscard]] virtual uint64_t bytes() const = 0;
  virtual absl::Status Read(uint64_t offset, std::span<uint8_t> buffer) = 0;
  // The first page with something in it in [begin, end), or the last one.
  // NOT_FOUND: none was found in what may be looked at for this.
  virtual absl::StatusOr<uint64_t> FirstUsed(uint64_t begin, uint64_t end) = 0;
  virtual absl::StatusOr<uint64_t> LastUsed(uint64_t begin, uint64_t end) = 0;
};

// What the hypervisor itself shows at a guest-physical address.
using PeekFunction =
    std::function<absl::Status(uint64_t address, std::span<uint8_t> buffer)>;

struct LayoutProof {
  std::vector<std::optional<size_t>> candidate_of_block;
  // The blocks at assumed places (RamLayout::Block) that are not there, with
  // the reason: these have no candidate; and those of which only zeros were
  // found, so that they may be elsewhere.
  std::map<size_t, std::string> refuted;
  std::vector<size_t> unsure;
  // Sections in which at least one page that is not zero was the same from
  // both sides, at both ends; and those in which only zeros were found.
  size_t proven = 0;
  size_t empty = 0;
};

// Finds out which candidate is which block, and that the layout is QEMU's: near
// both ends of each section, what is read at the block's place must be what
// the hypervisor shows at the guest's address. Only RAM is peeked at: reading
// devices could change them. A page that changes while it is compared is tried
// again. Blocks.
//   FAILED_PRECONDITION "layout-disproved: ..." or "block-unknown: ...": the
//   layout, or the candidates, must not be used. Else as `peek`.
absl::StatusOr<LayoutProof> ProveLayout(
    const RamLayout& layout, std::span<BlockCandidate* const> candidates,
    const PeekFunction& peek);

}  // namespace vmattest::memory

#endif  // VMATTEST_MEMORY_LAYOUT_PROOF_H_
