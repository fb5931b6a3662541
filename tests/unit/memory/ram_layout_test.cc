#include "memory/ram_layout.h"

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::memory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

DomainMemory Domain(std::string machine, uint64_t bytes) {
  DomainMemory domain;
  domain.machine = std::move(machine);
  domain.arch = "x86_64";
  domain.boot_bytes = bytes;
  return domain;
}

TEST(LayOut, LeavesOutTheVgaWindow) {
  ASSERT_OK_AND_ASSIGN(const RamLayout layout,
                       LayOut(Domain("pc-q35-7.2", 256 * kMiB)));
  EXPECT_THAT(RamOf(layout, false),
              ElementsAre(AddressRange{0, 0xA0000},
                          AddressRange{0x100000, 256 * kMiB}));
  EXPECT_THAT(
      RamOf(layout, true),
      ElementsAre(AddressRange{0, 0xA0000}, AddressRange{0xC0000, 256 * kMiB}));
}

// TESTBED.md: tried with 5 GiB of each.
TEST(LayOut, SplitsLargeMemoryAtTwoOrThreeGiB) {
  for (const auto& [machine, below] : {std::pair("pc-q35-7.2", 2 * kGiB),
                                       std::pair("pc-i440fx-7.2", 3 * kGiB)}) {
    ASSERT_OK_AND_ASSIGN(const RamLayout layout,
                         LayOut(Domain(machine, 5 * kGiB)));
    EXPECT_THAT(
        layout.sections,
        ElementsAre(
            RamSection{{0, 0xA0000}, 0, 0},
            RamSection{{0xC0000, 0x100000}, 0, 0xC0000},
            RamSection{{0x100000, below}, 0, 0x100000},
            RamSection{{4 * kGiB, 4 * kGiB + 5 * kGiB - below}, 0, below}));
  }
}

TEST(LayOut, KeepsAllBelowUpToTheMachinesThreshold) {
  struct Case {
    const char* machine;
    uint64_t bytes;
    size_t ranges;
  };
  for (const Case& one : {Case{"pc-q35-7.2", 0xB0000000 - kMiB, 2},
                          Case{"pc-q35-7.2", 0xB0000000, 3},
                          Case{"pc-i440fx-7.2", 0xE0000000 - kMiB, 2},
                          Case{"pc-i440fx-7.2", 0xE0000000, 3}}) {
    ASSERT_OK_AND_ASSIGN(const RamLayout layout,
                         LayOut(Domain(one.machine, one.bytes)));
    EXPECT_EQ(RamOf(layout, false).size(), one.ranges)
        << one.machine << " " << one.bytes;
  }
}

TEST(LayOut, RunsThroughNumaCellsAndAddsDimms) {
  DomainMemory domain = Domain("pc-q35-7.2", 4 * kGiB);
  domain.cells = {kGiB, 3 * kGiB};
  domain.devices = {{"dimm0", "dimm", 512 * kMiB, 6 * kGiB},
                    {"virtiomem0", "virtio-mem", kGiB, std::nullopt}};
  ASSERT_OK_AND_ASSIGN(const RamLayout layout, LayOut(domain));
  EXPECT_EQ(layout.blocks.size(), 3U);
  EXPECT_THAT(layout.sections,
              ElementsAre(RamSection{{0, 0xA0000}, 0, 0},
                          RamSection{{0xC0000, 0x100000}, 0, 0xC0000},
                          RamSection{{0x100000, kGiB}, 0, 0x100000},
                          RamSection{{kGiB, 2 * kGiB}, 1, 0},
                          RamSection{{4 * kGiB, 6 * kGiB}, 1, kGiB},
                          RamSection{{6 * kGiB, 6 * kGiB + 512 * kMiB}, 2, 0}));
  EXPECT_THAT(layout.left_out, ElementsAre(HasSubstr("virtiomem0")));
}

TEST(LayOut, HasAllThatVirtioMemMayGiveWhereItsAddressIsTold) {
  DomainMemory domain = Domain("pc-q35-7.2", kGiB);
  domain.devices = {{"virtiomem0", "virtio-mem", kGiB, 4 * kGiB},
                    {"virtiopmem0", "virtio-pmem", kGiB, 6 * kGiB},
                    {"epc0", "sgx-epc", kGiB, std::nullopt}};
  ASSERT_OK_AND_ASSIGN(const RamLayout layout, LayOut(domain));
  ASSERT_EQ(layout.blocks.size(), 2U);
  EXPECT_EQ(layout.blocks[1].name, "virtiomem0");
  EXPECT_EQ(layout.sections.back(), (RamSection{{4 * kGiB, 5 * kGiB}, 1, 0}));
  EXPECT_THAT(layout.left_out,
              ElementsAre("virtiopmem0: virtio-pmem is not read",
                          "epc0: sgx-epc is not read"));
}

TEST(LayOut, AssumesTheFirstRoomForVirtioMemWhereNobodyTellsItsAddress) {
  DomainMemory domain = Domain("pc-q35-7.2", 3 * kGiB);
  domain.devices = {
      {"virtiomem0", "virtio-mem", kGiB, std::nullopt, 2 * kMiB},
      {"dimm0", "dimm", 130 * kMiB, 5 * kGiB},
      {"virtiomem1", "virtio-mem", 64 * kMiB, std::nullopt, 4 * kMiB}};
  ASSERT_OK_AND_ASSIGN(RamLayout layout, LayOut(domain));
  ASSERT_EQ(layout.blocks.size(), 4U);
  EXPECT_FALSE(layout.blocks[0].assumed);
  EXPECT_FALSE(layout.blocks[1].assumed);
  EXPECT_EQ(layout.blocks[2].name, "virtiomem0");
  EXPECT_TRUE(layout.blocks[2].assumed);
  EXPECT_TRUE(layout.blocks[3].assumed);
  const uint64_t past = 5 * kGiB + 130 * kMiB;
  EXPECT_THAT(
      std::vector(layout.sections.end() - 3, layout.sections.end()),
      ElementsAre(
          RamSection{{5 * kGiB, past}, 1, 0},
          RamSection{{past, past + kGiB}, 2, 0},
          RamSection{{past + kGiB + 2 * kMiB, past + kGiB + 66 * kMiB}, 3, 0}));
  EXPECT_THAT(layout.left_out, ElementsAre());

  LeaveOut(2, "it is elsewhere", layout);
  EXPECT_EQ(layout.blocks.size(), 3U);
  EXPECT_EQ(layout.blocks[2].name, "virtiomem1");
  EXPECT_EQ(
      layout.sections.back(),
      (RamSection{{past + kGiB + 2 * kMiB, past + kGiB + 66 * kMiB}, 2, 0}));
  EXPECT_THAT(layout.left_out, ElementsAre("virtiomem0: it is elsewhere"));
}

TEST(LayOut, AssumesNothingBesideWhatMayBeInTheWay) {
  for (const DomainMemory::Device& other :
       {DomainMemory::Device{"virtiopmem0", "virtio-pmem", kGiB, std::nullopt},
        DomainMemory::Device{"epc0", "sgx-epc", kGiB, std::nullopt}}) {
    DomainMemory domain = Domain("pc-q35-7.2", kGiB);
    domain.devices = {
        {"virtiomem0", "virtio-mem", kGiB, std::nullopt, 2 * kMiB}, other};
    ASSERT_OK_AND_ASSIGN(const RamLayout layout, LayOut(domain));
    EXPECT_EQ(layout.blocks.size(), 1U);
    EXPECT_THAT(layout.left_out,
                ElementsAre("virtiomem0: its address is not told",
                            other.alias + ": " + other.model + " is not read"));
  }
}

TEST(LayOut, EndsWhateverTheAddressesOfADefinitionAre) {
  for (const uint64_t bytes : {uint64_t{1} << 46, ~uint64_t{0} - kPageSize}) {
    for (const uint64_t at : {4 * kGiB, ~uint64_t{0} - 8 * kGiB}) {
      DomainMemory domain = Domain("pc-q35-7.2", kGiB);
      domain.devices = {
          {"dimm0", "dimm", bytes, at},
          {"virtiomem0", "virtio-mem", bytes, std::nullopt, 2 * kMiB}};
      EXPECT_THAT(LayOut(domain),
                  StatusIs(kPrecondition, HasSubstr("memory-overlap")));
    }
  }
}

TEST(LayOut, SaysWhyItCannotKnow) {
  EXPECT_THAT(LayOut(Domain("microvm", kGiB)),
              StatusIs(kPrecondition, HasSubstr("machine-unknown")));
  DomainMemory domain = Domain("pc-q35-7.2", kGiB);
  domain.launch_security = "sev";
  EXPECT_THAT(LayOut(domain),
              StatusIs(kPrecondition, HasSubstr("memory-encrypted")));
  domain = Domain("pc-q35-7.2", kGiB);
  domain.own_arguments = true;
  EXPECT_THAT(LayOut(domain),
              StatusIs(kPrecondition, HasSubstr("own-arguments")));
  domain = Domain("pc-q35-7.2", kGiB);
  domain.cells = {kGiB / 2};
  EXPECT_THAT(LayOut(domain),
              StatusIs(kPrecondition, HasSubstr("memory-size")));
  domain = Domain("pc-q35-7.2", kGiB);
  domain.devices = {{"dimm0", "dimm", kGiB, kGiB / 2}};
  EXPECT_THAT(LayOut(domain),
              StatusIs(kPrecondition, HasSubstr("memory-overlap")));
  domain = Domain("pc-q35-7.2", kGiB);
  domain.arch = "aarch64";
  EXPECT_THAT(LayOut(domain),
              StatusIs(kPrecondition, HasSubstr("machine-unknown")));
}

}  // namespace
}  // namespace vmattest::memory
