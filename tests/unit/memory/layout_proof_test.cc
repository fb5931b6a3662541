#include "memory/layout_proof.h"

#include <cstring>

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::memory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

// A block whose page i says i, unless it is empty.
class Block final : public BlockCandidate {
 public:
  Block(uint64_t bytes, uint8_t mark) : bytes_(bytes), mark_(mark) {}
  uint64_t bytes() const override { return bytes_; }
  absl::Status Read(uint64_t offset, std::span<uint8_t> buffer) override {
    std::memset(buffer.data(), 0, buffer.size());
    if (mark_ != 0) {
      buffer[0] = mark_;
      const uint64_t page = offset / kPageSize;
      std::memcpy(buffer.data() + 8, &page, sizeof page);
    }
    if (changing) {
      buffer[1] = ++reads_;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> FirstUsed(uint64_t begin,
                                     uint64_t /*end*/) override {
    return Used(begin);
  }
  absl::StatusOr<uint64_t> LastUsed(uint64_t /*begin*/, uint64_t end) override {
    return Used(end - kPageSize);
  }
  bool changing = false;

 private:
  absl::StatusOr<uint64_t> Used(uint64_t page) const {
    return mark_ == 0 ? absl::StatusOr<uint64_t>(absl::NotFoundError("zeros"))
                      : page;
  }
  const uint64_t bytes_;
  const uint8_t mark_;
  uint8_t reads_ = 0;
};

// What QEMU would show if `layout` and `blocks` were its own.
PeekFunction Truth(const RamLayout& layout, std::vector<Block*> blocks) {
  return [layout, blocks](uint64_t address, std::span<uint8_t> buffer) {
    for (const RamSection& section : layout.sections) {
      if (section.guest.begin <= address && address < section.guest.end) {
        return blocks[section.block]->Read(
            section.offset + address - section.guest.begin, buffer);
      }
    }
    return absl::OutOfRangeError("peeked at what is not RAM");
  };
}

RamLayout TwoBlocks(uint64_t split) {
  return {{{"cell0", 32 * kMiB}, {"cell1", 32 * kMiB}},
          {{{0, 32 * kMiB}, 0, 0},
           {{32 * kMiB, 32 * kMiB + split}, 1, 0},
           {{kFourGiB, kFourGiB + 32 * kMiB - split}, 1, split}},
          {}};
}

TEST(ProveLayout, TellsWhichCandidateIsWhichBlock) {
  const RamLayout layout = TwoBlocks(16 * kMiB);
  Block first(32 * kMiB, 1);
  Block second(32 * kMiB, 2);
  Block other(8 * kMiB, 3);
  BlockCandidate* const candidates[] = {&other, &second, &first};
  ASSERT_OK_AND_ASSIGN(
      const LayoutProof proof,
      ProveLayout(layout, candidates, Truth(layout, {&first, &second})));
  EXPECT_THAT(proof.candidate_of_block, ElementsAre(2, 1));
  EXPECT_EQ(proof.proven, 3U);
  EXPECT_EQ(proof.empty, 0U);
}

TEST(ProveLayout, RefusesASplitThatQemuDoesNotHave) {
  Block first(32 * kMiB, 1);
  Block second(32 * kMiB, 2);
  BlockCandidate* const candidates[] = {&first, &second};
  const RamLayout wrong = TwoBlocks(8 * kMiB);
  RamLayout real = TwoBlocks(16 * kMiB);
  // So that no peek of the wrong one falls outside of RAM.
  real.sections[2].guest.end += 8 * kMiB;
  EXPECT_THAT(ProveLayout(wrong, candidates, Truth(real, {&first, &second})),
              StatusIs(kPrecondition, HasSubstr("disproved")));
}

TEST(ProveLayout, RefusesBlocksThatItCannotTellApart) {
  const RamLayout layout = TwoBlocks(16 * kMiB);
  Block first(32 * kMiB, 0);
  Block second(32 * kMiB, 0);
  BlockCandidate* const candidates[] = {&first, &second};
  EXPECT_THAT(ProveLayout(layout, candidates, Truth(layout, {&first, &second})),
              StatusIs(kPrecondition, HasSubstr("block-unknown: 2 mappings")));
  BlockCandidate* const none[] = {&first};
  EXPECT_THAT(ProveLayout(layout, none, Truth(layout, {&first, &second})),
              StatusIs(kPrecondition, HasSubstr("block-unknown: 0 mappings")));
}

TEST(ProveLayout, CountsWhatIsEmptyOrNeverStandsStill) {
  const RamLayout layout{{{"ram", 32 * kMiB}}, {{{0, 32 * kMiB}, 0, 0}}, {}};
  Block empty(32 * kMiB, 0);
  BlockCandidate* const candidates[] = {&empty};
  ASSERT_OK_AND_ASSIGN(
      const LayoutProof proof,
      ProveLayout(layout, candidates, Truth(layout, {&empty})));
  EXPECT_EQ(proof.empty, 1U);
  Block restless(32 * kMiB, 5);
  restless.changing = true;
  BlockCandidate* const another[] = {&restless};
  ASSERT_OK_AND_ASSIGN(
      const LayoutProof unsure,
      ProveLayout(layout, another, Truth(layout, {&restless})));
  EXPECT_EQ(unsure.proven, 0U);
}

// Beside RAM at the bottom, another block where QEMU would have put it.
RamLayout WithAssumed(uint64_t at) {
  return {{{"ram", 32 * kMiB}, {"virtiomem0", 32 * kMiB, true}},
          {{{0, 32 * kMiB}, 0, 0}, {{at, at + 32 * kMiB}, 1, 0}},
          {}};
}

TEST(ProveLayout, ProvesAnAssumedPlaceOrSaysThatItIsNotThere) {
  const uint64_t at = kFourGiB;
  Block ram(32 * kMiB, 1);
  Block given(32 * kMiB, 2);
  BlockCandidate* const candidates[] = {&given, &ram};
  ASSERT_OK_AND_ASSIGN(const LayoutProof proof,
                       ProveLayout(WithAssumed(at), candidates,
                                   Truth(WithAssumed(at), {&ram, &given})));
  EXPECT_THAT(proof.candidate_of_block, ElementsAre(1, 0));
  EXPECT_EQ(proof.proven, 2U);
  EXPECT_THAT(proof.unsure, ElementsAre());
  EXPECT_THAT(proof.refuted, ElementsAre());

  // QEMU shows zeros where nothing is.
  const PeekFunction elsewhere = [&](uint64_t address,
                                     std::span<uint8_t> buffer) {
    if (address < 32 * kMiB) {
      return ram.Read(address, buffer);
    }
    std::memset(buffer.data(), 0, buffer.size());
    return absl::OkStatus();
  };
  BlockCandidate* const in_order[] = {&ram, &given};
  ASSERT_OK_AND_ASSIGN(
      const LayoutProof wrong,
      ProveLayout(WithAssumed(at + 32 * kMiB), in_order, elsewhere));
  EXPECT_THAT(wrong.candidate_of_block,
              ElementsAre(std::optional<size_t>(0), std::nullopt));
  EXPECT_EQ(wrong.proven, 1U);
  EXPECT_THAT(wrong.refuted,
              ElementsAre(::testing::Pair(1, HasSubstr("layout-disproved"))));
}

TEST(ProveLayout, IsNotSureOfAnAssumedPlaceThatIsEmpty) {
  Block ram(32 * kMiB, 1);
  Block empty(32 * kMiB, 0);
  BlockCandidate* const candidates[] = {&ram, &empty};
  const RamLayout layout = WithAssumed(kFourGiB);
  const PeekFunction truth = Truth(layout, {&ram, &empty});
  ASSERT_OK_AND_ASSIGN(const LayoutProof proof,
                       ProveLayout(layout, candidates, truth));
  EXPECT_THAT(proof.candidate_of_block, ElementsAre(0, 1));
  EXPECT_THAT(proof.unsure, ElementsAre(1));
  BlockCandidate* const alone[] = {&ram};
  ASSERT_OK_AND_ASSIGN(const LayoutProof without,
                       ProveLayout(layout, alone, truth));
  EXPECT_THAT(without.refuted,
              ElementsAre(::testing::Pair(1, HasSubstr("block-unknown"))));
}

// q35 with SMM: the top of low memory reads as ones from outside.
TEST(ProveLayout, LooksBelowWhatFirmwareHides) {
  const RamLayout layout{{{"ram", 64 * kMiB}}, {{{0, 64 * kMiB}, 0, 0}}, {}};
  Block ram(64 * kMiB, 1);
  BlockCandidate* const candidates[] = {&ram};
  const PeekFunction truth = Truth(layout, {&ram});
  const auto hiding = [&](uint64_t address, std::span<uint8_t> buffer) {
    if (address >= 56 * kMiB) {
      std::memset(buffer.data(), 0xFF, buffer.size());
      return absl::OkStatus();
    }
    return truth(address, buffer);
  };
  ASSERT_OK_AND_ASSIGN(const LayoutProof proof,
                       ProveLayout(layout, candidates, hiding));
  EXPECT_EQ(proof.proven, 1U);
}

}  // namespace
}  // namespace vmattest::memory
