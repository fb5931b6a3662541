#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "crypto/handles.h"
#include "crypto/pq_provider.h"
#include "support/matchers.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::StatusIs;

// A copy of the module and its configuration, free to be spoilt.
class PqProviderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* found = getenv("VMATTEST_PQ_MODULE");
    if (found == nullptr || !fs::exists(found)) {
      GTEST_SKIP() << "no module: tests/support/pq-module fetches one where "
                      "OpenSSL has no ML-DSA";
    }
    fs::copy_file(found, module_);
    configuration_ =
        testing::Slurp(fs::path(found).parent_path() / "fipsmodule.cnf");
    dir_.Write("fipsmodule.cnf", configuration_);
  }

  [[nodiscard]] absl::Status Load() const {
    return PqProvider::Load(module_).status();
  }

  testing::TempDir dir_;
  fs::path module_ = dir_.path() / "fips.so";
  std::string configuration_;
};

bool Offers(OSSL_LIB_CTX* context, const char* algorithm,
            const char* properties) {
  const EvpPkeyCtxHandle found(
      EVP_PKEY_CTX_new_from_name(context, algorithm, properties));
  return found != nullptr;
}

TEST_F(PqProviderTest, OffersMlDsaAndNothingElse) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PqProvider> provider,
                       PqProvider::Load(module_));
  for (const char* offered : {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}) {
    EXPECT_TRUE(Offers(provider->context(), offered, PqProvider::kProperties))
        << offered;
  }
  for (const char* other : {"SLH-DSA-SHA2-128s", "ML-KEM-768", "RSA", "EC"}) {
    EXPECT_FALSE(Offers(provider->context(), other, PqProvider::kProperties))
        << other;
  }
}

TEST_F(PqProviderTest, LeavesTheDefaultContextAlone) {
  const bool before = Offers(nullptr, "ML-DSA-65", nullptr);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<PqProvider> provider,
                       PqProvider::Load(module_));
  EXPECT_EQ(Offers(nullptr, "ML-DSA-65", nullptr), before);
  EXPECT_FALSE(Offers(nullptr, "ML-DSA-65", PqProvider::kProperties));
}

TEST_F(PqProviderTest, LoadsAgainAfterItWasUnloaded) {
  for (int round = 0; round < 2; ++round) {
    EXPECT_THAT(Load(), IsOk());
  }
}

TEST_F(PqProviderTest, RefusesAModuleThatOthersMayWrite) {
  for (const mode_t mode : {0664u, 0646u}) {
    ASSERT_EQ(chmod(module_.c_str(), mode), 0);
    EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 HasSubstr("fips.so is writable")));
  }
}

TEST_F(PqProviderTest, RefusesAConfigurationThatOthersMayWrite) {
  ASSERT_EQ(chmod((dir_.path() / "fipsmodule.cnf").c_str(), 0666), 0);
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("fipsmodule.cnf is writable")));
}

TEST_F(PqProviderTest, RefusesAFolderThatOthersMayWrite) {
  ASSERT_EQ(chmod(dir_.path().c_str(), 0777), 0);
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("is writable")));
}

TEST_F(PqProviderTest, RefusesAModuleOfAnotherUser) {
  constexpr uid_t kNobody = 65534;
  if (chown(module_.c_str(), kNobody, kNobody) != 0) {
    GTEST_SKIP() << "only root can give a file away";
  }
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("belongs to user 65534")));
}

// A link does not hide what it leads to.
TEST_F(PqProviderTest, ChecksWhereALinkLeads) {
  const fs::path link = dir_.path() / "link.so";
  fs::create_symlink(module_, link);
  EXPECT_THAT(PqProvider::Load(link).status(), IsOk());
  ASSERT_EQ(chmod(module_.c_str(), 0666), 0);
  EXPECT_THAT(PqProvider::Load(link),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(PqProviderTest, RefusesAnotherMac) {
  const size_t at = configuration_.find("module-mac = ") + 13;
  configuration_[at] = configuration_[at] == 'A' ? 'B' : 'A';
  dir_.Write("fipsmodule.cnf", configuration_);
  EXPECT_THAT(Load(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("self-tests")));
}

TEST_F(PqProviderTest, RefusesAModuleThatWasAltered) {
  fs::resize_file(module_, fs::file_size(module_) + 1);
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(PqProviderTest, RefusesAConfigurationWithoutAMac) {
  for (const char* text : {"", "\n", "=", "module-mac\n", "module-mac =\n",
                           "# module-mac = 00\n", "other-module-mac = 00\n"}) {
    dir_.Write("fipsmodule.cnf", text);
    EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 HasSubstr("fipsinstall")))
        << text;
  }
}

TEST_F(PqProviderTest, SaysWhatIsMissing) {
  fs::remove(dir_.path() / "fipsmodule.cnf");
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kNotFound,
                               HasSubstr("fipsmodule.cnf")));
  fs::remove(module_);
  EXPECT_THAT(Load(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("fips.so")));
}

TEST_F(PqProviderTest, RefusesWhatIsNoProvider) {
  dir_.Write("fips.so", "not a library");
  EXPECT_THAT(Load(), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace vmattest
