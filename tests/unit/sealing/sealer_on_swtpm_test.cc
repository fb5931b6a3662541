#include <future>
#include <thread>
#include <vector>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "evidence/tpm_structures.h"
#include "gtest/gtest.h"
#include "merkle/tree.h"
#include "sealing/sealer.h"
#include "support/matchers.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/tpm_proxy.h"
#include "tpm/esys/esys_host_tpm.h"

// The sealer with a real TPM 2.0 behind it.

namespace vmattest::sealing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::IsOk;
using testing::StatusIs;
using Sealed = absl::StatusOr<evidence::TpmQuoteSignature>;

class SealerOnSwtpm : public ::testing::Test {
 protected:
  tpm::EsysHostTpmOptions Options() const {
    tpm::EsysHostTpmOptions options;
    options.tcti = proxy_.tcti();
    options.key_auth = SecretBytes(Bytes(32, 0x5A));
    options.pin_file = dir_.path() / "tpm.json";
    options.command_timeout = milliseconds(20'000);
    return options;
  }
  static Bytes DigestOf(int number) {
    return Hash(HashAlgorithm::kSha256, AsBytes(std::to_string(number)));
  }
  std::future<Sealed> Seal(Sealer& sealer, int number,
                           milliseconds within = seconds(60)) const {
    auto promise = std::make_shared<std::promise<Sealed>>();
    EXPECT_THAT(sealer.Seal(KeyPurpose::kConfig, DigestOf(number),
                            clock_.Monotonic() + within,
                            [promise](Sealed sealed) {
                              promise->set_value(std::move(sealed));
                            }),
                IsOk());
    return promise->get_future();
  }
  // By the public identity alone, as a stranger would.
  static void ExpectVerifies(const Sealer& sealer, const Sealed& sealed,
                             int number) {
    ASSERT_THAT(sealed, IsOk());
    ASSERT_OK_AND_ASSIGN(const auto identity, sealer.Identity());
    ASSERT_OK_AND_ASSIGN(const auto key, evidence::ParseEccPublic(
                                             identity.keys.at(0).public_area));
    ASSERT_OK_AND_ASSIGN(const auto signature,
                         evidence::ParseEcdsaSignature(sealed->signature));
    EXPECT_TRUE(VerifyEcdsa(key.key,
                            Hash(HashAlgorithm::kSha256, sealed->quoted),
                            signature.r, signature.s));
    ASSERT_OK_AND_ASSIGN(
        const DigestBytes root,
        merkle::RootFromInclusion(
            HashAlgorithm::kSha256, sealed->batch.index, sealed->batch.size,
            evidence::BatchLeaf(DigestOf(number)), sealed->batch.path));
    ASSERT_OK_AND_ASSIGN(const auto attest,
                         evidence::ParseAttest(sealed->quoted));
    EXPECT_EQ(attest.extra_data,
              evidence::QualifyingData(KeyPurpose::kConfig, root,
                                       sealed->batch.size));
  }

  const testing::TempDir dir_;
  testing::Swtpm swtpm_;
  testing::TpmProxy proxy_{swtpm_.socket()};
  const SystemClock clock_{};
};

TEST_F(SealerOnSwtpm, CrowdOnASlowTpmTakesFewQuotes) {
  constexpr int kThreads = 8;
  constexpr int kEach = 125;
  tpm::EsysHostTpm tpm(Options());
  Sealer sealer(tpm, clock_, 4096, nullptr);
  ASSERT_THAT(Seal(sealer, -1).get(), IsOk());
  const uint64_t before = sealer.stats().quotes;
  proxy_.DelayAnswer(testing::kTpmCcQuote, milliseconds(200));
  std::vector<std::vector<std::future<Sealed>>> crowd(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        crowd[static_cast<size_t>(t)].push_back(Seal(sealer, t * kEach + i));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (int number = 0; number < kThreads * kEach; ++number) {
    ExpectVerifies(sealer,
                   crowd[static_cast<size_t>(number / kEach)]
                        [static_cast<size_t>(number % kEach)]
                            .get(),
                   number);
  }
  EXPECT_LE(sealer.stats().quotes - before, 6U);
}

TEST_F(SealerOnSwtpm, WhatWaitsIsSealedWhenTheTpmComesBack) {
  tpm::EsysHostTpm tpm(Options());
  Sealer sealer(tpm, clock_, 4096, nullptr);
  ASSERT_THAT(Seal(sealer, 0).get(), IsOk());
  swtpm_.Kill();
  std::vector<std::future<Sealed>> waiting;
  for (int i = 1; i <= 20; ++i) {
    waiting.push_back(Seal(sealer, i));
  }
  std::future<Sealed> impatient = Seal(sealer, 99, milliseconds(1));
  EXPECT_THAT(impatient.get(), StatusIs(absl::StatusCode::kDeadlineExceeded));
  swtpm_.Start();
  for (int i = 1; i <= 20; ++i) {
    ExpectVerifies(sealer, waiting[static_cast<size_t>(i - 1)].get(), i);
  }
}

TEST_F(SealerOnSwtpm, TpmThatComesLateIsFound) {
  swtpm_.Kill();
  tpm::EsysHostTpm tpm(Options());
  Sealer sealer(tpm, clock_, 4096, nullptr);
  EXPECT_THAT(sealer.Identity(), StatusIs(absl::StatusCode::kUnavailable));
  std::future<Sealed> sealed = Seal(sealer, 1);
  swtpm_.Start();
  ExpectVerifies(sealer, sealed.get(), 1);
}

TEST_F(SealerOnSwtpm, AnotherTpmAnswersAtOnceThatTheHostMustBeEnrolledAgain) {
  tpm::EsysHostTpm tpm(Options());
  Sealer sealer(tpm, clock_, 4096, nullptr);
  ASSERT_THAT(Seal(sealer, 0).get(), IsOk());
  swtpm_.ReplaceWithFreshOne();
  EXPECT_THAT(Seal(sealer, 1).get(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::HasSubstr("enrolled again")));
}

}  // namespace
}  // namespace vmattest::sealing
