// ML-DSA against ECDSA P-256, alternating in one process: what the second
// signature of an envelope costs, percentiles in microseconds of processor time
// (nothing here waits, and a busy machine does not show).
//   sign_p50, sign_p99       signing one envelope's bytes, hedged
//   verify_p50, verify_p99   checking them
//   over_ecdsa               verify_p50 / P-256 verify p50 of the same run

#include <benchmark/benchmark.h>
#include <openssl/ec.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <vector>

#include "crypto/digest.h"
#include "crypto/ecdsa.h"
#include "crypto/handles.h"
#include "crypto/ml_dsa.h"

namespace vmattest {
namespace {

constexpr std::string_view kContext = "vmattest/envelope/v1";
constexpr size_t kEnvelope = 600;  // bytes of a usual statement, encoded

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

// One P-256 signature to verify again and again.
class EcdsaCase {
 public:
  EcdsaCase() : digest_(Hash(HashAlgorithm::kSha256, AsBytes("message"))) {
    const EvpPkeyHandle pair(EVP_EC_gen("P-256"));
    Bytes point(65);
    size_t size = 0;
    Require(EVP_PKEY_get_octet_string_param(pair.get(), "pub", point.data(),
                                            point.size(), &size) == 1);
    key_ = {EcCurve::kP256, Bytes(point.begin() + 1, point.begin() + 33),
            Bytes(point.begin() + 33, point.end())};
    const EvpPkeyCtxHandle context(EVP_PKEY_CTX_new(pair.get(), nullptr));
    Bytes der(80);
    size = der.size();
    Require(EVP_PKEY_sign_init(context.get()) == 1 &&
            EVP_PKEY_sign(context.get(), der.data(), &size, digest_.data(),
                          digest_.size()) == 1);
    const unsigned char* at = der.data();
    const EcdsaSigHandle parsed(
        d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)));
    Require(parsed != nullptr);
    r_ = ToFixed(ECDSA_SIG_get0_r(parsed.get()));
    s_ = ToFixed(ECDSA_SIG_get0_s(parsed.get()));
  }
  void Verify() const { Require(VerifyEcdsa(key_, digest_, r_, s_)); }

 private:
  static Bytes ToFixed(const BIGNUM* number) {
    Bytes bytes(32);
    Require(BN_bn2binpad(number, bytes.data(), 32) == 32);
    return bytes;
  }

  DigestBytes digest_;
  EcPublicKey key_;
  Bytes r_;
  Bytes s_;
};

void BM_MlDsa(benchmark::State& state) {
  const MlDsaLevel level =
      state.range(0) == 65 ? MlDsaLevel::k65 : MlDsaLevel::k87;
  const auto key = MlDsaKey::FromSeed(level, GenerateMlDsaSeed());
  if (!key.ok()) {
    state.SkipWithError(std::string(key.status().message()).c_str());
    return;
  }
  const auto public_key = MlDsaPublicKey::Parse(level, key->public_key());
  Require(public_key.ok());
  const EcdsaCase ecdsa;
  Times sign;
  Times verify;
  Times verify_ecdsa;
  for (auto _ : state) {
    const Bytes message = RandomBytes(kEnvelope);
    Bytes signature;
    sign.Measure([&] { signature = key->Sign(message, kContext).value(); });
    verify.Measure(
        [&] { Require(public_key->Verify(message, kContext, signature)); });
    verify_ecdsa.Measure([&] { ecdsa.Verify(); });
  }
  state.counters["sign_p50"] = sign.Percentile(50);
  state.counters["sign_p99"] = sign.Percentile(99);
  state.counters["verify_p50"] = verify.Percentile(50);
  state.counters["verify_p99"] = verify.Percentile(99);
  state.counters["ecdsa_p50"] = verify_ecdsa.Percentile(50);
  state.counters["over_ecdsa"] =
      verify.Percentile(50) / verify_ecdsa.Percentile(50);
}
BENCHMARK(BM_MlDsa)->Arg(65)->Arg(87)->Iterations(2000)->Unit(
    benchmark::kMicrosecond);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
