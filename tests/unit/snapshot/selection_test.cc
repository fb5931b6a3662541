#include "snapshot/selection.h"

#include "gmock/gmock.h"
#include "support/matchers.h"

namespace vmattest::snapshot {
namespace {

using memory::AddressRange;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StatusIs;

const std::vector<AddressRange> kRam = {{0, 0xA0000}, {0x100000, 0x800000}};

Policy Of(std::vector<Region> regions) {
  Policy policy;
  policy.id = "p";
  policy.version = 1;
  policy.digest = DigestBytes(32, 7);
  policy.regions = std::move(regions);
  return policy;
}

TEST(Select, TakesAllRamButWhatIsExcluded) {
  const Policy policy = Of({{"ram",
                             Severity::kLow,
                             AllRam{},
                             {{0x1000, 0x2000}, {0x90000, 0x200000}}}});
  ASSERT_OK_AND_ASSIGN(const auto regions, Select(policy, kRam, {}, nullptr));
  EXPECT_THAT(regions[0].ranges, ElementsAre(AddressRange{0, 0x1000},
                                             AddressRange{0x2000, 0x90000},
                                             AddressRange{0x200000, 0x800000}));
}

TEST(Select, SaysWhichPhysicalRangeIsNoRam) {
  const Policy policy =
      Of({{"vga", Severity::kLow, PhysicalRanges{{{0x90000, 0xB0000}}}, {}}});
  ASSERT_OK_AND_ASSIGN(const auto regions, Select(policy, kRam, {}, nullptr));
  EXPECT_TRUE(regions[0].ranges.empty());
  EXPECT_THAT(regions[0].unavailable, HasSubstr("not-ram: 0x90000"));
}

TEST(Select, DrawsTheSameSampleForTheSameNonceOnly) {
  const Policy policy =
      Of({{"s", Severity::kLow, Sample{50, std::string(kNonceSeed)}, {}}});
  const Bytes nonce(16, 1);
  ASSERT_OK_AND_ASSIGN(const auto one, Select(policy, kRam, nonce, nullptr));
  ASSERT_OK_AND_ASSIGN(const auto same, Select(policy, kRam, nonce, nullptr));
  ASSERT_OK_AND_ASSIGN(const auto other,
                       Select(policy, kRam, Bytes(16, 2), nullptr));
  EXPECT_EQ(one[0].ranges, same[0].ranges);
  EXPECT_NE(one[0].ranges, other[0].ranges);
  EXPECT_EQ(one[0].bytes(), 50U * memory::kPageSize);
  for (const AddressRange& range : one[0].ranges) {
    EXPECT_TRUE(range.end <= kRam[0].end || range.begin >= kRam[1].begin);
  }
  EXPECT_THAT(Select(policy, kRam, {}, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("nonce")));
}

TEST(Select, SaysOfNoRegionThatItIsOfAllRamIfSomeIsLeftOut) {
  const Policy policy =
      Of({{"all", Severity::kLow, AllRam{}, {}},
          {"sample", Severity::kLow, Sample{50, "x"}, {}},
          {"low", Severity::kLow, PhysicalRanges{{{0, 0x1000}}}, {}}});
  ASSERT_OK_AND_ASSIGN(const auto regions,
                       Select(policy, kRam, {}, nullptr, "virtio-mem m0: why"));
  for (const size_t i : {0, 1}) {
    EXPECT_TRUE(regions[i].ranges.empty());
    EXPECT_EQ(regions[i].unavailable, "ram-left-out: virtio-mem m0: why");
  }
  EXPECT_EQ(regions[2].unavailable, "");
  EXPECT_EQ(regions[2].bytes(), 0x1000U);
}

TEST(Select, OfASampleLargerThanRamIsAllOfIt) {
  const Policy policy = Of({{"s", Severity::kLow, Sample{1 << 20, "x"}, {}}});
  EXPECT_EQ(Select(policy, kRam, {}, nullptr)->at(0).ranges, kRam);
}

Region Meant(std::string name, GuestSelector selector) {
  return {std::move(name), Severity::kCritical, std::move(selector), {}};
}

TEST(Select, AsksForEachNameAndPartOfARegionWithAMeaning) {
  using Kind = GuestSelector::Kind;
  using What = memory::MeaningQuery::What;
  const Policy policy =
      Of({{"ram", Severity::kLow, AllRam{}, {}},
          Meant("k", {Kind::kKernel, {}, {"text", "idt"}}),
          Meant("t", {Kind::kTasks, {}, {"pid", "uid"}}),
          Meant("m", {Kind::kModules, {"a*", "b"}, {"text", "rodata"}})});
  const auto request = WantedMeaning(policy);
  ASSERT_TRUE(request);
  ASSERT_EQ(request->regions.size(), 3U);
  EXPECT_EQ(request->regions[0][0].what, What::kKernelText);
  EXPECT_EQ(request->regions[0][1].what, What::kIdt);
  EXPECT_TRUE(request->regions[1].empty());
  EXPECT_THAT(request->task_fields, ElementsAre("pid", "uid"));
  ASSERT_EQ(request->regions[2].size(), 4U);
  EXPECT_EQ(request->regions[2][3].what, What::kModuleRodata);
  EXPECT_EQ(request->regions[2][3].pattern, "b");
  EXPECT_FALSE(WantedMeaning(Of({{"ram", Severity::kLow, AllRam{}, {}}})));
}

TEST(Select, LeavesNamedPartsInTheirOrder) {
  const Policy policy =
      Of({{"ram", Severity::kLow, PhysicalRanges{{{0x1000, 0x2000}}}, {}},
          Meant("k", {GuestSelector::Kind::kSymbols, {"*"}, {}}),
          Meant("t", {GuestSelector::Kind::kTasks, {}, {"pid"}})});
  memory::GuestMeaning meaning;
  meaning.semantics = "linux";
  meaning.regions.resize(2);
  meaning.regions[0].parts = {
      {"symbol/a", "data", 0xf000, 0x20, 0, {{0x300010, 0x300030}}},
      {"symbol/b",
       "code",
       0xa000,
       0x2000,
       0x800,
       {{0x200000, 0x201000}, {0x180000, 0x180800}}}};
  ASSERT_OK_AND_ASSIGN(auto regions, Select(policy, kRam, {}, &meaning));
  EXPECT_THAT(regions[1].ranges, ElementsAre(AddressRange{0x300010, 0x300030},
                                             AddressRange{0x200000, 0x201000},
                                             AddressRange{0x180000, 0x180800}));
  EXPECT_EQ(regions[1].parts, meaning.regions[0].parts);
  EXPECT_TRUE(regions[2].records);
  meaning.regions[0] = {{}, "no-linux: firmware"};
  ASSERT_OK_AND_ASSIGN(regions, Select(policy, kRam, {}, &meaning));
  EXPECT_EQ(regions[1].unavailable, "no-linux: firmware");
  ASSERT_OK_AND_ASSIGN(regions, Select(policy, kRam, {}, nullptr));
  EXPECT_THAT(regions[1].unavailable, HasSubstr("not-resolved"));
}

TEST(Select, KeepsThePolicysLimit) {
  Policy policy = Of({{"ram", Severity::kLow, AllRam{}, {}}});
  policy.max_bytes = 4096;
  EXPECT_THAT(Select(policy, kRam, {}, nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace vmattest::snapshot
