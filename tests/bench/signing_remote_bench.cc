#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <vector>

#include "base/clock.h"
#include "fakes/fake_host_tpm.h"
#include "ipc/child_process.h"
#include "signing/local_signer.h"
#include "signing/remote/remote_signer.h"
#include "signing/remote/signer_codec.h"
#include "signing/remote/signer_server.h"
#include "support/swtpm.h"
#include "support/temp_dir.h"
#include "tpm/esys/esys_host_tpm.h"
#include "wire/codec.h"

// What the signer's process costs: one Seal at a time, through LocalSigner and
// through vmattest-signer, on software TPMs, in turns in the same run.

namespace vmattest::signing {
namespace {

using Clock = std::chrono::steady_clock;

SignerSetup MakeSetup(const std::string& tcti,
                      const std::filesystem::path& dir) {
  SignerSetup setup;
  setup.tcti = tcti;
  setup.pcrs = {0, 1, 2, 3, 4, 5, 6, 7};
  setup.persistent_handle_base = 0x81010100;
  setup.log_index = 0x01A10100;
  setup.counter_index = 0x01A10101;
  setup.key_auth = SecretBytes(Bytes(32, 0x5A));
  setup.state_dir = dir;
  setup.pin_file = dir / "tpm.json";
  setup.hostname = "bench";
  setup.post_quantum = "off";
  setup.log_level = "error";
  return setup;
}

tpm::EsysHostTpmOptions TpmOptions(const std::string& tcti,
                                   const std::filesystem::path& dir) {
  tpm::EsysHostTpmOptions options;
  options.tcti = tcti;
  options.key_auth = SecretBytes(Bytes(32, 0x5A));
  options.pin_file = dir / "tpm.json";
  return options;
}

LocalSigner::Options LocalOptions(const std::filesystem::path& dir) {
  LocalSigner::Options options;
  options.work.state_dir = dir;
  options.work.post_quantum.mode = PqMode::kOff;
  return options;
}

// An event in the log: the TPM serves, and all that opening it brings is done.
void AwaitServing(Signer& signer) {
  absl::Status status = absl::UnavailableError("");
  while (!status.ok() || !signer.state().log) {
    std::promise<absl::Status> done;
    const absl::Status accepted = signer.ReadClock(
        Clock::now() + std::chrono::seconds(60),
        [&done](const auto& clock) { done.set_value(clock.status()); });
    status = accepted.ok() ? done.get_future().get() : accepted;
  }
}

Bytes StatementOf(const SignerState& state) {
  evidence::ConfigStatement statement;
  statement.header.module_version = "bench";
  statement.header.host_id = state.identity->host_id;
  statement.header.vm_uuid = "6a3f6ef2-5f4b-4f5e-8e5c-0f0f0f0f0f0f";
  statement.header.vm_name = "web-1";
  statement.header.nonce = Bytes(32, 7);
  statement.header.signature_algorithms = state.algorithms;
  statement.leaf_count = 1;
  statement.root = DigestBytes(32, 1);
  statement.content = "chain";
  statement.xml_kind = "live";
  statement.vm_state = "running";
  return wire::EncodeConfigStatement(statement);
}

// Microseconds of one Seal; negative: it failed.
double SealOnce(Signer& signer, const Bytes& payload) {
  std::promise<bool> done;
  const auto begin = Clock::now();
  const absl::Status accepted = signer.Seal(
      std::string(evidence::kConfigPayloadType), payload,
      begin + std::chrono::seconds(60),
      [&done](const auto& signatures) { done.set_value(signatures.ok()); });
  if (!accepted.ok() || !done.get_future().get()) {
    return -1;
  }
  return std::chrono::duration<double, std::micro>(Clock::now() - begin)
      .count();
}

double At(std::vector<double>& times, double share) {
  std::sort(times.begin(), times.end());
  return times[static_cast<size_t>(share *
                                   static_cast<double>(times.size() - 1))];
}

// The two in turns, so that noise of the machine hits both.
void Compare(benchmark::State& state, Signer& local, Signer& remote) {
  AwaitServing(local);
  AwaitServing(remote);
  const Bytes local_payload = StatementOf(local.state());
  const Bytes remote_payload = StatementOf(remote.state());
  std::vector<double> local_times;
  std::vector<double> remote_times;
  for (auto _ : state) {
    local_times.push_back(SealOnce(local, local_payload));
    remote_times.push_back(SealOnce(remote, remote_payload));
    if (local_times.back() < 0 || remote_times.back() < 0) {
      state.SkipWithError("a seal failed");
      return;
    }
  }
  state.counters["local_p50_us"] = At(local_times, 0.5);
  state.counters["remote_p50_us"] = At(remote_times, 0.5);
  state.counters["local_p99_us"] = At(local_times, 0.99);
  state.counters["remote_p99_us"] = At(remote_times, 0.99);
  state.counters["added_p50_us"] = At(remote_times, 0.5) - At(local_times, 0.5);
}

void SealThroughTheProcess(benchmark::State& state) {
  testing::TempDir local_dir;
  testing::TempDir remote_dir;
  testing::Swtpm local_tpm;
  testing::Swtpm remote_tpm;
  const SystemClock clock;
  tpm::EsysHostTpm tpm(TpmOptions(local_tpm.tcti(), local_dir.path()));
  LocalSigner local(tpm, clock, LocalOptions(local_dir.path()));
  RemoteSigner remote(
      SpawnSigner(VMATTEST_SIGNER,
                  MakeSetup(remote_tpm.tcti(), remote_dir.path())),
      {});
  Compare(state, local, remote);
}
BENCHMARK(SealThroughTheProcess)
    ->Iterations(1000)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

// From the decision to start it to the TPM serving: what a crash costs.
void StartTheProcess(benchmark::State& state) {
  testing::TempDir dir;
  testing::Swtpm swtpm;
  for (auto _ : state) {
    RemoteSigner remote(
        SpawnSigner(VMATTEST_SIGNER, MakeSetup(swtpm.tcti(), dir.path())), {});
    AwaitServing(remote);
  }
}
BENCHMARK(StartTheProcess)
    ->Iterations(10)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

}  // namespace
}  // namespace vmattest::signing

BENCHMARK_MAIN();
