// The digest of an image file from the page cache, against the programs an
// operator would use, in one run, alternating, best time of each:
//   blake3_over_sha256sum    coreutils sha256sum / ours      target >= 8
//   sha256_over_openssl_dgst openssl dgst -sha256 / ours     target >= 0.9
//   hit_us                   a look-up in the digest cache
// and from the disk, its pages dropped from the cache before each run:
//   of_disk_or_hash_limit    the slower of a plain sequential read and the hash
//                            of cached pages / ours, target >= 0.9
// VMATTEST_BENCH_BYTES: size of the file, default 4 GiB. VMATTEST_BENCH_DIR:
// where it goes, default the temporary folder. It is removed at the end.

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "crypto/digest.h"
#include "fmt/format.h"
#include "image/file_digester.h"

namespace vmattest::image {
namespace {

uint64_t FileSize() {
  const char* bytes = std::getenv("VMATTEST_BENCH_BYTES");
  return bytes != nullptr ? std::strtoull(bytes, nullptr, 10)
                          : uint64_t{4} << 30;
}

void Check(bool ok, const char* what) {
  if (!ok) {
    fmt::print(stderr, "{} failed\n", what);
    std::exit(1);
  }
}

// No block of it is a hole and no two are equal.
class BigFile {
 public:
  BigFile() {
    const char* folder = std::getenv("VMATTEST_BENCH_DIR");
    path_ = fmt::format("{}/vmattest-bench.XXXXXX",
                        folder != nullptr
                            ? std::string(folder)
                            : std::filesystem::temp_directory_path().string());
    const UniqueFd fd(mkstemp(path_.data()));
    Check(fd.valid(), "creating the file");
    Bytes chunk = RandomBytes(size_t{1} << 22);
    for (uint64_t done = 0; done < FileSize(); done += chunk.size()) {
      std::copy_n(reinterpret_cast<const uint8_t*>(&done), sizeof done,
                  chunk.begin());
      const size_t now = std::min<uint64_t>(chunk.size(), FileSize() - done);
      Check(write(fd.get(), chunk.data(), now) == static_cast<ssize_t>(now),
            "writing the file");
    }
    Check(fsync(fd.get()) == 0, "fsync");
  }
  BigFile(const BigFile&) = delete;
  BigFile& operator=(const BigFile&) = delete;
  ~BigFile() { unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

const std::string& Path() {
  static const BigFile file;
  return file.path();
}

double Seconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
      .count();
}

struct Ours {
  Ours() : cache(clock, {.enabled = false}) {}
  void Digest(HashAlgorithm algorithm) {
    ContentDigester::Request request;
    request.path = Path();
    request.algorithm = algorithm;
    Check(digester.Digest(request).ok(), "digest");
  }

  SystemClock clock;
  DigestCache cache;
  ThreadPool pool{"hash", 2, 16};
  FileDigester digester{clock, pool, cache};
};

void Compare(benchmark::State& state, HashAlgorithm algorithm,
             const std::string& program, const char* counter) {
  Ours ours;
  const std::string command = program + " " + Path() + " >/dev/null";
  const double size = static_cast<double>(FileSize());
  double best_ours = 1e9;
  double best_theirs = 1e9;
  for (auto _ : state) {
    best_theirs = std::min(best_theirs, Seconds([&command] {
                             Check(std::system(command.c_str()) == 0,
                                   "the other program");
                           }));
    best_ours = std::min(
        best_ours, Seconds([&ours, algorithm] { ours.Digest(algorithm); }));
  }
  state.counters["theirs_GBps"] = size / best_theirs / 1e9;
  state.counters["ours_GBps"] = size / best_ours / 1e9;
  state.counters[counter] = best_theirs / best_ours;
}

void BM_Blake3OverSha256sum(benchmark::State& state) {
  Compare(state, HashAlgorithm::kBlake3, "sha256sum", "blake3_over_sha256sum");
}
void BM_Sha256OverOpensslDgst(benchmark::State& state) {
  Compare(state, HashAlgorithm::kSha256, "openssl dgst -sha256",
          "sha256_over_openssl_dgst");
}
BENCHMARK(BM_Blake3OverSha256sum)
    ->Iterations(3)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(BM_Sha256OverOpensslDgst)
    ->Iterations(3)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void Forget() {
  const UniqueFd fd(open(Path().c_str(), O_RDONLY | O_CLOEXEC));
  Check(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise");
}

void ReadPlainly() {
  const UniqueFd fd(open(Path().c_str(), O_RDONLY | O_CLOEXEC));
  Check(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL) == 0, "fadvise");
  Bytes buffer(size_t{1} << 20);
  while (read(fd.get(), buffer.data(), buffer.size()) > 0) {
  }
}

void BM_ColdDigestOverItsLimit(benchmark::State& state) {
  const auto algorithm = static_cast<HashAlgorithm>(state.range(0));
  Ours ours;
  double cold = 1e9;
  double disk = 1e9;
  double hash = 1e9;
  for (auto _ : state) {
    Forget();
    disk = std::min(disk, Seconds(ReadPlainly));
    hash =
        std::min(hash, Seconds([&ours, algorithm] { ours.Digest(algorithm); }));
    Forget();
    cold =
        std::min(cold, Seconds([&ours, algorithm] { ours.Digest(algorithm); }));
  }
  const double size = static_cast<double>(FileSize());
  state.counters["disk_GBps"] = size / disk / 1e9;
  state.counters["hash_GBps"] = size / hash / 1e9;
  state.counters["ours_GBps"] = size / cold / 1e9;
  state.counters["of_disk_or_hash_limit"] = std::max(disk, hash) / cold;
}
BENCHMARK(BM_ColdDigestOverItsLimit)
    ->Arg(static_cast<int>(HashAlgorithm::kSha256))
    ->Arg(static_cast<int>(HashAlgorithm::kBlake3))
    ->Iterations(3)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// An old file of the system: settled, and nobody writes to it.
void BM_CacheHit(benchmark::State& state) {
  const SystemClock clock;
  DigestCache cache(clock, {});
  ThreadPool pool("hash", 1, 16);
  FileDigester digester(clock, pool, cache);
  ContentDigester::Request request;
  request.path = "/usr/bin/openssl";
  Check(digester.Digest(request).ok(), "digest");
  for (auto _ : state) {
    benchmark::DoNotOptimize(digester.Digest(request));
  }
  state.counters["hits"] = static_cast<double>(cache.counters().hits);
}
BENCHMARK(BM_CacheHit)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace vmattest::image

BENCHMARK_MAIN();
