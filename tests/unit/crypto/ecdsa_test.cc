#include "crypto/ecdsa.h"

#include <openssl/pem.h>

#include "crypto/digest.h"
#include "crypto/handles.h"
#include "nlohmann/json.hpp"
#include "support/matchers.h"
#include "support/vectors.h"

namespace vmattest {
namespace {

using nlohmann::json;
using vmattest::testing::StatusIs;

Bytes Unhex(const std::string& hex) { return ParseHex(hex).value(); }

struct Signature {
  Bytes r;
  Bytes s;
};

Bytes ToUnsigned(const BIGNUM* number) {
  Bytes bytes(static_cast<size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, bytes.data());
  return bytes;
}

// DER and nothing but: what OpenSSL reads must encode to the same bytes.
std::optional<Signature> ParseDer(ByteView der) {
  const unsigned char* at = der.data();
  const EcdsaSigHandle parsed(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!parsed) {
    return std::nullopt;
  }
  unsigned char* again = nullptr;
  const int size = i2d_ECDSA_SIG(parsed.get(), &again);
  const bool same = size >= 0 && ToBytes(der) == Bytes(again, again + size);
  OPENSSL_free(again);
  const BIGNUM* r = ECDSA_SIG_get0_r(parsed.get());
  const BIGNUM* s = ECDSA_SIG_get0_s(parsed.get());
  if (!same || BN_is_negative(r) || BN_is_negative(s)) {
    return std::nullopt;
  }
  return Signature{ToUnsigned(r), ToUnsigned(s)};
}

// r || s, each of the curve's width.
std::optional<Signature> ParseRaw(ByteView raw, size_t width) {
  if (raw.size() != 2 * width) {
    return std::nullopt;
  }
  return Signature{ToBytes(raw.first(width)), ToBytes(raw.subspan(width))};
}

struct File {
  const char* name;
  EcCurve curve;
  HashAlgorithm hash;
  bool raw;
};

class Wycheproof : public ::testing::TestWithParam<File> {};
INSTANTIATE_TEST_SUITE_P(
    Ecdsa, Wycheproof,
    ::testing::Values(File{"ecdsa_secp256r1_sha256.json", EcCurve::kP256,
                           HashAlgorithm::kSha256, false},
                      File{"ecdsa_secp256r1_sha256_p1363.json", EcCurve::kP256,
                           HashAlgorithm::kSha256, true},
                      File{"ecdsa_secp384r1_sha384.json", EcCurve::kP384,
                           HashAlgorithm::kSha384, false},
                      File{"ecdsa_secp384r1_sha384_p1363.json", EcCurve::kP384,
                           HashAlgorithm::kSha384, true}));

TEST_P(Wycheproof, IsAnsweredAsPublished) {
  VMATTEST_REQUIRE_VECTORS(folder, "wycheproof-signatures");
  const File& file = GetParam();
  const size_t width = file.curve == EcCurve::kP256 ? 32 : 48;
  const json root = json::parse(vmattest::testing::Slurp(folder / file.name));
  size_t valid = 0;
  size_t invalid = 0;
  for (const json& group : root["testGroups"]) {
    const Bytes point = Unhex(group["publicKey"]["uncompressed"]);
    ASSERT_EQ(point.size(), 1 + 2 * width);
    const ByteView xy = ByteView(point).subspan(1);
    const EcPublicKey key{file.curve, ToBytes(xy.first(width)),
                          ToBytes(xy.subspan(width))};
    for (const json& test : group["tests"]) {
      const Bytes bytes = Unhex(test["sig"]);
      const std::optional<Signature> signature =
          file.raw ? ParseRaw(bytes, width) : ParseDer(bytes);
      const bool good =
          signature && VerifyEcdsa(key, Hash(file.hash, Unhex(test["msg"])),
                                   signature->r, signature->s);
      EXPECT_EQ(good, test["result"] == "valid")
          << test["tcId"] << " " << test["comment"];
      (good ? valid : invalid) += 1;
    }
  }
  EXPECT_GT(valid, 50u);
  EXPECT_GT(invalid, 50u);
}

// A key of this process, and a signature of it.
class EcdsaTest : public ::testing::TestWithParam<EcCurve> {
 protected:
  EcdsaTest()
      : pair_(EVP_EC_gen(GetParam() == EcCurve::kP256 ? "P-256" : "P-384")),
        digest_(Hash(HashAlgorithm::kSha256, AsBytes("message"))) {
    Bytes point(200);
    size_t size = 0;
    EVP_PKEY_get_octet_string_param(pair_.get(), "pub", point.data(),
                                    point.size(), &size);
    const ByteView xy = ByteView(point).subspan(1, size - 1);
    key_ = {GetParam(), ToBytes(xy.first(xy.size() / 2)),
            ToBytes(xy.subspan(xy.size() / 2))};
    const EvpPkeyCtxHandle context(EVP_PKEY_CTX_new(pair_.get(), nullptr));
    EVP_PKEY_sign_init(context.get());
    Bytes der(200);
    size = der.size();
    EVP_PKEY_sign(context.get(), der.data(), &size, digest_.data(),
                  digest_.size());
    signature_ = *ParseDer(ByteView(der).first(size));
  }

  [[nodiscard]] bool Verify() const {
    return VerifyEcdsa(key_, digest_, signature_.r, signature_.s);
  }
  [[nodiscard]] Bytes Order() const {
    const char* hex =
        GetParam() == EcCurve::kP256
            ? "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
            : "ffffffffffffffffffffffffffffffffffffffffffffffff"
              "c7634d81f4372ddf581a0db248b0a77aecec196accc52973";
    return Unhex(hex);
  }

  EvpPkeyHandle pair_;
  DigestBytes digest_;
  EcPublicKey key_;
  Signature signature_;
};
INSTANTIATE_TEST_SUITE_P(BothCurves, EcdsaTest,
                         ::testing::Values(EcCurve::kP256, EcCurve::kP384));

TEST_P(EcdsaTest, AcceptsAGenuineSignature) { EXPECT_TRUE(Verify()); }

TEST_P(EcdsaTest, RejectsEveryFlippedBitOfTheDigest) {
  for (size_t bit = 0; bit < digest_.size() * 8; bit += 7) {
    digest_[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
    EXPECT_FALSE(Verify()) << bit;
    digest_[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
  }
}

TEST_P(EcdsaTest, RejectsZeroAndTheOrderAsROrS) {
  const Signature genuine = signature_;
  for (const Bytes& bad : {Bytes{}, Bytes{0}, Bytes(Order().size(), 0), Order(),
                           Bytes(Order().size(), 0xff)}) {
    signature_ = {bad, genuine.s};
    EXPECT_FALSE(Verify()) << ToHex(bad);
    signature_ = {genuine.r, bad};
    EXPECT_FALSE(Verify()) << ToHex(bad);
  }
}

TEST_P(EcdsaTest, RejectsNumbersWiderThanTheCurve) {
  signature_.r.insert(signature_.r.begin(), 60, 0);
  EXPECT_FALSE(Verify());
}

TEST_P(EcdsaTest, RejectsAPointOffTheCurve) {
  key_.y.back() ^= 1;
  EXPECT_FALSE(Verify());
  EXPECT_THAT(ToPem(key_), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(EcdsaTest, AKeyOnceImportedVerifiesLikeTheKey) {
  ASSERT_OK_AND_ASSIGN(const EcVerifier verifier, EcVerifier::Import(key_));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(verifier.Verify(digest_, signature_.r, signature_.s));
    EXPECT_FALSE(verifier.Verify(digest_, signature_.s, signature_.r));
  }
  key_.y.back() ^= 1;
  EXPECT_THAT(EcVerifier::Import(key_),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_P(EcdsaTest, RejectsCoordinatesOutOfRange) {
  for (const Bytes& bad :
       {Bytes{}, Bytes(key_.x.size(), 0xff), Bytes(key_.x.size() + 1, 0)}) {
    EcPublicKey key = key_;
    key.x = bad;
    EXPECT_FALSE(VerifyEcdsa(key, digest_, signature_.r, signature_.s));
    EXPECT_THAT(ToPem(key), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_P(EcdsaTest, RejectsAnEmptyDigest) {
  digest_.clear();
  EXPECT_FALSE(Verify());
}

TEST_P(EcdsaTest, RejectsTheOtherCurve) {
  key_.curve = GetParam() == EcCurve::kP256 ? EcCurve::kP384 : EcCurve::kP256;
  EXPECT_FALSE(Verify());
}

TEST_P(EcdsaTest, WritesPemThatOpenSslReadsBack) {
  ASSERT_OK_AND_ASSIGN(const std::string pem, ToPem(key_));
  const BioHandle in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  const EvpPkeyHandle read(
      PEM_read_bio_PUBKEY(in.get(), nullptr, nullptr, nullptr));
  ASSERT_TRUE(read);
  EXPECT_EQ(EVP_PKEY_eq(read.get(), pair_.get()), 1);
}

// A TPM may leave leading zeros out. This point of P-256 has x = 0.
TEST(EcdsaKey, MayComeWithoutLeadingZeros) {
  const Bytes y =
      Unhex("66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4");
  const EcPublicKey shortened{EcCurve::kP256, {0}, y};
  const EcPublicKey full{EcCurve::kP256, Bytes(32, 0), y};
  ASSERT_OK_AND_ASSIGN(const std::string pem, ToPem(shortened));
  EXPECT_EQ(ToPem(full).value(), pem);
}

}  // namespace
}  // namespace vmattest
