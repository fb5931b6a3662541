// A thousand AttestConfig at once on a TPM of five quotes a second.
#include <benchmark/benchmark.h>

#include "attestor/attestor.h"
#include "fakes/fake_host_tpm.h"
#include "signing/local_signer.h"
#include "support/temp_dir.h"
#include "unit/attestor/attestor_bed.h"

namespace vmattest::attestor {
namespace {

constexpr int kRequests = 1000;

// Counts down. Callable from any thread.
class Countdown {
 public:
  explicit Countdown(int count) : left_(count) {}
  void Down() {
    const MutexLock lock(mutex_);
    --left_;
    changed_.NotifyAll();
  }
  void Wait() {
    const MutexLock lock(mutex_);
    while (left_ > 0) {
      changed_.Wait(mutex_);
    }
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int left_ GUARDED_BY(mutex_);
};

void BM_ThousandAttestConfig(benchmark::State& state) {
  const SystemClock clock;
  testing::AttestorBed bed;
  const auto vms = static_cast<int>(state.range(0));
  for (int i = 0; i < vms; ++i) {
    bed.Define("vm-" + std::to_string(i));
  }
  testing::FakeHostTpm tpm;
  Countdown ready(1);
  const testing::TempDir state_dir;
  std::atomic<bool> told = false;
  signing::LocalSigner signer(
      tpm, clock,
      {.work = {.state_dir = state_dir.path(),
                .max_pending = 4096,
                .post_quantum = {.mode = signing::PqMode::kOff},
                .on_state = [&](const signing::SignerState& now) {
                  if (now.tpm.ok() && now.log && !told.exchange(true)) {
                    ready.Down();
                  }
                }}});
  ready.Wait();
  tpm.SetQuoteDelay(std::chrono::milliseconds(200));
  ThreadPool requests("request", 2, 4096);
  Attestor attestor({.hypervisor = bed.hypervisor,
                     .measurer = bed.measurer,
                     .signer = signer,
                     .store = bed.store,
                     .recorder = bed.recorder,
                     .requests = requests,
                     .clock = clock},
                    {});
  std::atomic<int> failed = 0;
  const int quotes = tpm.quotes_made();
  for (auto _ : state) {
    Countdown answers(kRequests);
    for (int i = 0; i < kRequests; ++i) {
      ConfigRequest request;
      request.vm = "vm-" + std::to_string(i % vms);
      request.nonce = Bytes(32, static_cast<uint8_t>(i));
      request.deadline = clock.Monotonic() + std::chrono::seconds(60);
      attestor.AttestConfig(std::move(request),
                            [&](const absl::StatusOr<Bytes>& evidence) {
                              failed += evidence.ok() ? 0 : 1;
                              answers.Down();
                            });
    }
    answers.Wait();
  }
  state.counters["failed"] = failed.load();
  state.counters["quotes"] = benchmark::Counter(
      tpm.quotes_made() - quotes, benchmark::Counter::kAvgIterations);
}
BENCHMARK(BM_ThousandAttestConfig)
    ->Arg(1)
    ->Arg(200)
    ->Arg(1000)
    ->UseRealTime()
    ->MeasureProcessCPUTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace vmattest::attestor

BENCHMARK_MAIN();
