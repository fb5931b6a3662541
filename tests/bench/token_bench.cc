// Attestation results as ES256 JWTs against bare ECDSA P-256 by EVP, the key
// imported once, over a digest that is there: what JSON, base64url, JOSE and
// the digest cost, alternating in one process; microseconds of processor time.
//   sign_p50, verify_p50            one result
//   evp_sign_p50, evp_verify_p50    the bare signature
//   sign_over_evp, verify_over_evp  the ratios
//   sign_p99, verify_p99            one result
// The argument is how many failed checks the result has.

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <openssl/ec.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <vector>

#include "crypto/digest.h"
#include "crypto/handles.h"
#include "token/ear.h"

namespace vmattest::token {
namespace {

constexpr WallTime kNow{std::chrono::seconds(1795730000)};

void Require(bool ok) {
  if (!ok) {
    std::abort();
  }
}

double ProcessorMicroseconds() {
  timespec now{};
  Require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
  return static_cast<double>(now.tv_sec) * 1e6 +
         static_cast<double>(now.tv_nsec) / 1e3;
}

class Times {
 public:
  void Measure(const std::function<void()>& work) {
    const double begin = ProcessorMicroseconds();
    work();
    microseconds_.push_back(ProcessorMicroseconds() - begin);
  }
  double Percentile(size_t percent) {
    std::sort(microseconds_.begin(), microseconds_.end());
    return microseconds_.at((microseconds_.size() - 1) * percent / 100);
  }

 private:
  std::vector<double> microseconds_;
};

class BareEcdsa {
 public:
  BareEcdsa()
      : pair_(EVP_EC_gen("P-256")),
        digest_(Hash(HashAlgorithm::kSha256, AsBytes("message"))),
        signature_(80) {}

  void Sign() {
    const EvpPkeyCtxHandle context(EVP_PKEY_CTX_new(pair_.get(), nullptr));
    signature_.resize(80);
    size_t size = signature_.size();
    Require(EVP_PKEY_sign_init(context.get()) == 1 &&
            EVP_PKEY_sign(context.get(), signature_.data(), &size,
                          digest_.data(), digest_.size()) == 1);
    signature_.resize(size);
  }
  void Verify() const {
    const EvpPkeyCtxHandle context(EVP_PKEY_CTX_new(pair_.get(), nullptr));
    Require(EVP_PKEY_verify_init(context.get()) == 1 &&
            EVP_PKEY_verify(context.get(), signature_.data(), signature_.size(),
                            digest_.data(), digest_.size()) == 1);
  }

 private:
  EvpPkeyHandle pair_;
  DigestBytes digest_;
  Bytes signature_;
};

Ear UsualEar(int64_t reasons) {
  Submodule host;
  host.status = Tier::kAffirming;
  host.trust_vector = {{"instance-identity", 2}, {"hardware", 2}};
  host.host_id = ToHex(Bytes(32, 0xCD));
  host.ak = "enrolled";
  Submodule config;
  config.status = reasons == 0 ? Tier::kAffirming : Tier::kContraindicated;
  config.trust_vector = {{"configuration", reasons == 0 ? 2 : 96},
                         {"executables", 3},
                         {"file-system", 2}};
  config.policy_id = "web-servers/7";
  config.vm_uuid = "3a0f3c1e-6c5b-4f0e-9d53-8a4f4d1a0b11";
  config.config_root = Bytes(32, 0xAB);
  for (int64_t i = 0; i < reasons; ++i) {
    config.reasons.push_back({.code = "config-leaf-changed",
                              .element = fmt::format("os/leaf[{}]", i),
                              .expected = "one value",
                              .found = "another value"});
    config.fixes.push_back("set it back");
  }
  Ear ear{.profile = std::string(kProfile),
          .developer = "https://vmattest.org",
          .build = "vmattest-verifierd 1.0.0",
          .issued = kNow,
          .not_before = {},
          .expires = kNow + std::chrono::minutes(5),
          .nonce = Bytes(32, 0x5A),
          .token_id = "018f3f5e-1111-7000-8000-000000000001",
          .submodules = {{"config", config}, {"host", host}},
          .binding = {{"reference", "web-servers/7"}, {"reset_count", "12"}}};
  return ear;
}

void BM_Es256(benchmark::State& state) {
  const TokenSigner signer(EcPrivateKey::Generate());
  const std::vector<VerificationKey> keys = signer.keys();
  const Ear ear = UsualEar(state.range(0));
  const VerifyOptions options{.now = kNow, .nonce = ear.nonce};
  BareEcdsa bare;
  Times sign;
  Times verify;
  Times evp_sign;
  Times evp_verify;
  std::string jwt;
  for (auto _ : state) {
    sign.Measure([&] { jwt = signer.SignEs256(ear); });
    evp_sign.Measure([&] { bare.Sign(); });
    verify.Measure(
        [&] { Require(VerifyEar(jwt, keys, options).verdict.trusted()); });
    evp_verify.Measure([&] { bare.Verify(); });
  }
  state.counters["token_bytes"] = static_cast<double>(jwt.size());
  state.counters["sign_p50"] = sign.Percentile(50);
  state.counters["sign_p99"] = sign.Percentile(99);
  state.counters["verify_p50"] = verify.Percentile(50);
  state.counters["verify_p99"] = verify.Percentile(99);
  state.counters["evp_sign_p50"] = evp_sign.Percentile(50);
  state.counters["evp_verify_p50"] = evp_verify.Percentile(50);
  state.counters["sign_over_evp"] =
      sign.Percentile(50) / evp_sign.Percentile(50);
  state.counters["verify_over_evp"] =
      verify.Percentile(50) / evp_verify.Percentile(50);
}
BENCHMARK(BM_Es256)->Arg(0)->Arg(20)->Iterations(5000)->Unit(
    benchmark::kMicrosecond);

}  // namespace
}  // namespace vmattest::token

BENCHMARK_MAIN();
