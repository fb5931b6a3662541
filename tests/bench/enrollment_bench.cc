// The verifier's computations for enrolling one host (identity of six keys,
// certificate through one intermediate, credential, proof), beside the bare
// OpenSSL operations that they cannot do without: one ECDSA verification for
// each key and each certificate of the chain, one key generation, one ECDH.

#include <benchmark/benchmark.h>
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <chrono>
#include <cstdlib>
#include <memory>

#include "base/clock.h"
#include "base/handles.h"
#include "enrollment/credential.h"
#include "enrollment/ek_certificate.h"
#include "enrollment/enroller.h"
#include "evidence/tpm_structures.h"
#include "support/ek_pki.h"
#include "support/soft_tpm.h"
#include "wire/codec.h"

namespace vmattest {
namespace {

using PkeyHandle = std::unique_ptr<EVP_PKEY, Closer<EVP_PKEY_free>>;
using PkeyCtxHandle = std::unique_ptr<EVP_PKEY_CTX, Closer<EVP_PKEY_CTX_free>>;
using Nanoseconds = std::chrono::nanoseconds;

constexpr int kCertificates = 2;  // the EK's and the intermediate

void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

class Bed {
 public:
  Bed() : key_(EVP_EC_gen("P-256")), peer_(EVP_EC_gen("P-256")) {
    identity_ = host_.Identity();
    identity_.ek_certificate = pki_.Issue(identity_.ek_public);
    enrollment::EkRoots roots;
    Require(roots.Add(pki_.root()).ok());
    Require(roots.Add(pki_.intermediate()).ok());
    roots_.Set(std::move(roots));
    const PkeyCtxHandle context(EVP_PKEY_CTX_new(key_.get(), nullptr));
    size_t size = signature_.size();
    EVP_PKEY_sign_init(context.get());
    EVP_PKEY_sign(context.get(), signature_.data(), &size, digest_.data(),
                  digest_.size());
    signature_.resize(size);
  }

  void Enroll() const {
    Require(enrollment::CheckIdentity(identity_).trusted());
    Require(enrollment::CheckEkCertificate(identity_.ek_certificate,
                                           identity_.ek_public, *roots_.Get(),
                                           SystemClock().Now())
                .trusted());
    const auto name = evidence::NameOf(identity_.ak_public);
    const auto secret = MakeSecret(32);
    Require(name.ok() && secret.ok());
    Require(
        enrollment::MakeCredential(identity_.ek_public, *name, *secret).ok());
    benchmark::DoNotOptimize(enrollment::EnrollmentProof(
        *secret, wire::EncodeHostIdentity(identity_)));
  }

  void BareOperations() const {
    for (size_t i = 0; i < identity_.keys.size() + kCertificates; ++i) {
      const PkeyCtxHandle context(EVP_PKEY_CTX_new(key_.get(), nullptr));
      EVP_PKEY_verify_init(context.get());
      Require(EVP_PKEY_verify(context.get(), signature_.data(),
                              signature_.size(), digest_.data(),
                              digest_.size()) == 1);
    }
    const PkeyHandle ephemeral(EVP_EC_gen("P-256"));
    const PkeyCtxHandle context(EVP_PKEY_CTX_new(ephemeral.get(), nullptr));
    Bytes z(32);
    size_t size = z.size();
    Require(EVP_PKEY_derive_init(context.get()) == 1 &&
            EVP_PKEY_derive_set_peer(context.get(), peer_.get()) == 1 &&
            EVP_PKEY_derive(context.get(), z.data(), &size) == 1);
  }

  // Both steps through the class, with the TPM's part.
  void WholeProtocol(enrollment::Enroller& enroller) const {
    const auto begun = enroller.Begin("client", identity_);
    Require(begun.ok() && begun->verdict.trusted());
    const auto secret = host_.ek.Activate(
        host_.ak.name(), begun->challenge.credential.credential_blob,
        begun->challenge.credential.encrypted_secret);
    Require(secret.ok());
    const Bytes proof = enrollment::EnrollmentProof(
        *secret, wire::EncodeHostIdentity(identity_));
    Require(enroller.Complete("client", begun->challenge.id, proof).ok());
  }

  [[nodiscard]] const Current<enrollment::EkRoots>& roots() const {
    return roots_;
  }

 private:
  testing::SoftHost host_;
  testing::EkPki pki_;
  evidence::HostIdentity identity_;
  Current<enrollment::EkRoots> roots_{enrollment::EkRoots()};
  PkeyHandle key_;
  PkeyHandle peer_;
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
void EnrollOneHost(benchmark::State& state) {
  const Bed bed;
  Nanoseconds ours{0};
  Nanoseconds bare{0};
  for (auto _ : state) {
    const Nanoseconds once = Timed([&] { bed.Enroll(); });
    bare += Timed([&] { bed.BareOperations(); });
    ours += once;
    state.SetIterationTime(std::chrono::duration<double>(once).count());
  }
  state.counters["of_bare_operations"] =
      static_cast<double>(ours.count()) / static_cast<double>(bare.count());
  state.counters["hosts_per_second"] = 1e9 *
                                       static_cast<double>(state.iterations()) /
                                       static_cast<double>(ours.count());
}
BENCHMARK(EnrollOneHost)->UseManualTime()->Unit(benchmark::kMicrosecond);

// Of the limit of 60 s for 1,000 hosts.
void EnrollAThousandHosts(benchmark::State& state) {
  const Bed bed;
  const SystemClock clock;
  Nanoseconds all{0};
  for (auto _ : state) {
    enrollment::Enroller enroller(bed.roots(), clock);
    all += Timed([&] {
      for (int i = 0; i < 1000; ++i) {
        bed.WholeProtocol(enroller);
      }
    });
  }
  state.counters["of_60s_limit"] = static_cast<double>(all.count()) / 60e9 /
                                   static_cast<double>(state.iterations());
}
BENCHMARK(EnrollAThousandHosts)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
