#include "disk/pe_image.h"

#include <fmt/format.h>

#include "crypto/digest.h"
#include "fakes/memory_block_source.h"
#include "support/matchers.h"
#include "support/vectors.h"
#include "unit/disk/disk_images.h"
#include "unit/disk/pe_builder.h"

namespace vmattest::disk {
namespace {

using ::testing::HasSubstr;
using vmattest::testing::DiskImages;
using vmattest::testing::IsOk;
using vmattest::testing::MakePe;
using vmattest::testing::MemoryBlockSource;
using vmattest::testing::PeOptions;
using vmattest::testing::StatusIs;

absl::StatusOr<DigestBytes> DigestOf(std::string_view content) {
  MemoryBlockSource file{content};
  return AuthenticodeDigest(file, HashAlgorithm::kSha256);
}

class SigningTest : public ::testing::TestWithParam<bool> {};

// What sbsign signs is DigestInfo { sha256, digest } inside the PKCS #7 blob.
TEST_P(SigningTest, DigestIsTheOneThatSbsignSigns) {
  DiskImages images;
  const std::string key = images.Path("key");
  const std::string certificate = images.Path("certificate");
  DiskImages::Run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                   "-subj", "/CN=test", "-keyout", key, "-out", certificate,
                   "-days", "2"});
  const std::string plain = images.MakeEmpty("plain", 0);
  const std::string content =
      MakePe({.plus = GetParam(), .sections = {"code", "data and more"}});
  DiskImages::WriteAt(plain, 0, content);
  const std::string image = images.Path("signed");
  DiskImages::Run({"sbsign", "--key", key, "--cert", certificate, "--output",
                   image, plain});
  DiskImages::Run({"sbverify", "--cert", certificate, image});
  const std::string signed_content = vmattest::testing::Slurp(image);
  ASSERT_OK_AND_ASSIGN(const DigestBytes unsigned_digest, DigestOf(content));
  ASSERT_OK_AND_ASSIGN(const DigestBytes digest, DigestOf(signed_content));
  EXPECT_EQ(digest, unsigned_digest);
  Bytes digest_info = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                       0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                       0x01, 0x05, 0x00, 0x04, 0x20};
  digest_info.insert(digest_info.end(), digest.begin(), digest.end());
  EXPECT_NE(signed_content.find(AsText(digest_info)), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Pe, SigningTest, ::testing::Bool());

TEST(AuthenticodeDigest, LeavesOutTheChecksumAlone) {
  const std::string content = MakePe({.sections = {"code"}});
  ASSERT_OK_AND_ASSIGN(const DigestBytes digest, DigestOf(content));
  std::string other = content;
  other[0x40 + 24 + 64] ^= 1;
  EXPECT_EQ(*DigestOf(other), digest);
  other = content;
  other[0x40 + 24 + 68] ^= 1;  // subsystem
  EXPECT_NE(*DigestOf(other), digest);
  other = content;
  other.back() ^= 1;
  EXPECT_NE(*DigestOf(other), digest);
}

TEST(AuthenticodeDigest, CoversWhatFollowsTheSections) {
  const std::string content = MakePe({.sections = {"code"}});
  EXPECT_NE(*DigestOf(content), *DigestOf(content + "appended"));
}

TEST(AuthenticodeDigest, TakesSectionsByTheirPlaceInTheFile) {
  EXPECT_EQ(*DigestOf(MakePe({.sections = {"one", "two"}, .reversed = false})),
            Hash(HashAlgorithm::kSha256,
                 AsBytes(vmattest::testing::HashedPart(MakePe(
                     {.sections = {"one", "two"}, .reversed = false})))));
  const std::string reversed =
      MakePe({.sections = {"one", "two"}, .reversed = true});
  EXPECT_EQ(*DigestOf(reversed),
            Hash(HashAlgorithm::kSha256,
                 AsBytes(vmattest::testing::HashedPart(reversed))));
}

TEST(AuthenticodeDigest, WorksWithoutAPlaceForSignatures) {
  const std::string content = MakePe({.sections = {"code"}, .directories = 4});
  ASSERT_THAT(DigestOf(content), IsOk());
}

void Put(std::string& content, size_t at, uint32_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    content[at + i] = static_cast<char>(value >> (8 * i));
  }
}

TEST(AuthenticodeDigest, RefusesHeadersThatContradictThemselves) {
  const std::string good = MakePe({.sections = {"one", "two"}});
  constexpr size_t kCoff = 0x40;
  constexpr size_t kOptional = kCoff + 24;
  constexpr size_t kSections = kOptional + 240;
  struct Case {
    size_t at;
    uint32_t value;
    size_t size;
    const char* message;
  };
  for (const Case& wrong : {
           Case{kCoff + 6, 0xFFFF, 2, "65535 sections"},
           Case{kCoff + 6, 90, 2, "sections past the end"},
           Case{kCoff + 20, 10, 2, "optional header"},
           Case{kCoff + 20, 0xFFFF, 2, "optional header"},
           Case{kCoff + 20, 112, 2, "past the optional header"},
           Case{kOptional, 0x107, 2, "neither PE32 nor PE32+"},
           Case{kOptional + 60, 8, 4, "size of the headers"},
           Case{kOptional + 60, 0x7FFFFFFF, 4, "size of the headers"},
           Case{kOptional + 112 + 32 + 4, 16, 4, "not at the end"},
           Case{kOptional + 112 + 32 + 4, 0xFFFFFFFF, 4, "not at the end"},
           Case{kSections + 16, 0xFFFFFFFF, 4, "a section past the end"},
           Case{kSections + 40 + 20, 0x400, 4, "overlap"},
       }) {
    std::string content = good;
    Put(content, wrong.at, wrong.value, wrong.size);
    EXPECT_THAT(DigestOf(content), StatusIs(absl::StatusCode::kInvalidArgument,
                                            HasSubstr(wrong.message)))
        << wrong.message;
  }
  for (size_t size = 0; size < good.size(); size += 7) {
    EXPECT_FALSE(DigestOf(std::string_view(good).substr(0, size)).ok());
  }
}

TEST(IsPeImage, TellsByTheTwoSignatures) {
  const auto is_pe = [](std::string_view content) {
    MemoryBlockSource file{content};
    return *IsPeImage(file);
  };
  EXPECT_TRUE(is_pe(MakePe({.sections = {"code"}})));
  EXPECT_FALSE(is_pe(""));
  EXPECT_FALSE(is_pe("MZ"));
  EXPECT_FALSE(is_pe("MZ" + std::string(200, '\xff')));
  EXPECT_FALSE(is_pe("#!/bin/sh" + std::string(200, ' ')));
}

}  // namespace
}  // namespace vmattest::disk
