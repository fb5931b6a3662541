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

class Resolver final : public RegionResolver {
 public:
  absl::StatusOr<std::vector<AddressRange>> Resolve(
      const GuestSelector& selector) override {
    if (selector.kind != GuestSelector::Kind::kKernel) {
      return absl::FailedPreconditionError("no-vmcoreinfo: not a Linux guest");
    }
    return found;
  }
  std::vector<AddressRange> found;
};

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

TEST(Select, OfASampleLargerThanRamIsAllOfIt) {
  const Policy policy = Of({{"s", Severity::kLow, Sample{1 << 20, "x"}, {}}});
  EXPECT_EQ(Select(policy, kRam, {}, nullptr)->at(0).ranges, kRam);
}

TEST(Select, SortsWhatTheGuestsKernelSaysAndBelievesNoneOfIt) {
  const Policy policy =
      Of({{"k", Severity::kCritical, GuestSelector{}, {}},
          {"m",
           Severity::kCritical,
           GuestSelector{GuestSelector::Kind::kModules, {"*"}, {"text"}},
           {}}});
  Resolver resolver;
  resolver.found = {
      {0x300010, 0x300020}, {0x200000, 0x201000}, {0x200800, 0x202000}};
  ASSERT_OK_AND_ASSIGN(auto regions, Select(policy, kRam, {}, &resolver));
  EXPECT_THAT(regions[0].ranges, ElementsAre(AddressRange{0x200000, 0x202000},
                                             AddressRange{0x300010, 0x300020}));
  EXPECT_THAT(regions[1].unavailable, HasSubstr("no-vmcoreinfo"));
  resolver.found = {{0x700000, 0x900000}};
  ASSERT_OK_AND_ASSIGN(regions, Select(policy, kRam, {}, &resolver));
  EXPECT_THAT(regions[0].unavailable, HasSubstr("not-ram"));
  ASSERT_OK_AND_ASSIGN(regions, Select(policy, kRam, {}, nullptr));
  EXPECT_THAT(regions[0].unavailable, HasSubstr("not-resolved"));
}

TEST(Select, KeepsThePolicysLimit) {
  Policy policy = Of({{"ram", Severity::kLow, AllRam{}, {}}});
  policy.max_bytes = 4096;
  EXPECT_THAT(Select(policy, kRam, {}, nullptr),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

}  // namespace
}  // namespace vmattest::snapshot
