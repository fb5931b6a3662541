#include <benchmark/benchmark.h>

#include <cstdlib>

#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "tpm/esys/esys_host_tpm.h"

// What the host event log and a rotation cost on a software TPM, beside a quote
// of the same run.

namespace vmattest {
namespace {

class Host {
 public:
  Host() : tpm_(Options()) {
    if (!tpm_.Provision().ok() || !tpm_.ReadLogRegisters().ok()) {
      std::abort();
    }
  }
  tpm::EsysHostTpm& tpm() { return tpm_; }

 private:
  tpm::EsysHostTpmOptions Options() {
    tpm::EsysHostTpmOptions options;
    options.tcti = swtpm_.tcti();
    options.key_auth = SecretBytes(Bytes(32, 0x5A));
    options.pin_file = dir_.path() / "tpm.json";
    return options;
  }

  testing::TempDir dir_;
  testing::Swtpm swtpm_;
  tpm::EsysHostTpm tpm_;
};

void Require(benchmark::State& state, const absl::Status& status) {
  if (!status.ok()) {
    state.SkipWithError(status.ToString().c_str());
  }
}

void Quote(benchmark::State& state) {
  Host host;
  for (auto _ : state) {
    Require(state,
            host.tpm().MakeQuote(KeyPurpose::kConfig, Bytes(32, 1)).status());
  }
}
BENCHMARK(Quote)->Unit(benchmark::kMicrosecond)->UseRealTime();

void ExtendLog(benchmark::State& state) {
  Host host;
  for (auto _ : state) {
    Require(state, host.tpm().ExtendLog(Bytes(32, 1)));
  }
}
BENCHMARK(ExtendLog)->Unit(benchmark::kMicrosecond)->UseRealTime();

void ExtendLogAndWriteAnchor(benchmark::State& state) {
  Host host;
  uint64_t size = 0;
  for (auto _ : state) {
    Require(state, host.tpm().ExtendLog(Bytes(32, 1)));
    Require(state, host.tpm().WriteLogAnchor(++size, Bytes(32, 2)));
  }
}
BENCHMARK(ExtendLogAndWriteAnchor)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

void CertifyLogAnchor(benchmark::State& state) {
  Host host;
  Require(state, host.tpm().WriteLogAnchor(1, Bytes(32, 2)));
  for (auto _ : state) {
    Require(state, host.tpm().CertifyLogAnchor(Bytes(32, 1)).status());
  }
}
BENCHMARK(CertifyLogAnchor)->Unit(benchmark::kMicrosecond)->UseRealTime();

void RotateKey(benchmark::State& state) {
  Host host;
  for (auto _ : state) {
    const auto made = host.tpm().RotateKey(KeyPurpose::kConfig);
    Require(state, made.status());
    state.PauseTiming();
    Require(state, host.tpm().RetireKey(KeyPurpose::kConfig, made->epoch - 1));
    state.ResumeTiming();
  }
}
BENCHMARK(RotateKey)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
