// Replay of a host event log of 100,000 records: TLV, digests, chain, log PCR.
//   replay_s         limit 1 s
//   over_hash_limit  time of the replay / time of its hashes alone: SHA-256 of
//                    each content, one step of the chain, one of the PCR

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "crypto/tpm_digest.h"
#include "eventlog/host_log.h"
#include "support/host_log_builder.h"

namespace vmattest {
namespace {

constexpr int kRecords = 100'000;

const std::vector<eventlog::CelRecord>& Records() {
  static const auto& records = *new std::vector<eventlog::CelRecord>([] {
    testing::HostLogBuilder log;
    log.Boot(true);
    while (log.records.size() < kRecords) {
      log.Launch("web-" + std::to_string(log.records.size()));
    }
    return log.records;
  }());
  return records;
}

const Bytes& Tlv() {
  static const auto& log = *new Bytes([] {
    Bytes bytes;
    for (const eventlog::CelRecord& record : Records()) {
      const Bytes one = eventlog::EncodeCel(record);
      bytes.insert(bytes.end(), one.begin(), one.end());
    }
    return bytes;
  }());
  return log;
}

template <class F>
double Seconds(const F& function) {
  const auto begin = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

void BM_Replay100kRecords(benchmark::State& state) {
  double replay = 1e9;
  double hashes = 1e9;
  Tlv();
  for (auto _ : state) {
    replay = std::min(replay, Seconds([] {
                        const auto records = eventlog::ParseCel(Tlv());
                        const auto result = eventlog::ReplayHostLog(
                            *records, testing::HostLogBuilder::kPcr,
                            HashAlgorithm::kSha256);
                        if (result.heads.size() != kRecords) {
                          std::abort();
                        }
                      }));
    hashes = std::min(hashes, Seconds([] {
                        Bytes head(32, 0);
                        Bytes pcr(32, 0);
                        for (const eventlog::CelRecord& record : Records()) {
                          const Bytes digest =
                              TpmHash(kTpmAlgIdSha256, {record.content});
                          head = TpmHash(kTpmAlgIdSha256, {head, digest});
                          pcr = TpmHash(kTpmAlgIdSha256, {pcr, digest});
                        }
                        benchmark::DoNotOptimize(head);
                        benchmark::DoNotOptimize(pcr);
                      }));
  }
  state.counters["replay_s"] = replay;
  state.counters["over_hash_limit"] = replay / hashes;
}
BENCHMARK(BM_Replay100kRecords)->Unit(benchmark::kMillisecond)->Iterations(5);

}  // namespace
}  // namespace vmattest

BENCHMARK_MAIN();
