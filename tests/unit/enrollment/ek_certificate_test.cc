#include "enrollment/ek_certificate.h"

#include <filesystem>
#include <fstream>

#include "enrollment/reason_codes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/ek_pki.h"
#include "support/matchers.h"
#include "support/soft_tpm.h"
#include "support/temp_dir.h"
#include "support/vectors.h"

namespace vmattest::enrollment {
namespace {

using testing::EkCertificateOptions;
using testing::EkPki;
using testing::EkPublicOf;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::Slurp;
using testing::SoftKey;
using testing::StatusIs;

// 2030-01-01: after which ST's EK certificate has expired.
constexpr int64_t k2030 = 1'893'456'000;
WallTime At(int64_t unix_seconds) {
  return WallTime(std::chrono::seconds(unix_seconds));
}

std::string CodeOf(const Verdict& verdict) {
  return verdict.trusted() ? "trusted" : verdict.reasons.at(0).code;
}

Bytes Padded(Bytes der, size_t size, uint8_t with) {
  der.resize(der.size() + size, with);
  return der;
}

class EkCertificate : public ::testing::Test {
 protected:
  EkCertificate() {
    EXPECT_THAT(roots_.Add(pki_.root()), IsOk());
    EXPECT_THAT(roots_.Add(pki_.intermediate()), IsOk());
  }
  std::string Check(ByteView certificate) const {
    return CodeOf(
        CheckEkCertificate(certificate, ek_.public_area(), roots_, At(k2030)));
  }
  std::string CheckIssued(const EkCertificateOptions& options) const {
    return Check(pki_.Issue(ek_.public_area(), options));
  }

  const SoftKey ek_{testing::kEkAttributes};
  EkPki pki_;
  EkRoots roots_;
};

TEST_F(EkCertificate, OfAConfiguredManufacturerIsTrusted) {
  EXPECT_EQ(CheckIssued({}), "trusted");
}

TEST_F(EkCertificate, MayHaveThePaddingOfAnNvIndex) {
  const Bytes der = pki_.Issue(ek_.public_area());
  EXPECT_EQ(Check(Padded(der, 700, 0xFF)), "trusted");
  EXPECT_EQ(Check(Padded(der, 1, 0x00)), "trusted");
  EXPECT_EQ(Check(Padded(der, 3, 0x30)), reason::kCertificateMalformed);
  Bytes hidden = Padded(der, 700, 0x00);
  hidden.back() = 1;
  EXPECT_EQ(Check(hidden), reason::kCertificateMalformed);
  EXPECT_EQ(Check(Padded(der, 9000, 0xFF)), reason::kCertificateMalformed);
}

TEST_F(EkCertificate, NoneAndNoiseAreNamed) {
  EXPECT_EQ(Check({}), reason::kCertificateMissing);
  EXPECT_EQ(Check(Bytes(100, 0xFF)), reason::kCertificateMalformed);
  Bytes cut = pki_.Issue(ek_.public_area());
  cut.pop_back();
  EXPECT_EQ(Check(cut), reason::kCertificateMalformed);
}

TEST_F(EkCertificate, OfAnotherKeyIsRefused) {
  EXPECT_EQ(Check(pki_.Issue(SoftKey(testing::kEkAttributes).public_area())),
            reason::kCertificateKey);
}

TEST_F(EkCertificate, OfAnUnknownManufacturerIsRefused) {
  EXPECT_EQ(Check(EkPki().Issue(ek_.public_area())), reason::kCertificateChain);
  const Bytes der = pki_.Issue(ek_.public_area());
  const Verdict verdict =
      CheckEkCertificate(der, ek_.public_area(), EkRoots(), At(k2030));
  EXPECT_EQ(CodeOf(verdict), reason::kCertificateChain);
  EXPECT_THAT(verdict.reasons.at(0).found, HasSubstr("issuer certificate"));
}

TEST_F(EkCertificate, AuthorityThatIsConfiguredEndsAChain) {
  EkRoots only;
  ASSERT_THAT(only.Add(pki_.intermediate()), IsOk());
  const Bytes der = pki_.Issue(ek_.public_area());
  EXPECT_EQ(CodeOf(CheckEkCertificate(der, ek_.public_area(), only, At(k2030))),
            "trusted");
}

TEST_F(EkCertificate, WhoseSignatureIsForgedIsRefused) {
  Bytes der = pki_.Issue(ek_.public_area());
  der.back() ^= 1;
  EXPECT_EQ(Check(der), reason::kCertificateChain);
}

TEST_F(EkCertificate, ThatExpiredIsTrustedAndOneOfTomorrowIsNot) {
  EXPECT_EQ(CheckIssued({.not_after = "20210101000000Z"}), "trusted");
  EXPECT_EQ(CheckIssued({.not_before = "20310101000000Z"}),
            reason::kCertificateNotYet);
}

TEST_F(EkCertificate, MustBeAnEndorsementKeys) {
  const auto with = [&](const std::string& usage, const std::string& extended) {
    return CheckIssued({.key_usage = usage, .extended_key_usage = extended});
  };
  EXPECT_EQ(with("critical,keyAgreement", ""), "trusted");
  EXPECT_EQ(with("", "2.23.133.8.1"), "trusted");
  EXPECT_EQ(with("keyEncipherment", "2.23.133.8.1"), "trusted");
  EXPECT_EQ(with("", ""), reason::kCertificateUsage);
  EXPECT_EQ(with("digitalSignature", ""), reason::kCertificateUsage);
  EXPECT_EQ(with("digitalSignature", "2.23.133.8.1"),
            reason::kCertificateUsage);
  EXPECT_EQ(with("keyAgreement", "2.23.133.8.3"), reason::kCertificateUsage);
  EXPECT_EQ(with("keyAgreement", "serverAuth"), reason::kCertificateUsage);
  EXPECT_EQ(CheckIssued({.basic_constraints = "critical,CA:TRUE"}),
            reason::kCertificateUsage);
}

TEST_F(EkCertificate, CriticalExtensionsOfTheProfileAreKnown) {
  EXPECT_EQ(CheckIssued(
                {.more = {{"subjectAltName", "critical,email:tpm@example.org"},
                          {"2.5.29.9", "critical,DER:3000"}}}),
            "trusted");
  EXPECT_EQ(CheckIssued({.more = {{"1.2.3.4", "critical,DER:0500"}}}),
            reason::kCertificateChain);
}

TEST_F(EkCertificate, Sha1OfOldManufacturersIsTaken) {
  EXPECT_EQ(CheckIssued({.digest = "SHA1"}), "trusted");
}

TEST(EkCertificateByRsa, Md5IsRefused) {
  const EkPki pki(EkPki::Kind::kRsa);
  EkRoots roots;
  ASSERT_THAT(roots.Add(pki.root()), IsOk());
  ASSERT_THAT(roots.Add(pki.intermediate()), IsOk());
  const SoftKey ek(testing::kEkAttributes);
  const auto check = [&](const std::string& digest) {
    return CodeOf(
        CheckEkCertificate(pki.Issue(ek.public_area(), {.digest = digest}),
                           ek.public_area(), roots, At(k2030)));
  };
  EXPECT_EQ(check("SHA256"), "trusted");
  EXPECT_EQ(check("SHA1"), "trusted");
  EXPECT_EQ(check("MD5"), reason::kCertificateChain);
}

TEST(EkCertificateByRsa, KeyThatSaysOaepIsTheSameKey) {
  const EkPki pki;
  EkRoots roots;
  ASSERT_THAT(roots.Add(pki.root()), IsOk());
  ASSERT_THAT(roots.Add(pki.intermediate()), IsOk());
  const Bytes ek = testing::RsaEk();
  const Bytes der = pki.Issue(
      ek, {.key_usage = "critical,keyEncipherment", .oaep_algorithm = true});
  const Verdict verdict = CheckEkCertificate(der, ek, roots, At(k2030));
  EXPECT_EQ(CodeOf(verdict), "trusted");
  EXPECT_EQ(CodeOf(CheckEkCertificate(der, ek, EkRoots(), At(k2030))),
            reason::kCertificateChain);
  Bytes forged = der;
  forged.back() ^= 1;
  EXPECT_EQ(CodeOf(CheckEkCertificate(forged, ek, roots, At(k2030))),
            reason::kCertificateChain);
  EXPECT_EQ(CodeOf(CheckEkCertificate(der, ek, roots, At(1))),
            reason::kCertificateNotYet);
  Bytes other = ek;
  other[other.size() - 2] ^= 1;
  EXPECT_EQ(CodeOf(CheckEkCertificate(der, other, roots, At(k2030))),
            reason::kCertificateKey);
}

TEST_F(EkCertificate, NegativeAndHugeSerialsAreTaken) {
  EXPECT_EQ(CheckIssued({.serial = "-1234567890123456789"}), "trusted");
  EXPECT_EQ(CheckIssued({.serial = std::string(48, '9')}), "trusted");
}

TEST_F(EkCertificate, ChainOfSeveralAuthoritiesIsFollowed) {
  for (const Bytes& authority : pki_.Deepen(10)) {
    ASSERT_THAT(roots_.Add(authority), IsOk());
  }
  EXPECT_EQ(CheckIssued({}), "trusted");
}

class EkVectors : public ::testing::Test {
 protected:
  // Roots of the vectors' folder, and the verdict over a file of it.
  static void Check(const std::filesystem::path& vectors,
                    const std::string& roots, const std::string& file,
                    const std::string& expected, int64_t at = k2030) {
    ASSERT_OK_AND_ASSIGN(const EkRoots loaded,
                         EkRoots::LoadFolder((vectors / roots).string()));
    const std::string text = Slurp(vectors / "leaf" / file);
    const Bytes der = testing::CertificateDer(AsBytes(text));
    const Bytes ek = EkPublicOf(AsBytes(text));
    const Verdict verdict = CheckEkCertificate(der, ek, loaded, At(at));
    EXPECT_EQ(CodeOf(verdict), expected)
        << file << ": "
        << (verdict.trusted() ? "" : verdict.reasons.front().found);
    if (expected == "trusted") {
      EXPECT_EQ(CodeOf(CheckEkCertificate(Padded(der, 500, 0xFF), ek, loaded,
                                          At(at))),
                expected);
    }
  }
};

TEST_F(EkVectors, ManufacturersCertificatesAreWhatTheyAre) {
  VMATTEST_REQUIRE_VECTORS(vectors, "tpm-certs");
  Check(vectors, "vendor-ca", "st-ecc-ek.der", "trusted");
  Check(vectors, "gce-ca", "gce-pca_tpm_ecc_enc_cert.pem", "trusted");
  Check(vectors, "gce-ca", "gce-pca_tpm_rsa_enc_cert.pem", "trusted");
  const std::string usage(reason::kCertificateUsage);
  Check(vectors, "gce-ca", "gce-pca_tpm_ecc_sign_cert.pem", usage);
  Check(vectors, "gce-ca", "gce-pca_tpm_rsa_sign_cert.pem", usage);
}

TEST_F(EkVectors, OthersRootsTrustNone) {
  VMATTEST_REQUIRE_VECTORS(vectors, "tpm-certs");
  const std::string chain(reason::kCertificateChain);
  Check(vectors, "gce-ca", "st-ecc-ek.der", chain);
  Check(vectors, "vendor-ca", "gce-pca_tpm_ecc_enc_cert.pem", chain);
  Check(vectors, "vendor-ca", "gce-pca_tpm_rsa_sign_cert.pem", chain);
}

TEST_F(EkVectors, BeforeItsTimeACertificateIsNot) {
  VMATTEST_REQUIRE_VECTORS(vectors, "tpm-certs");
  Check(vectors, "vendor-ca", "st-ecc-ek.der",
        std::string(reason::kCertificateNotYet), 1'500'000'000);
}

TEST_F(EkVectors, PlatformCertificateIsNoEkCertificate) {
  VMATTEST_REQUIRE_VECTORS(vectors, "tpm-certs");
  const SoftKey ek(testing::kEkAttributes);
  for (const auto& file :
       std::filesystem::directory_iterator(vectors / "platform-cert")) {
    const std::string bytes = Slurp(file.path());
    EXPECT_NE(CodeOf(CheckEkCertificate(AsBytes(bytes), ek.public_area(),
                                        EkRoots(), At(k2030))),
              "trusted")
        << file.path();
  }
}

TEST(EkRootsTest, FolderIsReadWhole) {
  const EkPki pki;
  testing::TempDir dir;
  dir.Write("a/root.DER", std::string(AsText(pki.root())));
  dir.Write("a/intermediate.cer", std::string(AsText(pki.intermediate())));
  dir.Write("a/readme.txt", "not one");
  ASSERT_OK_AND_ASSIGN(const EkRoots roots,
                       EkRoots::LoadFolder((dir.path() / "a").string()));
  const SoftKey ek(testing::kEkAttributes);
  const Bytes der = pki.Issue(ek.public_area());
  EXPECT_TRUE(
      CheckEkCertificate(der, ek.public_area(), roots, At(k2030)).trusted());
}

TEST(EkRootsTest, FileThatIsNoCertificateIsNamed) {
  testing::TempDir dir;
  dir.Write("a/broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
  EXPECT_THAT(
      EkRoots::LoadFolder((dir.path() / "a").string()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("broken.pem")));
  dir.Write("b/noise.der", "noise");
  EXPECT_THAT(
      EkRoots::LoadFolder((dir.path() / "b").string()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("noise.der")));
  EXPECT_THAT(EkRoots::LoadFolder((dir.path() / "none").string()),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(EkRootsTest, SecondHalfOfAPemFileIsNotLost) {
  VMATTEST_REQUIRE_VECTORS(vectors, "tpm-certs");
  const std::string both = Slurp(vectors / "vendor-ca/STM_ECC_01I.pem") + "\n" +
                           Slurp(vectors / "vendor-ca/STM_ECC_01RT.pem") +
                           "\n" + Slurp(vectors / "vendor-ca/GS_TPM_RT.pem") +
                           "\n";
  EkRoots roots;
  ASSERT_THAT(roots.Add(AsBytes(both)), IsOk());
  const std::string leaf = Slurp(vectors / "leaf/st-ecc-ek.der");
  EXPECT_EQ(CodeOf(CheckEkCertificate(AsBytes(leaf), EkPublicOf(AsBytes(leaf)),
                                      roots, At(k2030))),
            "trusted");
  EXPECT_THAT(roots.Add(AsBytes(both + "-----BEGIN CERTIFICATE-----\nAAAA\n")),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace vmattest::enrollment
