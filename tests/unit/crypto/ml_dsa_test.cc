#include "crypto/ml_dsa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include <thread>
#include <vector>

#include "crypto/digest.h"
#include "support/matchers.h"

namespace vmattest {
namespace {

using ::testing::ExitedWithCode;
using testing::StatusIs;

constexpr std::string_view kContext = "vmattest/test/v1";
constexpr unsigned long kFirstWithMlDsa = 0x30500000;

SecretBytes Seed(uint8_t first) {
  Bytes seed(kMlDsaSeedSize, 0x11);
  seed[0] = first;
  return SecretBytes(std::move(seed));
}

class MlDsaTest : public ::testing::TestWithParam<MlDsaLevel> {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(MlDsaKey key, MlDsaKey::FromSeed(GetParam(), Seed(1)));
    key_.emplace(std::move(key));
    ASSERT_OK_AND_ASSIGN(MlDsaPublicKey public_key,
                         MlDsaPublicKey::Parse(GetParam(), key_->public_key()));
    public_key_.emplace(std::move(public_key));
    ASSERT_OK_AND_ASSIGN(signature_, key_->Sign(message_, kContext));
  }

  [[nodiscard]] bool Verify() const {
    return public_key_->Verify(message_, kContext, signature_);
  }

  std::optional<MlDsaKey> key_;
  std::optional<MlDsaPublicKey> public_key_;
  Bytes message_ = ToBytes("message");
  Bytes signature_;
};
INSTANTIATE_TEST_SUITE_P(Levels, MlDsaTest,
                         ::testing::ValuesIn(kAllMlDsaLevels),
                         [](const auto& level) {
                           return std::string(
                               level.param == MlDsaLevel::k65 ? "65" : "87");
                         });

TEST_P(MlDsaTest, AcceptsItsOwnSignature) {
  EXPECT_TRUE(Verify());
  EXPECT_EQ(signature_.size(), MlDsaSignatureSize(GetParam()));
  EXPECT_EQ(key_->public_key().size(), MlDsaPublicKeySize(GetParam()));
}

TEST_P(MlDsaTest, SignsAnEmptyMessageUnderAnEmptyContext) {
  ASSERT_OK_AND_ASSIGN(const Bytes signature, key_->Sign({}, ""));
  EXPECT_TRUE(public_key_->Verify({}, "", signature));
  EXPECT_TRUE(public_key_->Verify({}, std::string_view(), signature));
  EXPECT_FALSE(public_key_->Verify({}, kContext, signature));
}

TEST_P(MlDsaTest, RejectsAnotherMessage) {
  message_.push_back(0);
  EXPECT_FALSE(Verify());
}

TEST_P(MlDsaTest, RejectsAnotherContext) {
  EXPECT_FALSE(public_key_->Verify(message_, "vmattest/test/v2", signature_));
  EXPECT_FALSE(public_key_->Verify(message_, "", signature_));
}

TEST_P(MlDsaTest, ContextAndMessageDoNotRunIntoEachOther) {
  Bytes joined = ToBytes(kContext.substr(kContext.size() - 1));
  joined.insert(joined.end(), message_.begin(), message_.end());
  EXPECT_FALSE(public_key_->Verify(
      joined, kContext.substr(0, kContext.size() - 1), signature_));
}

TEST_P(MlDsaTest, RejectsFlippedBitsEverywhere) {
  for (size_t bit = 0; bit < signature_.size() * 8; bit += 61) {
    const auto mask = static_cast<uint8_t>(1u << (bit % 8));
    signature_[bit / 8] ^= mask;
    EXPECT_FALSE(Verify()) << bit;
    signature_[bit / 8] ^= mask;
  }
  EXPECT_TRUE(Verify());
}

TEST_P(MlDsaTest, RejectsSignaturesOfAnotherSize) {
  for (const size_t size :
       {size_t{0}, size_t{1}, signature_.size() - 1, signature_.size() + 1,
        MlDsaSignatureSize(GetParam() == MlDsaLevel::k65 ? MlDsaLevel::k87
                                                         : MlDsaLevel::k65),
        size_t{1} << 20}) {
    Bytes other = signature_;
    other.resize(size);
    EXPECT_FALSE(public_key_->Verify(message_, kContext, other)) << size;
  }
}

TEST_P(MlDsaTest, RejectsAnotherKeysSignature) {
  ASSERT_OK_AND_ASSIGN(const MlDsaKey other,
                       MlDsaKey::FromSeed(GetParam(), Seed(2)));
  ASSERT_OK_AND_ASSIGN(signature_, other.Sign(message_, kContext));
  EXPECT_FALSE(Verify());
}

TEST_P(MlDsaTest, TakesContextsOfUpTo255Bytes) {
  const std::string longest(kMaxMlDsaContextSize, 'c');
  ASSERT_OK_AND_ASSIGN(const Bytes signature, key_->Sign(message_, longest));
  EXPECT_TRUE(public_key_->Verify(message_, longest, signature));
  EXPECT_THAT(key_->Sign(message_, longest + "c"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(public_key_->Verify(message_, longest + "c", signature));
}

TEST_P(MlDsaTest, HedgesUnlessAskedNotTo) {
  ASSERT_OK_AND_ASSIGN(const Bytes again, key_->Sign(message_, kContext));
  EXPECT_NE(again, signature_);
  constexpr auto kDeterministic = MlDsaKey::Signing::kDeterministic;
  ASSERT_OK_AND_ASSIGN(const Bytes first,
                       key_->Sign(message_, kContext, kDeterministic));
  ASSERT_OK_AND_ASSIGN(const Bytes second,
                       key_->Sign(message_, kContext, kDeterministic));
  EXPECT_EQ(first, second);
}

TEST_P(MlDsaTest, TheSeedIsTheKey) {
  ASSERT_OK_AND_ASSIGN(const MlDsaKey same,
                       MlDsaKey::FromSeed(GetParam(), Seed(1)));
  EXPECT_EQ(same.public_key(), key_->public_key());
  ASSERT_OK_AND_ASSIGN(const MlDsaKey other,
                       MlDsaKey::FromSeed(GetParam(), Seed(2)));
  EXPECT_NE(other.public_key(), key_->public_key());
}

TEST_P(MlDsaTest, IsNamedByTheDigestOfThePublicKey) {
  EXPECT_EQ(key_->key_id(), Hash(HashAlgorithm::kSha256, key_->public_key()));
  EXPECT_EQ(key_->key_id(), MlDsaKeyId(key_->public_key()));
}

TEST_P(MlDsaTest, RefusesKeysAndSeedsOfAnotherSize) {
  for (const int difference : {-1, 1}) {
    Bytes key = key_->public_key();
    key.resize(key.size() + static_cast<size_t>(difference));
    EXPECT_THAT(MlDsaPublicKey::Parse(GetParam(), key),
                StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(
        MlDsaKey::FromSeed(
            GetParam(), SecretBytes(Bytes(static_cast<size_t>(
                            static_cast<int>(kMlDsaSeedSize) + difference)))),
        StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(MlDsaPublicKey::Parse(GetParam(), {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(MlDsaTest, LeavesNothingInTheErrorQueue) {
  signature_[0] ^= 1;
  EXPECT_FALSE(Verify());
  EXPECT_EQ(ERR_peek_error(), 0u);
}

TEST_P(MlDsaTest, EightThreadsShareOneKey) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 5;
  std::vector<int> good(kThreads, 0);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, i, &good] {
      for (int round = 0; round < kRounds; ++round) {
        const Bytes message = ToBytes(std::to_string(i * kRounds + round));
        const absl::StatusOr<Bytes> signature = key_->Sign(message, kContext);
        const absl::StatusOr<MlDsaPublicKey> parsed =
            MlDsaPublicKey::Parse(GetParam(), key_->public_key());
        good[static_cast<size_t>(i)] +=
            signature.ok() && parsed.ok() &&
                    public_key_->Verify(message, kContext, *signature) &&
                    parsed->Verify(message, kContext, *signature) &&
                    !parsed->Verify(message_, kContext, *signature)
                ? 1
                : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(good, ::testing::Each(kRounds));
}

TEST(MlDsaSeed, IsNewEveryTime) {
  const SecretBytes one = GenerateMlDsaSeed();
  const SecretBytes other = GenerateMlDsaSeed();
  EXPECT_EQ(one.size(), kMlDsaSeedSize);
  EXPECT_NE(ToBytes(one.Reveal(SecretAccess())),
            ToBytes(other.Reveal(SecretAccess())));
}

TEST(MlDsaLevelName, IsReadAsItIsWritten) {
  for (const MlDsaLevel level : kAllMlDsaLevels) {
    EXPECT_EQ(ParseMlDsaLevel(ToString(level)), level);
  }
  for (const std::string_view name :
       {"", "ml-dsa-44", "ML-DSA-65", "ml-dsa-65 ", "unknown"}) {
    EXPECT_EQ(ParseMlDsaLevel(name), std::nullopt) << name;
  }
}

TEST(MlDsaProviderTest, OpensOnceHoweverManyAsk) {
  constexpr size_t kThreads = 8;
  std::vector<const MlDsaProvider*> opened(kThreads, nullptr);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([i, &opened] {
      const absl::StatusOr<const MlDsaProvider*> provider =
          MlDsaProvider::Open();
      opened[i] = provider.ok() ? *provider : nullptr;
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  ASSERT_NE(opened[0], nullptr);
  EXPECT_THAT(opened, ::testing::Each(opened[0]));
  EXPECT_FALSE(opened[0]->description().empty());
  ASSERT_OK_AND_ASSIGN(const MlDsaProvider* later,
                       MlDsaProvider::Open("/nowhere/fips.so"));
  EXPECT_EQ(later, opened[0]);
}

TEST(MlDsaProviderTest, PrefersTheLibrarysOwn) {
  ASSERT_OK_AND_ASSIGN(const MlDsaProvider* provider, MlDsaProvider::Open());
  EXPECT_EQ(provider->source() == MlDsaProvider::Source::kNative,
            OpenSSL_version_num() >= kFirstWithMlDsa);
}

// The child process has opened nothing yet.
TEST(MlDsaProviderDeathTest, SaysWhatToInstall) {
  if (OpenSSL_version_num() >= kFirstWithMlDsa) {
    GTEST_SKIP() << "this OpenSSL has ML-DSA itself";
  }
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const auto named = MlDsaProvider::Open("/nowhere/fips.so");
        const auto key = MlDsaProvider::Open("/dev/null");
        fprintf(stderr, "%s %s", named.status().ToString().c_str(),
                key.status().ToString().c_str());
        _exit(absl::IsUnavailable(named.status()) &&
                      absl::IsUnavailable(key.status())
                  ? 0
                  : 1);
      },
      ExitedWithCode(0), "/nowhere/fips.so.*install OpenSSL 3.5");
}

TEST(MlDsaProviderDeathTest, AFailureIsNotRemembered) {
  if (OpenSSL_version_num() >= kFirstWithMlDsa) {
    GTEST_SKIP() << "this OpenSSL has ML-DSA itself";
  }
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const bool failed = !MlDsaProvider::Open("/nowhere/fips.so").ok();
        _exit(failed && MlDsaProvider::Open().ok() ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

}  // namespace
}  // namespace vmattest
