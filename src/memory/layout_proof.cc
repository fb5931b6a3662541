#include "memory/layout_proof.h"

#include <algorithm>
#include <array>
#include <set>

#include "fmt/format.h"

namespace vmattest::memory {
namespace {

constexpr int kTries = 6;
// SMRAM lies at the top of low memory, hidden from everybody but firmware: how
// far below an end is looked next (q35: 1, 2, 8 or up to 64 MiB).
constexpr uint64_t kSteps[] = {0,        1U << 20,  2U << 20,
                               8U << 20, 16U << 20, 64U << 20};

using Page = std::array<uint8_t, kPageSize>;

enum class Found { kSame, kZero, kHidden, kOther };

bool IsAll(const Page& page, uint8_t value) {
  return std::all_of(page.begin(), page.end(),
                     [value](uint8_t byte) { return byte == value; });
}

class Prover {
 public:
  Prover(const RamLayout& layout, std::span<BlockCandidate* const> candidates,
         const PeekFunction& peek)
      : layout_(layout), candidates_(candidates), peek_(peek) {}

  absl::StatusOr<LayoutProof> Prove() {
    proof_.candidate_of_block.resize(layout_.blocks.size());
    for (size_t block = 0; block < layout_.blocks.size(); ++block) {
      RETURN_IF_ERROR(Judge(block, Assign(block)));
    }
    for (const RamSection& section : layout_.sections) {
      if (proof_.candidate_of_block[section.block]) {
        RETURN_IF_ERROR(Judge(section.block, CheckSection(section)));
      }
    }
    return proof_;
  }

 private:
  // What is wrong about an assumed place concerns that block alone.
  absl::Status Judge(size_t block, const absl::Status& status) {
    if (!absl::IsFailedPrecondition(status) || !layout_.blocks[block].assumed) {
      return status;
    }
    proof_.candidate_of_block[block].reset();
    proof_.refuted.emplace(block, std::string(status.message()));
    return absl::OkStatus();
  }

  // What one page looks like from both sides.
  absl::StatusOr<Found> Compare(BlockCandidate& candidate, uint64_t offset,
                                uint64_t address) {
    Page before;
    Page shown;
    Page after;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      RETURN_IF_ERROR(candidate.Read(offset, before));
      RETURN_IF_ERROR(peek_(address, shown));
      RETURN_IF_ERROR(candidate.Read(offset, after));
      if (shown == before || shown == after) {
        return IsAll(shown, 0) ? Found::kZero : Found::kSame;
      }
      if (IsAll(shown, 0xFF)) {
        return Found::kHidden;
      }
      if (before == after) {
        return Found::kOther;
      }
    }
    return Found::kHidden;  // it never keeps still: nothing was learnt
  }

  // Looks at the end of the section that `from_end` says.
  absl::StatusOr<Found> CompareEnd(BlockCandidate& candidate,
                                   const RamSection& section, bool from_end) {
    const uint64_t size = section.guest.end - section.guest.begin;
    Found found = Found::kZero;
    for (const uint64_t step : kSteps) {
      if (step >= size) {
        break;
      }
      const uint64_t begin = section.offset + (from_end ? 0 : step);
      const uint64_t end = section.offset + size - (from_end ? step : 0);
      const absl::StatusOr<uint64_t> used =
          from_end ? candidate.LastUsed(begin, end)
                   : candidate.FirstUsed(begin, end);
      if (absl::IsNotFound(used.status())) {
        break;
      }
      RETURN_IF_ERROR(used.status());
      ASSIGN_OR_RETURN(found,
                       Compare(candidate, *used,
                               section.guest.begin + *used - section.offset));
      if (found == Found::kSame || found == Found::kOther) {
        return found;
      }
    }
    return found;
  }

  [[nodiscard]] std::vector<size_t> Possible(size_t block) const {
    std::vector<size_t> possible;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      if (candidates_[i]->bytes() == layout_.blocks[block].bytes &&
          !taken_.contains(i)) {
        possible.push_back(i);
      }
    }
    return possible;
  }

  // How many of a block's section ends this candidate shows; none: it is not.
  absl::StatusOr<size_t> Agreement(size_t block, BlockCandidate& candidate) {
    size_t same = 0;
    for (const RamSection& section : layout_.sections) {
      if (section.block != block) {
        continue;
      }
      for (const bool from_end : {false, true}) {
        ASSIGN_OR_RETURN(const Found found,
                         CompareEnd(candidate, section, from_end));
        same += found == Found::kSame ? 1U : 0U;
        if (found == Found::kOther) {
          return size_t{0};
        }
      }
    }
    return same;
  }

  absl::Status Assign(size_t block) {
    const std::vector<size_t> possible = Possible(block);
    std::optional<size_t> chosen;
    if (possible.size() == 1) {
      chosen = possible[0];
    }
    size_t most = 0;
    if (possible.size() > 1) {
      for (const size_t candidate : possible) {
        ASSIGN_OR_RETURN(const size_t same,
                         Agreement(block, *candidates_[candidate]));
        if (same > most) {
          most = same;
          chosen = candidate;
        }
      }
    }
    if (!chosen) {
      return absl::FailedPreconditionError(fmt::format(
          "block-unknown: {} mappings of {} bytes could be {}", possible.size(),
          layout_.blocks[block].bytes, layout_.blocks[block].name));
    }
    taken_.insert(*chosen);
    proof_.candidate_of_block[block] = chosen;
    return absl::OkStatus();
  }

  absl::Status CheckSection(const RamSection& section) {
    // Firmware may map a ROM over its shadow: it proves nothing either way.
    if (section.guest.begin == kRomShadow.begin) {
      return absl::OkStatus();
    }
    BlockCandidate& candidate =
        *candidates_[*proof_.candidate_of_block[section.block]];
    size_t same = 0;
    for (const bool from_end : {false, true}) {
      ASSIGN_OR_RETURN(const Found found,
                       CompareEnd(candidate, section, from_end));
      if (found == Found::kOther) {
        return absl::FailedPreconditionError(
            fmt::format("layout-disproved: {:#x} to {:#x} is not {} at {:#x}",
                        section.guest.begin, section.guest.end,
                        layout_.blocks[section.block].name, section.offset));
      }
      same += found == Found::kSame ? 1U : 0U;
    }
    (same > 0 ? proof_.proven : proof_.empty) += 1;
    if (same == 0 && layout_.blocks[section.block].assumed) {
      proof_.unsure.push_back(section.block);
    }
    return absl::OkStatus();
  }

  const RamLayout& layout_;
  const std::span<BlockCandidate* const> candidates_;
  const PeekFunction& peek_;
  std::set<size_t> taken_;
  LayoutProof proof_;
};

}  // namespace

absl::StatusOr<LayoutProof> ProveLayout(
    const RamLayout& layout, std::span<BlockCandidate* const> candidates,
    const PeekFunction& peek) {
  return Prover(layout, candidates, peek).Prove();
}

}  // namespace vmattest::memory
