#include "gate/verdict_cache.h"

#include <functional>

#include "gmock/gmock.h"
#include "support/matchers.h"
#include "support/temp_dir.h"

namespace vmattest::gate {
namespace {

using testing::IsOk;

class VerdictCacheTest : public ::testing::Test {
 protected:
  VerdictCacheTest() {
    binding_.vm_uuid = "00112233-4455-6677-8899-aabbccddeeff";
    binding_.root = Bytes(32, 1);
    binding_.measured = "chain/none";
    binding_.ak = Bytes(8, 2);
    binding_.reset_count = 7;
    binding_.reference = "web@1";
    now_.reset_count = 7;
    now_.clock_ms = 1'000'000;
  }
  testing::TempDir dir_;
  VerdictBinding binding_;
  TpmClock now_;
};

TEST_F(VerdictCacheTest, S16_HoldsUntilItsTimeByTheTpmsClock) {
  VerdictCache cache(dir_.path() / "v");
  EXPECT_THAT(cache.Keep(binding_, "ear", now_, 60), IsOk());
  EXPECT_EQ(cache.Find(binding_, now_), "ear");
  now_.clock_ms += 59'999;
  EXPECT_EQ(cache.Find(binding_, now_), "ear");
  now_.clock_ms += 1;
  EXPECT_EQ(cache.Find(binding_, now_), std::nullopt);
  now_.clock_ms = 999'999;  // a clock that went back proves nothing
  EXPECT_EQ(cache.Find(binding_, now_), std::nullopt);
}

TEST_F(VerdictCacheTest, S16_AnyOtherCircumstanceEndsIt) {
  VerdictCache cache(dir_.path() / "v");
  EXPECT_THAT(cache.Keep(binding_, "ear", now_, 60), IsOk());
  const std::function<void(VerdictBinding&)> changes[] = {
      [](VerdictBinding& b) { b.vm_uuid.back() = '0'; },
      [](VerdictBinding& b) { b.root[0] ^= 1; },
      [](VerdictBinding& b) { b.algorithm = HashAlgorithm::kSha384; },
      [](VerdictBinding& b) { b.measured = "none/none"; },
      [](VerdictBinding& b) { b.ak[0] ^= 1; },
      [](VerdictBinding& b) { b.reset_count += 1; },
      [](VerdictBinding& b) { b.restart_count += 1; },
      [](VerdictBinding& b) { b.reference = "web@2"; },
      [](VerdictBinding& b) { b.revocation_epoch += 1; },
  };
  for (const auto& change : changes) {
    VerdictBinding other = binding_;
    change(other);
    EXPECT_EQ(cache.Find(other, now_), std::nullopt);
  }
}

TEST_F(VerdictCacheTest, OutlivesTheDaemon) {
  {
    VerdictCache cache(dir_.path() / "v");
    EXPECT_THAT(cache.Keep(binding_, "ear", now_, 60), IsOk());
  }
  EXPECT_EQ(VerdictCache(dir_.path() / "v").Find(binding_, now_), "ear");
}

TEST_F(VerdictCacheTest, ADamagedFileCountsForNothing) {
  {
    VerdictCache cache(dir_.path() / "v");
    EXPECT_THAT(cache.Keep(binding_, "ear", now_, 60), IsOk());
  }
  const std::string file = "v/" + binding_.vm_uuid;
  std::filesystem::resize_file(dir_.path() / file, 40);
  EXPECT_EQ(VerdictCache(dir_.path() / "v").Find(binding_, now_), std::nullopt);
}

}  // namespace
}  // namespace vmattest::gate
