#include "sample.h"

#include <fmt/format.h>
#include <openssl/ec.h>

#include <stdexcept>

#include "base/base64.h"
#include "crypto/digest.h"
#include "crypto/handles.h"

namespace vmattest::token {
namespace {

void Require(bool ok) {
  if (!ok) {
    throw std::runtime_error("OpenSSL failed");
  }
}

Bytes Fixed(const BIGNUM* number, int size) {
  Bytes bytes(static_cast<size_t>(size));
  Require(BN_bn2binpad(number, bytes.data(), size) == size);
  return bytes;
}

std::string Input(std::string_view header, std::string_view claims) {
  return fmt::format("{}.{}", ToBase64Url(AsBytes(header)),
                     ToBase64Url(AsBytes(claims)));
}

std::string WithSignature(const std::string& input, Bytes r, const Bytes& s) {
  r.insert(r.end(), s.begin(), s.end());
  return fmt::format("{}.{}", input, ToBase64Url(r));
}

}  // namespace

Ear SampleEar() {
  Submodule vm;
  vm.status = Tier::kContraindicated;
  vm.trust_vector = {{"instance-identity", 2},
                     {"configuration", 96},
                     {"executables", 2},
                     {"hardware", 2}};
  vm.policy_id = "reference:web-servers/7";
  vm.vm_uuid = "3a0f3c1e-6c5b-4f0e-9d53-8a4f4d1a0b11";
  vm.host_id = "9f2c61d0";
  vm.config_root = Bytes(32, 0xAB);
  vm.ak = "enrolled";
  vm.reasons = {{.code = "leaf-mismatch",
                 .element = "os/cmdline",
                 .expected = "quiet",
                 .found = "quiet init=/bin/sh"}};
  vm.fixes = {"set os/cmdline to \"quiet\""};
  Ear ear;
  ear.profile = std::string(kProfile);
  ear.developer = "https://vmattest.org";
  ear.build = "vmattest-verifierd 1.0.0";
  ear.issued = kNow;
  ear.not_before = kNow;
  ear.expires = kNow + std::chrono::minutes(5);
  ear.nonce = Bytes(16, 0x5A);
  ear.token_id = "018f3f5e-1111-7000-8000-000000000001";
  ear.submodules["vm"] = vm;
  ear.binding = {{"epoch", "3"}, {"host", "9f2c61d0"}};
  return ear;
}

std::string SignAnything(const EcPrivateKey& key, std::string_view header,
                         std::string_view claims) {
  const std::string input = Input(header, claims);
  const EcPrivateKey::Signature signature =
      key.SignDigest(Hash(HashAlgorithm::kSha256, AsBytes(input)));
  return WithSignature(input, signature.r, signature.s);
}

Es384Token SignEs384(std::string_view header, std::string_view claims) {
  const std::string input = Input(header, claims);
  const EvpPkeyHandle pair(EVP_EC_gen("P-384"));
  Bytes point(97);
  size_t size = 0;
  Require(EVP_PKEY_get_octet_string_param(pair.get(), "pub", point.data(),
                                          point.size(), &size) == 1);
  const DigestBytes digest = Hash(HashAlgorithm::kSha384, AsBytes(input));
  const EvpPkeyCtxHandle context(EVP_PKEY_CTX_new(pair.get(), nullptr));
  Bytes der(120);
  size = der.size();
  Require(EVP_PKEY_sign_init(context.get()) == 1 &&
          EVP_PKEY_sign(context.get(), der.data(), &size, digest.data(),
                        digest.size()) == 1);
  const unsigned char* at = der.data();
  const EcdsaSigHandle parsed(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
  Require(parsed != nullptr);
  return {.jwt = WithSignature(input, Fixed(ECDSA_SIG_get0_r(parsed.get()), 48),
                               Fixed(ECDSA_SIG_get0_s(parsed.get()), 48)),
          .key = {.curve = EcCurve::kP384,
                  .x = Bytes(point.begin() + 1, point.begin() + 49),
                  .y = Bytes(point.begin() + 49, point.end())}};
}

std::string CodeOf(const OpenedEar& opened) {
  return opened.verdict.trusted() ? "trusted"
                                  : opened.verdict.reasons.at(0).code;
}

}  // namespace vmattest::token
