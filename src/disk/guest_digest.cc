#include "disk/guest_digest.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "crypto/digest.h"
#include "disk/block_hashers.h"
#include "merkle/tree.h"

namespace vmattest::disk {
namespace {

constexpr uint8_t kLeafPrefix = 0x00;
constexpr uint64_t kProgressStep = uint64_t{64} << 20;

class Reporter {
 public:
  explicit Reporter(const std::function<void(uint64_t)>& progress)
      : progress_(progress) {}

  void Add(uint64_t bytes) {
    unsaid_ += bytes;
    if (unsaid_ >= kProgressStep) {
      Say();
    }
  }
  void Say() {
    if (progress_ && unsaid_ > 0) {
      progress_(std::exchange(unsaid_, 0));
    }
  }

 private:
  const std::function<void(uint64_t)>& progress_;
  uint64_t unsaid_ = 0;
};

// Where the whole blocks end that `disk` knows to be zero from `begin`; `begin`
// if there is none.
absl::StatusOr<uint64_t> EndOfZeroBlocks(BlockSource& disk, uint64_t begin) {
  uint64_t end = begin;
  while (end < disk.size()) {
    ASSIGN_OR_RETURN(const BlockSource::Extent extent, disk.ExtentAt(end));
    if (!extent.zero) {
      break;
    }
    end += extent.size;
  }
  return end - end % kGuestBlockSize;
}

// Where the blocks end that hold data, from `begin`, which does. Looking ahead
// is bounded, so that hashing goes on meanwhile.
absl::StatusOr<uint64_t> EndOfDataBlocks(BlockSource& disk, uint64_t begin) {
  constexpr uint64_t kLookAhead = uint64_t{1} << 30;
  uint64_t at = begin;
  while (at < disk.size() && at - begin < kLookAhead) {
    ASSIGN_OR_RETURN(const BlockSource::Extent extent, disk.ExtentAt(at));
    const uint64_t first_block =
        (at + kGuestBlockSize - 1) / kGuestBlockSize * kGuestBlockSize;
    if (extent.zero && first_block > begin &&
        at + extent.size >= first_block + kGuestBlockSize) {
      return first_block;
    }
    at += extent.size;
  }
  const uint64_t end =
      (at + kGuestBlockSize - 1) / kGuestBlockSize * kGuestBlockSize;
  return std::min(end, disk.size());
}

}  // namespace

void BlockTree::Add(DigestBytes leaf_hash) {
  Push({.level = 0, .hash = std::move(leaf_hash)});
}

void BlockTree::AddZeros(uint64_t blocks) {
  while (blocks > 0) {
    const auto fits = static_cast<unsigned>(std::bit_width(blocks)) - 1;
    const auto aligned =
        blocks_ == 0 ? fits : static_cast<unsigned>(std::countr_zero(blocks_));
    const unsigned level = std::min(fits, aligned);
    Push({.level = level, .hash = ZeroSubtree(level)});
    blocks -= uint64_t{1} << level;
  }
}

void BlockTree::Push(Subtree subtree) {
  blocks_ += uint64_t{1} << subtree.level;
  while (!open_.empty() && open_.back().level == subtree.level) {
    subtree.hash =
        merkle::NodeHash(algorithm_, open_.back().hash, subtree.hash);
    ++subtree.level;
    open_.pop_back();
  }
  open_.push_back(std::move(subtree));
}

const DigestBytes& BlockTree::ZeroSubtree(unsigned level) {
  if (zeros_.empty()) {
    const Bytes zeros(kGuestBlockSize);
    zeros_.push_back(HashParts(algorithm_, {ByteView(&kLeafPrefix, 1), zeros}));
  }
  while (zeros_.size() <= level) {
    zeros_.push_back(
        merkle::NodeHash(algorithm_, zeros_.back(), zeros_.back()));
  }
  return zeros_[level];
}

DigestBytes BlockTree::Root() const {
  if (open_.empty()) {
    return Hash(algorithm_, {});
  }
  DigestBytes root = open_.back().hash;
  for (size_t i = open_.size() - 1; i-- > 0;) {
    root = merkle::NodeHash(algorithm_, open_[i].hash, root);
  }
  return root;
}

absl::StatusOr<DigestBytes> GuestDigest(
    BlockSource& disk, HashAlgorithm algorithm, size_t threads,
    const std::function<void(uint64_t bytes)>& progress) {
  BlockTree tree(algorithm);
  Reporter reporter(progress);
  BlockHashers blocks(algorithm, threads, tree,
                      [&reporter](size_t size) { reporter.Add(size); });
  for (uint64_t at = 0; at < disk.size();) {
    ASSIGN_OR_RETURN(const uint64_t zero_end, EndOfZeroBlocks(disk, at));
    blocks.AddZeros((zero_end - at) / kGuestBlockSize);
    reporter.Add(zero_end - at);
    at = zero_end;
    ASSIGN_OR_RETURN(const uint64_t data_end, EndOfDataBlocks(disk, at));
    RETURN_IF_ERROR(disk.ReadBlocks(at, data_end, blocks));
    at = data_end;
  }
  blocks.Finish();
  reporter.Say();
  return tree.Root();
}

}  // namespace vmattest::disk
