#include <benchmark/benchmark.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <chrono>
#include <cstdlib>

#include "base/mutex.h"
#include "crypto/digest.h"
#include "fakes/fake_host_tpm.h"
#include "sealing/sealer.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "support/tpm_proxy.h"
#include "tpm/esys/esys_host_tpm.h"

// What a sealed envelope costs against a bare TPM2_Quote of the same run, and
// how many quotes a slow TPM needs for a crowd.

namespace vmattest {
namespace {

using std::chrono::milliseconds;

constexpr int kCrowd = 1000;
constexpr milliseconds kSlowQuote(200);  // five signatures a second

tpm::EsysHostTpmOptions Options(const std::string& tcti,
                                const testing::TempDir& dir) {
  tpm::EsysHostTpmOptions options;
  options.tcti = tcti;
  options.key_auth = SecretBytes(Bytes(32, 0x5A));
  options.pin_file = dir.path() / "tpm.json";
  return options;
}

// Counts completions down to zero.
class Latch {
 public:
  explicit Latch(int count) : left_(count) {}
  void Done(bool ok) {
    const MutexLock lock(mutex_);
    failed_ += ok ? 0 : 1;
    if (--left_ == 0) {
      changed_.NotifyAll();
    }
  }
  // How many failed.
  int Await() {
    const MutexLock lock(mutex_);
    while (left_ > 0) {
      changed_.Wait(mutex_);
    }
    return failed_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int left_ GUARDED_BY(mutex_);
  int failed_ GUARDED_BY(mutex_) = 0;
};

void AwaitIdentity(sealing::Sealer& sealer) {
  Latch latch(1);
  (void)sealer.ReadClock(
      MonotonicTime::max(),
      [&](const absl::StatusOr<TpmClock>& clock) { latch.Done(clock.ok()); });
  latch.Await();
}

int SealMany(sealing::Sealer& sealer, int count) {
  Latch latch(count);
  const Bytes digest = Hash(HashAlgorithm::kSha256, AsBytes("envelope"));
  for (int i = 0; i < count; ++i) {
    const absl::Status accepted = sealer.Seal(
        KeyPurpose::kConfig, digest, MonotonicTime::max(),
        [&](const absl::StatusOr<evidence::TpmQuoteSignature>& sealed) {
          latch.Done(sealed.ok());
        });
    if (!accepted.ok()) {
      latch.Done(false);
    }
  }
  return latch.Await();
}

// Seconds of one bare quote, for the ratios: BareEsysQuote runs first.
double g_bare_quote = 0;

class Stopwatch {
 public:
  [[nodiscard]] double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         begin_)
        .count();
  }

 private:
  const std::chrono::steady_clock::time_point begin_ =
      std::chrono::steady_clock::now();
};

// "of_a_bare_quote": what one of `items` cost, over one bare quote.
void ReportRatio(benchmark::State& state, const Stopwatch& stopwatch,
                 int64_t items) {
  state.SetItemsProcessed(items);
  if (g_bare_quote > 0) {
    state.counters["of_a_bare_quote"] =
        stopwatch.Seconds() / static_cast<double>(items) / g_bare_quote;
  }
}

// A TPM2_Quote by ESYS with nothing around it: password session, no PCR read,
// no checks.
void BareEsysQuote(benchmark::State& state) {
  setenv("TSS2_LOG", "all+none", 0);
  testing::Swtpm swtpm;
  TSS2_TCTI_CONTEXT* tcti = nullptr;
  ESYS_CONTEXT* esys = nullptr;
  ESYS_TR key = ESYS_TR_NONE;
  const uint32_t object = swtpm.LeaveObject();
  const TPM2B_AUTH auth = {5, {'r', 'i', 'g', 'h', 't'}};
  if (Tss2_TctiLdr_Initialize(swtpm.tcti().c_str(), &tcti) != 0 ||
      Esys_Initialize(&esys, tcti, nullptr) != 0 ||
      Esys_TR_FromTPMPublic(esys, object, ESYS_TR_NONE, ESYS_TR_NONE,
                            ESYS_TR_NONE, &key) != 0 ||
      Esys_TR_SetAuth(esys, key, &auth) != 0) {
    state.SkipWithError("no TPM");
    return;
  }
  TPM2B_DATA data{};
  data.size = 32;
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_NULL;
  TPML_PCR_SELECTION pcrs{};
  pcrs.count = 1;
  pcrs.pcrSelections[0] = {TPM2_ALG_SHA256, 3, {0xFF, 0, 0}};
  const Stopwatch stopwatch;
  for (auto _ : state) {
    TPM2B_ATTEST* quoted = nullptr;
    TPMT_SIGNATURE* signature = nullptr;
    if (Esys_Quote(esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                   &data, &scheme, &pcrs, &quoted, &signature) != 0) {
      state.SkipWithError("quote failed");
    }
    Esys_Free(quoted);
    Esys_Free(signature);
  }
  g_bare_quote = stopwatch.Seconds() / static_cast<double>(state.iterations());
  state.SetItemsProcessed(state.iterations());
  Esys_Finalize(&esys);
  Tss2_TctiLdr_Finalize(&tcti);
}
BENCHMARK(BareEsysQuote)->UseRealTime()->Unit(benchmark::kMicrosecond);

// The adapter's quote: salted session, encryption, checks.
void AdapterQuote(benchmark::State& state) {
  const testing::TempDir dir;
  testing::Swtpm swtpm;
  tpm::EsysHostTpm tpm(Options(swtpm.tcti(), dir));
  if (!tpm.Provision().ok()) {
    state.SkipWithError("no TPM");
    return;
  }
  const Bytes data(32, 1);
  const Stopwatch stopwatch;
  for (auto _ : state) {
    if (!tpm.MakeQuote(KeyPurpose::kConfig, data).ok()) {
      state.SkipWithError("quote failed");
    }
  }
  ReportRatio(state, stopwatch, state.iterations());
}
BENCHMARK(AdapterQuote)->UseRealTime()->Unit(benchmark::kMicrosecond);

// items_per_second: envelopes.
void SealedEnvelopes(benchmark::State& state) {
  const testing::TempDir dir;
  testing::Swtpm swtpm;
  tpm::EsysHostTpm tpm(Options(swtpm.tcti(), dir));
  const SystemClock clock;
  sealing::Sealer sealer(tpm, clock, 4096, nullptr);
  AwaitIdentity(sealer);
  const auto at_once = static_cast<int>(state.range(0));
  const Stopwatch stopwatch;
  for (auto _ : state) {
    if (SealMany(sealer, at_once) != 0) {
      state.SkipWithError("sealing failed");
    }
  }
  ReportRatio(state, stopwatch, state.iterations() * at_once);
  state.counters["envelopes_per_quote"] =
      static_cast<double>(sealer.stats().sealed) /
      static_cast<double>(sealer.stats().quotes);
}
BENCHMARK(SealedEnvelopes)
    ->Arg(1)
    ->Arg(16)
    ->Arg(1024)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void ReportCrowd(benchmark::State& state, sealing::Sealer& sealer) {
  AwaitIdentity(sealer);
  for (auto _ : state) {
    if (SealMany(sealer, kCrowd) != 0) {
      state.SkipWithError("sealing failed");
    }
  }
  const auto quotes = static_cast<double>(sealer.stats().quotes);
  state.counters["quotes"] = quotes;
  if (quotes > 6) {
    state.SkipWithError("a crowd of 1,000 took more than 6 quotes");
  }
}

// 1,000 requests at once on a TPM that signs five times a second.
void CrowdOnSlowFakeTpm(benchmark::State& state) {
  testing::FakeHostTpm tpm;
  tpm.SetQuoteDelay(kSlowQuote);
  const SystemClock clock;
  sealing::Sealer sealer(tpm, clock, 4096, nullptr);
  ReportCrowd(state, sealer);
}
BENCHMARK(CrowdOnSlowFakeTpm)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void CrowdOnSlowSwtpm(benchmark::State& state) {
  const testing::TempDir dir;
  testing::Swtpm swtpm;
  testing::TpmProxy proxy(swtpm.socket());
  proxy.DelayAnswer(testing::kTpmCcQuote, kSlowQuote);
  tpm::EsysHostTpm tpm(Options(proxy.tcti(), dir));
  const SystemClock clock;
  sealing::Sealer sealer(tpm, clock, 4096, nullptr);
  ReportCrowd(state, sealer);
}
BENCHMARK(CrowdOnSlowSwtpm)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
