// Verification of one evidence of 100 leaves, beside two bare ECDSA P-256
// verifications by OpenSSL with keys already imported: what it must cost.

#include <benchmark/benchmark.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <chrono>
#include <memory>

#include "base/clock.h"
#include "base/handles.h"
#include "crypto/digest.h"
#include "support/evidence_builder.h"
#include "vmattest/verifier/verifier.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

using PkeyHandle = std::unique_ptr<EVP_PKEY, Closer<EVP_PKEY_free>>;
using PkeyCtxHandle = std::unique_ptr<EVP_PKEY_CTX, Closer<EVP_PKEY_CTX_free>>;
using Nanoseconds = std::chrono::nanoseconds;

class Bed {
 public:
  Bed() : key_(EVP_EC_gen("P-256")) {
    testing::EvidenceBuilder builder(host_);
    for (int i = 0; builder.leaves.size() < 99; ++i) {
      builder.leaves.push_back({"xml/" + std::to_string(1000 + i),
                                LeafType::kElement,
                                "<element attribute='value'/>"});
    }
    builder.batch_size = 64;
    builder.batch_index = 17;
    file_ = builder.BuildFile();
    if (!anchors_.Add(wire::HostIdentityToJson(host_.Identity())).ok()) {
      std::abort();
    }
    const PkeyCtxHandle context(
        EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
    size_t size = signature_.size();
    EVP_PKEY_sign_init(context.get());
    EVP_PKEY_sign(context.get(), signature_.data(), &size, digest_.data(),
                  digest_.size());
    signature_.resize(size);
  }

  void VerifyEvidence() const {
    const auto appraisal = verifier::Verify(
        file_, anchors_, verifier::Policy(),
        WallTime(
            std::chrono::milliseconds(testing::EvidenceBuilder::kTimeUnixMs)));
    if (!appraisal.ok() || !appraisal->verdict.trusted()) {
      std::abort();
    }
  }

  void VerifyTwoSignatures() const {
    for (int i = 0; i < 2; ++i) {
      const PkeyCtxHandle context(
          EVP_PKEY_CTX_new_from_pkey(nullptr, key_.get(), nullptr));
      EVP_PKEY_verify_init(context.get());
      if (EVP_PKEY_verify(context.get(), signature_.data(), signature_.size(),
                          digest_.data(), digest_.size()) != 1) {
        std::abort();
      }
    }
  }

 private:
  testing::SoftHost host_;
  Bytes file_;
  verifier::Anchors anchors_;
  PkeyHandle key_;
  Bytes digest_ = Bytes(32, 1);
  Bytes signature_ = Bytes(80);
};

template <class F>
Nanoseconds Timed(F&& run) {
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::steady_clock::now() - begin;
}

// The two take turns, so that whatever slows the machine slows both.
void VerifyEvidence(benchmark::State& state) {
  const Bed bed;
  Nanoseconds ours{0};
  Nanoseconds bare{0};
  for (auto _ : state) {
    const Nanoseconds once = Timed([&] { bed.VerifyEvidence(); });
    bare += Timed([&] { bed.VerifyTwoSignatures(); });
    ours += once;
    state.SetIterationTime(std::chrono::duration<double>(once).count());
  }
  state.counters["of_two_bare_verifies"] =
      static_cast<double>(ours.count()) / static_cast<double>(bare.count());
  state.counters["of_1ms_limit"] = static_cast<double>(ours.count()) / 1e6 /
                                   static_cast<double>(state.iterations());
}
BENCHMARK(VerifyEvidence)->UseManualTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
